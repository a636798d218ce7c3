//! Contexts computed in some order of chunks and company, and all that was seen of them.

use std::collections::BTreeMap;
use std::ops::Range;

use agentos_hal::{Candidate, KvType, LayerRange, Mass, ModelShape, Outcome, PAGE_TOKENS, PageId, Tap, page};
use half::f16;

use crate::batch::{Batch, Context};
use crate::compare::{Apart, differing};
use crate::rig::Rig;
use crate::rng::Rng;

/// Steps, each of spans: a context, and the tokens of it that are computed.
pub type Schedule = Vec<Vec<(usize, Range<usize>)>>;

/// What was seen of one token.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its outcome; the row's number is left out.
    pub outcome: Outcome,
    /// Its candidates.
    pub candidates: Vec<Candidate>,
    /// Its exposed registers.
    pub exposed: Vec<f32>,
    /// Its attention entropy.
    pub entropy: f32,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// By context and token.
    pub tokens: BTreeMap<(usize, usize), Token>,
    /// Attention mass by context and slice, over all steps.
    pub mass: BTreeMap<(usize, usize), u64>,
    /// What the contexts' pages hold in the end, token by token.
    pub stored: Vec<f32>,
    /// Mean keys of the contexts' pages at layer 0.
    pub mean_keys: Vec<f32>,
    /// Attention mass of the contexts' tokens.
    pub token_mass: Vec<Mass>,
}

/// What the rows of a play report.
pub struct Asked {
    /// The taps.
    pub taps: Vec<Tap>,
    /// The counted layers.
    pub counters: LayerRange,
}

/// Computes the contexts as scheduled.
pub fn play(
    rig: &mut Rig,
    (shape, kv): (&ModelShape, KvType),
    contexts: &[Context],
    schedule: &Schedule,
    asked: &Asked,
) -> Result<Record, String> {
    let mut record = Record::default();
    for spans in schedule {
        step(rig, contexts, spans, asked, &mut record)?;
    }
    for slice in contexts.iter().flat_map(|context| &context.slices) {
        for (tokens, &page) in slice.tokens.chunks(PAGE_TOKENS).zip(&slice.pages) {
            record.stored.extend(tokens_of(&rig.image(page)?, shape, kv, tokens.len()));
            let (mean_key, mass) = rig.summary(page, 0, tokens.len())?;
            record.mean_keys.extend(mean_key);
            record.token_mass.extend(&mass[..tokens.len()]);
        }
    }
    Ok(record)
}

fn step(
    rig: &mut Rig,
    contexts: &[Context],
    spans: &[(usize, Range<usize>)],
    asked: &Asked,
    record: &mut Record,
) -> Result<(), String> {
    let mut batch = Batch::new(&asked.taps, asked.counters);
    for (context, tokens) in spans {
        contexts[*context].push(tokens.clone(), &mut batch);
    }
    batch.ask_all();
    let seen = rig.step(&batch)?;
    let stride = if batch.rows.is_empty() { 0 } else { seen.exposed.len() / batch.rows.len() };
    let named = spans.iter().flat_map(|(context, tokens)| tokens.clone().map(|token| (*context, token)));
    for (row, name) in named.enumerate() {
        let token = Token {
            outcome: Outcome { row: 0, ..seen.outcomes[row] },
            candidates: seen.candidates[row].clone(),
            exposed: seen.exposed[row * stride..][..stride].to_vec(),
            entropy: seen.entropy[row],
        };
        record.tokens.insert(name, token);
    }
    let segments = spans
        .iter()
        .zip(&batch.spans)
        .flat_map(|((context, _), span)| (0..span.segments as usize).map(|slice| (*context, slice)));
    for (name, Mass(mass)) in segments.zip(seen.mass) {
        *record.mass.entry(name).or_default() += mass;
    }
    Ok(())
}

