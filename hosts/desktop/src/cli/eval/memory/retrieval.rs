//! `agentos eval memory retrieval`: whether an agent finds what it was told.

use clap::Args;

use super::{Common, LEAST_L1, Opened, PagingOptions};
use crate::cli::error::CliError;
use crate::eval::memory::retrieval::{self, Exam, FACTS, Maker, Place, Sheet};
use crate::eval::memory::{Memory, Setup, SetupError, report};

/// `agentos eval memory retrieval`.
#[derive(Args, Debug)]
pub struct Retrieval {
    #[command(flatten)]
    pub(super) common: Common,
    /// Tokens of a text with its question; several for several runs
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1024",
          value_parser = clap::value_parser!(u32).range(512..=262_144))]
    tokens: Vec<u32>,
    /// Tokens that an agent may attend to, one number for each length or for all
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "256",
          value_parser = clap::value_parser!(u32).range(i64::from(LEAST_L1)..))]
    l1: Vec<u32>,
    /// Questions, four of each text
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    questions: u32,
    /// Where the facts are
    #[arg(long, value_enum, default_value = "anywhere")]
    place: Place,
    /// What may be attended to
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "full,relevance,recency,window,h2o,quest"
    )]
    memory: Vec<Memory>,
    #[command(flatten)]
    paging: PagingOptions,
}

impl Retrieval {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let sheets = self.common.open(|opened| self.sheets(opened))?;
        self.common.tell(&sheets, &report::of_sheets(&sheets), || report::draw_sheets(&sheets))
    }

    fn sheets(&self, opened: &Opened<'_>) -> Result<Vec<Sheet>, CliError> {
        let filler = self.common.texts()?.join("\n");
        let chat = opened.reading.chat();
        let maker = Maker { tokenizer: chat.tokenizer, template: chat.template, filler: &filler };
        let mut sheets = Vec::new();
        for setup in self.setups(opened)? {
            let exams = (0..u64::from(self.questions.div_ceil(FACTS as u32)))
                .map(|seed| maker.exam(setup.tokens as usize, self.place, seed))
                .collect::<Result<Vec<Exam>, _>>()?;
            eprintln!("measuring: {}, {} of {} tokens", setup.memory.name(), setup.l1, setup.tokens);
            let mut device = self.common.device(opened, &setup.limits(&opened.subject))?;
            sheets.push(retrieval::run(&setup, &exams, &opened.subject, device.tensor_device())?);
        }
        Ok(sheets)
    }

    /// Every policy with every length and its quota, all of them checked before the first is measured.
    fn setups(&self, opened: &Opened<'_>) -> Result<Vec<Setup>, CliError> {
        let (quotas, lengths) = (self.l1.len(), self.tokens.len());
        if quotas != 1 && quotas != lengths {
            return Err(SetupError::Quotas { quotas, lengths }.into());
        }
        let layer = self.paging.layer(opened)?;
        let mut setups = Vec::new();
        for (at, &tokens) in self.tokens.iter().enumerate() {
            let l1 = self.l1[if quotas == 1 { 0 } else { at }];
            for &memory in &self.memory {
                let setup = Setup { memory, tokens, l1, layer, paging: self.paging.paging(), packed: false };
                setup.check(&opened.subject)?;
                setups.push(setup);
            }
        }
        Ok(setups)
    }
}
