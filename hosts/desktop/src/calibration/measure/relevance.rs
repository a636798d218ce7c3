//! The layers that find planted facts: those in which the queries of a question meet the mean key of the slice that
//! answers it.

use agentos_hal::{LayerRange, ModelShape, Reg, Segment};

use super::{CalibrateError, Subject};
use crate::calibration::texts::{Form, documents};
use crate::slicing::topics::summarise;
use crate::text::Special;

/// Which layers find facts.
pub struct Relevance {
    /// The layer that finds most, in the middle of those as good.
    pub layer: u32,
    /// The first layer that finds nearly as many.
    pub first: u32,
    /// The last of those around it.
    pub last: u32,
    /// The part of facts that it finds.
    pub found: f32,
}

/// A fact is found when its slice is among so many.
const TOP: usize = 4;

/// Rows of a question whose queries count: its last.
const QUERIES: usize = 8;

/// Who has which word: planted in turn, four in each context.
const FACTS: [(&str, &str); 16] = [
    ("Martin Keller", "orchid"),
    ("Anna Brandt", "granite"),
    ("Oliver Stone", "violet"),
    ("Lucy Hart", "anchor"),
    ("Peter Novak", "saffron"),
    ("Diana Frost", "walnut"),
    ("Samuel Reed", "copper"),
    ("Helen Marsh", "falcon"),
    ("George Bell", "lantern"),
    ("Clara Vogel", "marble"),
    ("Victor Lane", "cactus"),
    ("Emma Stark", "ribbon"),
    ("Frank Moreau", "pepper"),
    ("Julia Fischer", "harbor"),
    ("Thomas Gray", "silver"),
    ("Nora Quinn", "basket"),
];

/// Facts of a context.
const PLANTED: usize = 4;

/// Documents of a context, around the facts.
const DOCUMENTS: usize = 4;

/// Which layers find most of the facts planted between documents; `usual` where none finds more than others.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn measure(subject: &mut Subject<'_, '_>, usual: u32) -> Result<Relevance, CalibrateError> {
    let layers = subject.shape.layers as usize;
    let mut found = vec![0u32; layers];
    for (round, facts) in FACTS.chunks(PLANTED).enumerate() {
        let context = Context::plant(subject, round, facts)?;
        for ((name, _), place) in facts.iter().zip(&context.places) {
            let queries = context.ask(subject, name)?;
            for (layer, count) in found.iter_mut().enumerate() {
                let shares = context.shares(subject.shape, layer, &queries);
                *count += u32::from(rank(&shares, &context.slices, *place) < TOP);
            }
        }
    }
    Ok(choose(&found, FACTS.len() as u32, usual))
}

/// The best layer, and those around it that are nearly as good.
fn choose(found: &[u32], of: u32, usual: u32) -> Relevance {
    let most = found.iter().copied().max().unwrap_or(0);
    // Of layers that are equally good the one whose neighbours are best; then the usual one.
    let around =
        |layer: usize| -> u32 { found[layer.saturating_sub(2)..(layer + 3).min(found.len())].iter().sum() };
    let best = (0..found.len()).filter(|&layer| found[layer] == most);
    let far = |layer: usize| layer.abs_diff(usual as usize);
    let layer = best.reduce(|best, next| {
        let better =
            (around(next), std::cmp::Reverse(far(next))) > (around(best), std::cmp::Reverse(far(best)));
        if better { next } else { best }
    });
    let layer = layer.unwrap_or(0);
    // One fact in eight less is as good, as far as so few can tell.
    let good = |layer: usize| found[layer] + of / 8 >= most;
    let first = (0..=layer).rev().take_while(|&layer| good(layer)).last().unwrap_or(layer);
    let last = (layer..found.len()).take_while(|&layer| good(layer)).last().unwrap_or(layer);
    let part = most as f32 / of.max(1) as f32;
    Relevance { layer: layer as u32, first: first as u32, last: last as u32, found: part }
}

/// A row of a question: its address, and its queries in each layer.
type Asked = (u32, Vec<Vec<f32>>);

/// A context with facts in it.
struct Context {
    /// The address of the word of each fact.
    places: Vec<u32>,
    slices: Vec<Segment>,
    /// Of each layer, of each slice.
    mean_keys: Vec<Vec<Vec<f32>>>,
}

