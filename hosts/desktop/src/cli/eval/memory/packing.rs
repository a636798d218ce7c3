//! `agentos eval memory packing`: what it costs to pack pages.

use clap::Args;

use super::{Common, LEAST_L1, Opened, PagingOptions};
use crate::cli::error::CliError;
use crate::context::Tables;
use crate::eval::memory::packing::{self, Case, PackingCost};
use crate::eval::memory::{CANDIDATES, Memory, Setup, SetupError, report};
use crate::knowledge::library::LibraryError;

/// `agentos eval memory packing`.
#[derive(Args, Debug)]
pub struct PackingEval {
    #[command(flatten)]
    pub(super) common: Common,
    /// Tokens of a context at most: whole slices, from the beginning of a file
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    tokens: u32,
    /// Tokens of the text behind it that are judged
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = clap::value_parser!(u32).range(2..=1024))]
    judged: u32,
    /// Tokens that the kernel's agent may attend to [default: a fourth of the context's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(LEAST_L1)..))]
    l1: Option<u32>,
    #[command(flatten)]
    paging: PagingOptions,
}

impl PackingEval {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let costs = self.common.open(|opened| self.measure(opened))?;
        self.common.tell(&costs, &report::of_packing(&costs), || report::draw_packing(&costs))
    }

    fn measure(&self, opened: &Opened<'_>) -> Result<Vec<PackingCost>, CliError> {
        let subject = &opened.subject;
        let texts = self.common.tokens(opened)?;
        let (context, judged) = (self.tokens as usize, self.judged as usize);
        let long = texts.iter().filter(|text| text.len() >= context + judged);
        let cases: Vec<Case> =
            long.filter_map(|text| packing::case(text, subject.delimiters, context, judged)).collect();
        let tokens = self.tokens + self.judged;
        if cases.is_empty() {
            let found = texts.iter().map(Vec::len).max().unwrap_or(0) as u32;
            return Err(SetupError::TooShort { tokens, found }.into());
        }
        let setup = Setup {
            memory: Memory::Relevance,
            tokens,
            l1: self.l1.unwrap_or((self.tokens / 4).max(LEAST_L1)),
            layer: self.paging.layer(opened)?,
            paging: self.paging.paging(),
            packed: true,
        };
        Setup { memory: Memory::Full, ..setup }.check(subject)?;
        eprintln!("measuring: the encodings, {} texts", cases.len());
        let mut costs = self.encodings(&cases, opened)?;
        eprintln!("measuring: the kernel's agents, {} of {tokens} tokens", setup.l1);
        let mut device = self.common.device(opened, &setup.telling_limits(subject, CANDIDATES))?;
        costs.push(packing::measure_kernel(&setup, &cases, subject, device.tensor_device())?);
        Ok(costs)
    }

    fn encodings(&self, cases: &[Case], opened: &Opened<'_>) -> Result<Vec<PackingCost>, CliError> {
        let subject = &opened.subject;
        let limits = packing::limits(self.tokens + self.judged, subject, CANDIDATES)?;
        let mut device = self.common.device(opened, &limits)?;
        let mut tables = Tables::new(limits, subject.delimiters.to_vec());
        let (mut sequence, mut pool) = tables.start()?;
        let at = (&mut sequence, &mut pool);
        Ok(packing::measure_encodings(cases, at, subject, device.tensor_device())
            .map_err(LibraryError::from)?)
    }
}
