//! The layers that find planted facts: those in which the queries of a question meet the mean key of the slice that
//! answers it.

use agentos_hal::{LayerRange, ModelShape, Reg, Segment};
use agentos_kernel::memory::relevance::{Attention, Key, Look, QUERIES};
use agentos_kernel::system::config::Paging;

use super::{CONTEXT, CalibrateError, Subject};
use crate::calibration::texts::{Form, documents};
use crate::slicing::topics::summarise;
use crate::text::Special;

/// Which layers find facts.
pub struct Relevance {
    /// The layer to look with: the last of those around the best.
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

/// How a fact is told, and how it is asked for: of whom, and which word.
const RELATIONS: [(&str, &str); 4] = [
    ("The password of {name} is {word}", "What is the password of {name}?"),
    ("The boat that belongs to {name} is called {word}", "What is the name of the boat that {name} owns?"),
    ("In spring the mayor gave {name} a {word}", "What did {name} get from the mayor?"),
    ("Above the door of {name} somebody painted a {word}", "What is to be seen above the door of {name}?"),
];

/// Facts of a context.
const PLANTED: usize = 4;

/// Tokens before a question that it sees.
const LATEST: usize = 192;

/// Room for a question, in tokens.
const QUESTION_TOKENS: u32 = 128;

/// A fact as it is told and asked for.
struct Fact {
    told: String,
    asked: String,
}

impl Fact {
    fn of((name, word): (&str, &str), relation: usize) -> Fact {
        let (told, asked) = RELATIONS[relation % RELATIONS.len()];
        let told = told.replace("{name}", name).replace("{word}", word);
        Fact { told, asked: asked.replace("{name}", name) }
    }
}

/// The facts of each context. In half of them all are of one kind, and names alone tell them apart.
fn planted() -> Vec<Vec<Fact>> {
    let alike = FACTS
        .chunks(PLANTED)
        .enumerate()
        .map(|(round, facts)| facts.iter().map(|&fact| Fact::of(fact, round)).collect());
    let different = FACTS.chunks(PLANTED).enumerate().map(|(round, facts)| {
        facts.iter().enumerate().map(|(at, &fact)| Fact::of(fact, round + at + 1)).collect()
    });
    alike.chain(different).collect()
}

/// How a question ends: as a text that goes on with the answer, and as a message to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Text,
    Message,
}

/// Which layers find most of the facts planted between documents; `usual` where none finds more than others.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn measure(subject: &mut Subject<'_, '_>, usual: u32) -> Result<Relevance, CalibrateError> {
    let layers = subject.shape.layers as usize;
    let (mut found, mut asked) = (vec![0u32; layers], 0);
    for (round, facts) in planted().iter().enumerate() {
        let context = Context::plant(subject, round, facts)?;
        for (fact, place) in facts.iter().zip(&context.places) {
            for manner in [Manner::Text, Manner::Message] {
                let question = context.ask(subject, &fact.asked, manner)?;
                for (layer, count) in found.iter_mut().enumerate() {
                    let shares = context.shares(subject.shape, layer, &question);
                    *count += u32::from(rank(&shares, &context.slices, *place) < TOP);
                }
                asked += 1;
            }
        }
    }
    Ok(choose(&found, asked, usual))
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
    let best = layer.unwrap_or(0);
    // One fact in eight less is as good, as far as so few can tell.
    let good = |layer: usize| found[layer] + of / 8 >= most;
    let first = (0..=best).rev().take_while(|&layer| good(layer)).last().unwrap_or(best);
    let last = (best..found.len()).take_while(|&layer| good(layer)).last().unwrap_or(best);
    // Of them the last one: so few facts do not tell them apart, and the longer a context is, the more the later ones
    // find. Where none finds anything there is nothing to choose by.
    let layer = if most == 0 { usual } else { last as u32 };
    let part = most as f32 / of.max(1) as f32;
    Relevance { layer, first: first as u32, last: last as u32, found: part }
}

/// The last rows of a question: as many as the kernel looks with.
struct Question {
    /// Where the context ends behind them.
    end: u32,
    /// Of each row, of each layer.
    queries: Vec<Vec<Vec<f32>>>,
}

/// A context with facts in it.
struct Context {
    /// Its tokens.
    end: u32,
    /// What is left of it when a question comes: as a rule none of the facts.
    latest: Vec<u32>,
    /// The address of the word of each fact.
    places: Vec<u32>,
    slices: Vec<Segment>,
    /// Of each layer, of each slice.
    mean_keys: Vec<Vec<Vec<f32>>>,
}

