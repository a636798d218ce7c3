//! The default model on the CPU, ready to be asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentos_desktop::constraint::{self, Constraint};
use agentos_desktop::context::{self, CHUNK, Purpose, Tables};
use agentos_desktop::device::{Device, DeviceOptions};
use agentos_desktop::generate::{self, GenerateError, Request, compute_with};
use agentos_desktop::host::SystemClock;
use agentos_desktop::text::{Message, RenderOptions, Special, Template, TokenStream, Tokenizer, encode_chat};
use agentos_desktop::tools::hidden::{Pooled, Reading, middle_layers};
use agentos_grammar::{Grammar, Vocabulary};
use agentos_hal::KvType;
use agentos_kernel::sample::{Sampler, Sampling};
use agentos_kernel::score::scored;
use agentos_kernel::sequence::Ask;
use agentos_tests::default_model::{DefaultModel, with_default_model};

/// A context that every question fits in.
const CONTEXT: u32 = 4096;

pub struct Ready {
    pub tokenizer: Arc<Tokenizer>,
    pub vocabulary: Vocabulary,
    pub layers: Vec<u32>,
    width: usize,
    template: Template,
    device: Device,
    tables: Tables,
}

// The test and the program use a part each.
#[allow(dead_code)]
impl Ready {
    pub fn new() -> Ready {
        with_default_model(Ready::of)
    }

    fn of(model: &DefaultModel<'_>) -> Ready {
        let file = &model.file;
        let shape = file.model.shape;
        let layers = middle_layers(shape.layers);
        let taps = layers.len() as u32;
        let purpose = Purpose { outcomes: CHUNK, candidates: 64, masks: 1, taps, exposed: CHUNK };
        let limits = context::limits(&shape, Some(CONTEXT), KvType::F16, purpose).unwrap();
        let mut device = Device::open(&DeviceOptions::cpu()).unwrap();
        device.prepare(&file.model, &limits, &mut file.weights()).unwrap();
        let tokenizer = Arc::new(model.tokenizer());
        Ready {
            vocabulary: constraint::vocabulary(&tokenizer).unwrap(),
            template: model.template(),
            width: shape.width as usize,
            tables: Tables::new(limits, tokenizer.delimiter_classes()),
            tokenizer,
            layers,
            device,
        }
    }

    /// The mean hidden row of a text in each of the middle layers.
    pub fn pooled(&mut self, text: &str) -> Pooled {
        let reading = Reading::new(text, &self.tokenizer).unwrap();
        let (mut sequence, mut pool) = self.tables.start().unwrap();
        let device = self.device.tensor_device();
        reading.pooled(&self.layers, self.width, &mut sequence, &mut pool, device).unwrap()
    }

    /// The tokens of a conversation, and of the beginning of the answer to it.
    pub fn conversation(&self, messages: &[Message], begun: &str) -> Vec<u32> {
        let options = RenderOptions { add_generation_prompt: true, now_s: 0 };
        let mut tokens = encode_chat(&self.template, &self.tokenizer, messages, &options).unwrap();
        tokens.extend(self.tokenizer.encode(begun, Special::AsText).unwrap());
        tokens
    }

    /// The log of the probability of a text after a context, and how many tokens it has.
    pub fn logprob(&mut self, context: &[u32], text: &str) -> (f64, usize) {
        let tokens = self.tokenizer.encode(text, Special::AsText).unwrap();
        let (mut sequence, mut pool) = self.tables.start().unwrap();
        sequence.push(context, &mut pool).unwrap();
        sequence.push_scored(&tokens, context.len() as u32 - 1, &mut pool).unwrap();
        let mut sum = 0.0;
        let mut observe = |rows: &[_], report: &agentos_hal::StepReport<'_>| {
            sum += scored(rows, report).map(|token| token.logprob).sum::<f64>();
        };
        compute_with(&mut sequence, self.device.tensor_device(), &Ask::default(), &mut observe).unwrap();
        (sum, tokens.len())
    }

    /// How long a step of one token takes, without a mask.
    pub fn step(&mut self) -> Duration {
        const TOKENS: u32 = 64;
        let prompt = self.tokenizer.encode("The lighthouse at Gull Point", Special::AsText).unwrap();
        let (mut sequence, mut pool) = self.tables.start().unwrap();
        let greedy = &Sampler::new(Sampling::GREEDY).unwrap();
        let request = Request { prompt: &prompt, sampler: greedy, max_tokens: TOKENS, is_end: &|_| false };
        let clock = SystemClock::since(Instant::now());
        let device = self.device.tensor_device();
        let mut ignore = |_: &generate::Generated<'_>| Ok(());
        let done = generate::generate(&mut sequence, &mut pool, device, &clock, &request, None, &mut ignore)
            .unwrap();
        let micros = done.timeline.last.micros_since(done.timeline.first);
        Duration::from_micros(micros / u64::from(TOKENS - 1))
    }

    /// A greedy answer that is held to a grammar.
    pub fn answer(
        &mut self,
        prompt: &[u32],
        grammar: &Grammar,
        max_tokens: u32,
    ) -> Result<String, GenerateError> {
        let (mut sequence, mut pool) = self.tables.start().unwrap();
        let tokenizer = &self.tokenizer;
        let request = Request {
            prompt,
            sampler: &Sampler::new(Sampling::GREEDY).unwrap(),
            max_tokens,
            is_end: &|token| tokenizer.is_end_of_generation(token),
        };
        let mut constraint = Constraint::new(grammar, &self.vocabulary);
        let (mut stream, mut text) = (TokenStream::continuing(tokenizer), String::new());
        let clock = SystemClock::since(Instant::now());
        let device = self.device.tensor_device();
        let mut on_token = |token: &generate::Generated<'_>| {
            stream.push(token.choice.token, &mut text);
            Ok(())
        };
        let constraint = Some(&mut constraint);
        generate::generate(&mut sequence, &mut pool, device, &clock, &request, constraint, &mut on_token)?;
        stream.finish(&mut text);
        Ok(text)
    }
}