/// The first tokens of a page image as numbers: by layer, head and token, its key, then its value.
pub fn tokens_of(image: &[u8], shape: &ModelShape, kv: KvType, tokens: usize) -> Vec<f32> {
    let element = |i: usize| match kv {
        KvType::F16 => f16::from_le_bytes([image[2 * i], image[2 * i + 1]]).to_f32(),
        KvType::F32 => f32::from_le_bytes([0, 1, 2, 3].map(|byte| image[4 * i + byte])),
    };
    let (head_dim, vectors) = (shape.head_dim as usize, page::head_elements(shape));
    let mut out = Vec::new();
    for head in 0..(shape.layers * shape.kv_heads) as usize {
        for token in 0..tokens {
            let start = head * 2 * vectors;
            out.extend((0..head_dim).map(|dim| element(start + dim * PAGE_TOKENS + token)));
            out.extend((0..head_dim).map(|dim| element(start + vectors + token * head_dim + dim)));
        }
    }
    out
}

impl Record {
    /// How many numbers differ; tokens that only one of the two has are left out.
    pub fn differences(&self, other: &Record) -> Apart {
        let common =
            self.tokens.iter().filter_map(|(name, token)| Some((name, token, other.tokens.get(name)?)));
        let of_token = |(&(context, token), a, b): (&(usize, usize), &Token, &Token)| {
            a.differences(b).of(|| format!("token {token} of context {context}"))
        };
        common.map(of_token).sum()
    }

    /// [`Record::differences`], and those in masses and page memory.
    pub fn all_differences(&self, other: &Record) -> Apart {
        let masses = |record: &Record| record.mass.values().copied().collect::<Vec<_>>();
        let tokens = self.tokens.len().abs_diff(other.tokens.len()) as f64;
        self.differences(other)
            + tokens.into()
            + differing(&masses(self), &masses(other)).of(|| "masses of the segments".to_owned())
            + differing(&self.stored, &other.stored).of(|| "keys and values stored".to_owned())
            + differing(&self.mean_keys, &other.mean_keys).of(|| "mean keys".to_owned())
            + differing(&self.token_mass, &other.token_mass).of(|| "masses of the tokens".to_owned())
    }
}

impl Token {
    fn differences(&self, other: &Token) -> Apart {
        differing(&self.exposed, &other.exposed).of(|| "its exposed row".to_owned())
            + differing(&[self.entropy], &[other.entropy]).of(|| "its attention entropy".to_owned())
            + differing(&self.candidates, &other.candidates).of(|| "its candidates".to_owned())
            + differing(&[self.outcome], &[other.outcome]).of(|| "its outcome".to_owned())
    }
}

/// Every context by itself, in as few steps as the rows of a step allow.
pub fn alone(contexts: &[Context], rows: usize) -> Schedule {
    let chunks = |(i, context): (usize, &Context)| chunked(i, 0, context.tokens(), rows);
    contexts.iter().enumerate().flat_map(chunks).collect()
}

/// One context's tokens from `start` in chunks.
pub fn chunked(context: usize, start: usize, end: usize, rows: usize) -> Schedule {
    let starts = (start..end).step_by(rows);
    starts.map(|from| vec![(context, from..end.min(from + rows))]).collect()
}

/// Contexts in random company, order and chunks.
pub fn mixed(contexts: &[Context], rows: usize, rng: &mut Rng) -> Schedule {
    let mut done: Vec<usize> = vec![0; contexts.len()];
    let mut schedule = Vec::new();
    loop {
        let mut open: Vec<usize> = (0..contexts.len()).filter(|&i| done[i] < contexts[i].tokens()).collect();
        if open.is_empty() {
            return schedule;
        }
        rng.shuffle(&mut open);
        let mut left = rows;
        let mut spans = Vec::new();
        for &i in &open[..rng.among(1..=open.len() as u32) as usize] {
            let most = (contexts[i].tokens() - done[i]).min(left);
            if most > 0 {
                let count = rng.among(1..=most as u32) as usize;
                spans.push((i, done[i]..done[i] + count));
                done[i] += count;
                left -= count;
            }
        }
        schedule.push(spans);
    }
}

/// Pages of the contexts, each once, with the tokens that each holds.
pub fn pages_of(contexts: &[Context]) -> Vec<(PageId, usize)> {
    let slices = contexts.iter().flat_map(|context| &context.slices);
    let mut pages: Vec<(PageId, usize)> = slices
        .flat_map(|slice| slice.pages.iter().copied().zip(slice.tokens.chunks(PAGE_TOKENS).map(<[u32]>::len)))
        .collect();
    pages.sort_by_key(|(page, _)| page.0);
    pages.dedup();
    pages
}