impl Context {
    /// Computes documents with facts between them.
    fn plant(subject: &mut Subject<'_, '_>, round: usize, facts: &[Fact]) -> Result<Context, CalibrateError> {
        let all = documents();
        let mut documents = all.iter().cycle().skip(round * PLANTED);
        let mut tokens = subject.encode("")?;
        let mut places = Vec::new();
        let share = (CONTEXT.min(subject.shape.context) - QUESTION_TOKENS) as usize / PLANTED;
        for (index, fact) in facts.iter().enumerate() {
            let document = documents.next().expect("they begin anew");
            let (before, behind) = document.split_at(document.len() / 2);
            let text = |text: &str| subject.tokenizer.encode(&format!(" {text}"), Special::AsText);
            tokens.extend(text(&Form::Flat.of(before))?);
            tokens.extend(text(&fact.told)?);
            places.push(tokens.len() as u32 - 1);
            tokens.extend(text(".")?);
            tokens.extend(text(&Form::Flat.of(behind))?);
            // As many more as there is room for: the more slices, the more it takes to be among the first.
            loop {
                let more = text(&Form::Flat.of(documents.next().expect("they begin anew")))?;
                if tokens.len() + more.len() > (index + 1) * share {
                    break;
                }
                tokens.extend(more);
            }
        }
        subject.reset();
        subject.compute(&tokens, &[], LayerRange::NONE, &mut |_| ())?;
        let latest = tokens[tokens.len().saturating_sub(LATEST)..].to_vec();
        let mut context = Context {
            end: tokens.len() as u32,
            latest: [&subject.encode("")?[..], &latest].concat(),
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

    /// Asks for a fact where only the latest of the context is to be seen: so questions look for what was left out.
    fn ask(
        &self,
        subject: &mut Subject<'_, '_>,
        asked: &str,
        manner: Manner,
    ) -> Result<Question, CalibrateError> {
        let text = |text: &str| subject.tokenizer.encode(text, Special::AsText);
        let tokens = match manner {
            Manner::Text => text(&format!("\nQuestion: {asked}\nAnswer:"))?,
            Manner::Message => [&text(&format!("\n\n{asked}"))?[..], subject.turn].concat(),
        };
        let width = subject.shape.query_width() as usize;
        let taps = subject.every_layer(Reg::Query);
        let mut queries = Vec::with_capacity(tokens.len());
        let mut show =
            |row: &[f32]| queries.push(row.chunks_exact(width).map(<[f32]>::to_vec).collect::<Vec<_>>());
        subject.reset();
        subject.compute(&self.latest, &[], LayerRange::NONE, &mut |_| ())?;
        subject.compute(&tokens, &taps, LayerRange::NONE, &mut show)?;
        let end = self.end + tokens.len() as u32;
        Ok(Question { end, queries: queries.split_off(queries.len().saturating_sub(QUERIES)) })
    }

    /// How relevant each slice is, as the kernel reckons.
    fn shares(&self, shape: &ModelShape, layer: usize, question: &Question) -> Vec<f32> {
        let attention = Attention::of(shape);
        let mut scratch = vec![0.0; attention.scratch(self.slices.len())];
        let query = |row: usize| &question.queries[row][layer][..];
        let rows = question.queries.len();
        let mut look = Look::new(attention, Paging::DEFAULT.far, rows, query, &mut scratch);
        let mut shares: Vec<(usize, f32)> = (0..self.slices.len()).map(|slice| (slice, 0.0)).collect();
        // The mean of a slice's keys is the sum of one.
        let key = |&(slice, _): &(usize, f32)| Key {
            sum: &self.mean_keys[layer][slice],
            tokens: 1,
            distance: question.end - self.slices[slice].base,
        };
        look.score(&mut shares, key, |(_, share), more| *share += more);
        shares.into_iter().map(|(_, share)| share).collect()
    }
}

/// How many slices are more relevant than the one that holds this address. The first is resident anyway.
fn rank(shares: &[f32], slices: &[Segment], place: u32) -> usize {
    let right = slices.partition_point(|slice| slice.base <= place) - 1;
    shares.iter().skip(1).filter(|&&share| share > shares[right]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_the_good_layers_is_chosen() {
        let found = [0, 1, 0, 2, 9, 15, 16, 16, 14, 3, 15, 0];
        let relevance = choose(&found, 16, 10);
        assert_eq!((relevance.layer, relevance.first, relevance.last), (8, 5, 8));
        assert_eq!(relevance.found, 1.0);
        let none = choose(&[0, 0, 0], 16, 1);
        assert_eq!((none.layer, none.first, none.last, none.found), (1, 0, 2, 0.0));
    }

    #[test]
    fn facts_are_told_and_asked_for_by_name() {
        let contexts = planted();
        assert_eq!(contexts.len(), 8);
        for fact in contexts.iter().flatten() {
            assert!(!fact.told.contains('{') && !fact.asked.contains('{'), "{}", fact.told);
            assert!(FACTS.iter().any(|(name, word)| {
                fact.told.contains(name) && fact.told.contains(word) && fact.asked.contains(name)
            }));
        }
        let begins = |fact: &Fact, told: &str| fact.told.starts_with(told.split('{').next().unwrap());
        let kind = |fact: &Fact| RELATIONS.iter().position(|(told, _)| begins(fact, told)).unwrap();
        let kinds = |facts: &[Fact]| facts.iter().map(kind).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(contexts.iter().map(|facts| kinds(facts)).collect::<Vec<_>>(), [1, 1, 1, 1, 4, 4, 4, 4]);
    }

    #[test]
    fn the_first_slice_takes_no_rank() {
        let slices = [(0, 8), (8, 8), (16, 8)].map(|(base, len)| Segment { base, len });
        assert_eq!(rank(&[9.0, 1.0, 2.0], &slices, 12), 1);
        assert_eq!(rank(&[9.0, 1.0, 2.0], &slices, 23), 0);
    }
}
