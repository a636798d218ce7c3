//! `agentos eval memory relocation`: what it costs to map passages that were computed elsewhere.

use clap::Args;

use super::{Common, Opened};
use crate::cli::error::CliError;
use crate::eval::memory::relocation::{self, PASSAGES, Relocated, Source};
use crate::eval::memory::{CANDIDATES, Memory, SetupError, report};
use crate::knowledge::prefix;

/// `agentos eval memory relocation`.
#[derive(Args, Debug)]
pub struct Relocation {
    #[command(flatten)]
    pub(super) common: Common,
    /// Tokens of a passage, at least: it ends with a slice
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=1024))]
    passage: u32,
    /// Tokens of the text behind the passages that are judged
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=1024))]
    judged: u32,
    /// Where the four passages of a case are from, of which the last one, two or all are used
    #[arg(long, value_enum, default_value_t = Source::Same)]
    from: Source,
    /// Cases at most
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cases: u32,
}

impl Relocation {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let all = self.common.open(|opened| self.measure(opened))?;
        self.common.tell(&all, &report::of_relocated(&all), || report::draw_relocated(&all))
    }

    fn measure(&self, opened: &Opened<'_>) -> Result<Vec<Relocated>, CliError> {
        let delimiters = &opened.reading.delimiters[..];
        let frame = prefix::frame(&opened.reading.chat(), delimiters)
            .map_err(crate::knowledge::library::LibraryError::from)?;
        let texts = self.common.tokens(opened)?;
        let sizes = (self.passage as usize, self.judged as usize);
        let cases = relocation::cases(&texts, delimiters, sizes, self.from, self.cases as usize);
        if cases.is_empty() {
            let tokens = PASSAGES as u32 * self.passage + self.judged;
            if self.from == Source::Different {
                return Err(SetupError::Texts { passages: PASSAGES, tokens }.into());
            }
            let found = texts.iter().map(Vec::len).max().unwrap_or(0) as u32;
            return Err(SetupError::TooShort { tokens, found }.into());
        }
        let (tokens, trained) = (relocation::context(&frame.before, &cases), opened.subject.shape.context);
        if tokens > trained {
            return Err(SetupError::TooLong { memory: Memory::Full, tokens, trained }.into());
        }
        let limits = relocation::limits(&frame.before, &cases, &opened.subject, CANDIDATES);
        let mut device = self.common.device(opened, &limits)?;
        let mut tell = |done: usize| eprintln!("measuring: case {} of {}", done + 1, cases.len());
        Ok(relocation::measure(&frame.before, &cases, &opened.subject, device.tensor_device(), &mut tell)?)
    }
}
