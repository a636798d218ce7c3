//! `agentos eval memory loss`: how much worse a text is foretold.

use clap::Args;

use super::{Common, LEAST_L1, Opened, PagingOptions};
use crate::cli::error::CliError;
use crate::eval::memory::loss::{self, Loss};
use crate::eval::memory::{Memory, Setup, SetupError, report};

/// `agentos eval memory loss`.
#[derive(Args, Debug)]
pub struct LossEval {
    #[command(flatten)]
    pub(super) common: Common,
    /// Tokens of a text: each begins with a file and goes on with the next ones where that is shorter
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    tokens: u32,
    /// Texts, at most
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    texts: u32,
    /// Tokens that may be attended to [default: a fourth and an eighth of a text's]
    #[arg(long, value_name = "N,…", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(i64::from(LEAST_L1)..))]
    l1: Vec<u32>,
    /// What may be attended to, beside full attention
    #[arg(long, value_enum, value_delimiter = ',', default_value = "relevance,recency,window,h2o,quest")]
    memory: Vec<Memory>,
    #[command(flatten)]
    paging: PagingOptions,
}

impl LossEval {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let losses = self.common.open(|opened| self.losses(opened))?;
        self.common.tell(&losses, &report::of_losses(&losses), || report::draw_losses(&losses))
    }

    fn losses(&self, opened: &Opened<'_>) -> Result<Vec<Loss>, CliError> {
        let full = self.setup(Memory::Full, self.tokens, opened)?;
        let texts = texts(&self.common.tokens(opened)?, self.tokens as usize, self.texts as usize)?;
        let mut setups = Vec::new();
        for l1 in self.quotas() {
            for &memory in self.memory.iter().filter(|&&memory| memory != Memory::Full) {
                setups.push(self.setup(memory, l1, opened)?);
            }
        }
        let exact = self.logprobs(&full, &texts, opened)?;
        let mut losses = Vec::new();
        let mut count = |setup: &Setup, own: &[Vec<f64>]| {
            let each: Vec<Loss> =
                own.iter().zip(&exact).map(|(own, exact)| Loss::of(setup, own, exact)).collect();
            losses.extend(loss::over(&each));
        };
        count(&full, &exact);
        for setup in &setups {
            count(setup, &self.logprobs(setup, &texts, opened)?);
        }
        Ok(losses)
    }

    /// The log-probabilities of the tokens of each text.
    fn logprobs(
        &self,
        setup: &Setup,
        texts: &[Vec<u32>],
        opened: &Opened<'_>,
    ) -> Result<Vec<Vec<f64>>, CliError> {
        eprintln!("measuring: {}, {} of {} tokens", setup.memory.name(), setup.l1, setup.tokens);
        let subject = &opened.subject;
        let mut device = self.common.device(opened, &setup.telling_limits(subject, 1))?;
        let one = |text: &Vec<u32>| Ok(loss::logprobs(setup, text, subject, device.tensor_device())?);
        texts.iter().map(one).collect()
    }

    fn quotas(&self) -> Vec<u32> {
        if self.l1.is_empty() {
            return report::unique([4, 8].map(|part| (self.tokens / part).max(LEAST_L1)).into_iter());
        }
        self.l1.clone()
    }

    fn setup(&self, memory: Memory, l1: u32, opened: &Opened<'_>) -> Result<Setup, CliError> {
        let shape = opened.subject.shape;
        // Beyond what the model was trained for there is no full attention to compare with.
        if self.tokens > shape.context {
            let (tokens, trained) = (self.tokens, shape.context);
            return Err(SetupError::TooLong { memory: Memory::Full, tokens, trained }.into());
        }
        let layer = self.paging.layer(opened)?;
        let paging = self.paging.paging();
        Ok(Setup { memory, tokens: self.tokens, l1, layer, paging, packed: false })
    }
}

/// Texts of so many tokens: each begins with a file and goes on with the next ones as far as it is short.
fn texts(files: &[Vec<u32>], tokens: usize, most: usize) -> Result<Vec<Vec<u32>>, SetupError> {
    let (mut texts, mut text) = (Vec::new(), Vec::new());
    for file in files {
        text.extend_from_slice(file);
        if text.len() >= tokens {
            text.truncate(tokens);
            texts.push(std::mem::take(&mut text));
        }
    }
    if texts.is_empty() {
        return Err(SetupError::TooShort { tokens: tokens as u32, found: text.len() as u32 });
    }
    texts.truncate(most);
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_begins_with_a_file_and_is_as_long_as_all() {
        let files = [vec![1; 3], vec![2; 9], vec![3; 5], vec![4; 4]];
        let found = texts(&files, 5, 9).unwrap();
        assert_eq!(found, [vec![1, 1, 1, 2, 2], vec![3; 5]]);
        assert_eq!(texts(&files, 5, 1).unwrap().len(), 1);
        assert_eq!(texts(&files, 50, 1), Err(SetupError::TooShort { tokens: 50, found: 21 }));
    }
}