impl Context {
    /// Computes documents with facts between them.
    fn plant(
        subject: &mut Subject<'_, '_>,
        round: usize,
        facts: &[(&str, &str)],
    ) -> Result<Context, CalibrateError> {
        let all = documents();
        let mut tokens = subject.encode("")?;
        let mut places = Vec::new();
        for (index, (name, word)) in facts.iter().enumerate() {
            let document = &all[(round * DOCUMENTS + index) % all.len()];
            let half = document.len() / 2;
            let mut add = |text: &str| -> Result<usize, CalibrateError> {
                tokens.extend(subject.tokenizer.encode(text, Special::AsText)?);
                Ok(tokens.len())
            };
            add(&format!(" {}", Form::Flat.of(&document[..half])))?;
            places.push(add(&format!(" The password of {name} is {word}"))? as u32 - 1);
            add(&format!(". {}", Form::Flat.of(&document[half..])))?;
        }
        subject.reset();
        subject.compute(&tokens, &[], LayerRange::NONE, &mut |_| ())?;
        let mut context = Context {
            places,
            slices: subject.runner.sequence.slices().to_vec(),
            mean_keys: Vec::with_capacity(subject.shape.layers as usize),
        };
        let pages = subject.runner.sequence.page_ids().to_vec();
        for layer in 0..subject.shape.layers {
            let mut first = 0;
            let mut keys = Vec::with_capacity(context.slices.len());
            for slice in &context.slices {
                let own = &pages[first..first + slice.pages() as usize];
                first += own.len();
                keys.push(summarise(&mut subject.runner, own, slice.len as usize, layer)?.0);
            }
            context.mean_keys.push(keys);
        }
        Ok(context)
    }

    /// Asks for a fact behind everything so far; the question's last rows.
    fn ask(&self, subject: &mut Subject<'_, '_>, name: &str) -> Result<Vec<Asked>, CalibrateError> {
        let question =
            format!("\nQuestion: What is the password of {name}?\nAnswer: The password of {name} is");
        let tokens = subject.tokenizer.encode(&question, Special::AsText)?;
        let width = subject.shape.query_width() as usize;
        let mut address = subject.runner.sequence.tokens().len() as u32;
        let mut rows = Vec::with_capacity(tokens.len());
        let taps = subject.every_layer(Reg::Query);
        let mut show = |row: &[f32]| {
            rows.push((address, row.chunks_exact(width).map(<[f32]>::to_vec).collect::<Vec<_>>()));
            address += 1;
        };
        subject.compute(&tokens, &taps, LayerRange::NONE, &mut show)?;
        Ok(rows.split_off(rows.len().saturating_sub(QUERIES)))
    }

    /// The share of attention that each slice would get if its mean key stood for it: over rows and heads, softmax
    /// over slices of query · mean key / √head_dim.
    fn shares(&self, shape: &ModelShape, layer: usize, queries: &[Asked]) -> Vec<f64> {
        let head_dim = shape.head_dim as usize;
        let group = (shape.heads / shape.kv_heads) as usize;
        let frequencies: Vec<f64> = shape.rope.frequencies(&[]).collect();
        let mut shares = vec![0.0; self.slices.len()];
        let mut turned = vec![0.0; head_dim];
        for (address, layers) in queries {
            for (head, query) in layers[layer].chunks_exact(head_dim).enumerate() {
                let kv = head / group * head_dim;
                let score = |(slice, key): (&Segment, &Vec<f32>)| {
                    shape.rope.rotate(&frequencies, address - slice.base, query, &mut turned);
                    let dot: f64 =
                        turned.iter().zip(&key[kv..kv + head_dim]).map(|(q, &k)| q * f64::from(k)).sum();
                    dot / (head_dim as f64).sqrt()
                };
                let scores: Vec<f64> = self.slices.iter().zip(&self.mean_keys[layer]).map(score).collect();
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
                shares
                    .iter_mut()
                    .zip(&scores)
                    .for_each(|(share, score)| *share += (score - most).exp() / sum);
            }
        }
        shares
    }
}

/// How many slices are more relevant than the one that holds this address. The first is resident anyway.
fn rank(shares: &[f64], slices: &[Segment], place: u32) -> usize {
    let right = slices.partition_point(|slice| slice.base <= place) - 1;
    shares.iter().skip(1).filter(|&&share| share > shares[right]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_good_layers_is_chosen() {
        let found = [0, 1, 0, 2, 9, 15, 16, 16, 14, 3, 15, 0];
        let relevance = choose(&found, 16, 10);
        assert_eq!((relevance.layer, relevance.first, relevance.last), (6, 5, 8));
        assert_eq!(relevance.found, 1.0);
        let none = choose(&[0, 0, 0], 16, 2);
        assert_eq!((none.layer, none.first, none.last, none.found), (2, 0, 2, 0.0));
    }

    #[test]
    fn the_first_slice_takes_no_rank() {
        let slices = [(0, 8), (8, 8), (16, 8)].map(|(base, len)| Segment { base, len });
        assert_eq!(rank(&[9.0, 1.0, 2.0], &slices, 12), 1);
        assert_eq!(rank(&[9.0, 1.0, 2.0], &slices, 23), 0);
    }
}
