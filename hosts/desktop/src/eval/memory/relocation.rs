//! Relocation: what it costs that passages were computed elsewhere and are mapped as they are, by what may follow in the
//! text behind them. Contexts are made as the kernel makes them for a question (see [`crate::knowledge::ask`]): an agent
//! that says nothing computes a passage and forwards it.

use agentos_hal::{Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::{MemoryMode, Receive, Spec};
use agentos_kernel::call::{Call, Forward, Tokens};
use agentos_kernel::layout::Delimiter;
use agentos_kernel::memory::select::Policy;
use agentos_kernel::system::Config;
use serde::Serialize;

use super::Subject;
use super::reading::{reader, watched};
use crate::bench::BenchError;
use crate::bench::kernel::host::{agent, bytes_of};
use crate::boot::Boot;
use crate::distribution::{Distance, Distribution};
use crate::knowledge::ask::Bounds;
use crate::slicing::runner::slices_of;

/// Where the passages of a case are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// One text, in which they follow each other.
    Same,
    /// Each is from a text of its own, the last one from that which goes on behind it.
    Different,
}

/// Passages of a case, of which the last one, two or all four are used.
pub const PASSAGES: usize = 4;

/// How many of them.
pub const COUNTS: [usize; 3] = [1, 2, 4];

/// How passages come into a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrangement {
    /// Computed there: what the others are compared with.
    Exact,
    /// Not at all.
    Absent,
    /// Mapped as they were computed at the beginning of a context of their own.
    Alone,
    /// Mapped as each was computed behind the beginning that all have in common.
    Behind,
}

impl Arrangement {
    /// Those that are compared with the exact one.
    pub const ALL: [Arrangement; 3] = [Arrangement::Absent, Arrangement::Alone, Arrangement::Behind];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Arrangement::Exact => "exact",
            Arrangement::Absent => "absent",
            Arrangement::Alone => "computed alone",
            Arrangement::Behind => "behind the same beginning",
        }
    }
}

/// Passages, and what follows the last one in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Each is whole slices.
    pub passages: Vec<Vec<u32>>,
    /// The text behind the last one.
    pub text: Vec<u32>,
}

/// What an arrangement costs.
#[derive(Clone, Debug, Serialize)]
pub struct Relocated {
    /// Passages.
    pub passages: u32,
    /// How they came into the context.
    pub arrangement: Arrangement,
    /// Cases.
    pub cases: u32,
    /// Tokens that were mapped and not computed, over all cases.
    pub mapped: u64,
    /// How far what may follow is from the exact.
    #[serde(flatten)]
    pub distance: Distance,
}

/// Cases of texts, in turn one of each, at most so many: passages of at least `passage` tokens, and `judged` of what
/// follows them. A text that comes twice counts once. Of fewer than [`PASSAGES`] texts there are no cases whose passages
/// are from different ones.
pub fn cases(
    texts: &[Vec<u32>],
    delimiters: &[Delimiter],
    (passage, judged): (usize, usize),
    source: Source,
    most: usize,
) -> Vec<Case> {
    let of_text = |text: &Vec<u32>| {
        let (ends, _) = slices_of(text, delimiters);
        let (mut found, mut passages, mut from) = (Vec::new(), Vec::new(), 0);
        for &end in &ends {
            let end = end as usize;
            if end - from < passage {
                continue;
            }
            passages.push(text[from..end].to_vec());
            from = end;
            if passages.len() == PASSAGES {
                let Some(following) = text.get(end..end + judged) else { break };
                found.push(Case { passages: std::mem::take(&mut passages), text: following.to_vec() });
            }
        }
        found
    };
    let different = texts.iter().enumerate().filter(|&(at, text)| !texts[..at].contains(text));
    let of_texts: Vec<Vec<Case>> = different.map(|(_, text)| of_text(text)).collect();
    let longest = of_texts.iter().map(Vec::len).max().unwrap_or(0);
    let numbers = || 0..of_texts.len();
    let in_turn = (0..longest).flat_map(|at| numbers().map(move |text| (text, at)));
    let case = |(text, at): (usize, usize)| {
        let case = of_texts[text].get(at)?;
        match source {
            Source::Same => Some(case.clone()),
            Source::Different => mixed(&of_texts, text, at),
        }
    };
    in_turn.filter_map(case).take(most).collect()
}

/// A case with all passages but the last one from the texts behind its own, where there are enough.
fn mixed(of_texts: &[Vec<Case>], text: usize, at: usize) -> Option<Case> {
    let own = &of_texts[text][at];
    let others = (1..of_texts.len()).map(|distance| &of_texts[(text + distance) % of_texts.len()]);
    let others = others.filter(|cases| !cases.is_empty()).take(PASSAGES - 1);
    let mut passages: Vec<Vec<u32>> =
        others.enumerate().map(|(place, cases)| cases[at % cases.len()].passages[place].clone()).collect();
    passages.push(own.passages.last()?.clone());
    (passages.len() == PASSAGES).then(|| Case { passages, text: own.text.clone() })
}

/// What the context of the largest case needs.
fn bounds(before: &[u32], cases: &[Case]) -> Bounds {
    let most = |of: &dyn Fn(&Case) -> usize| cases.iter().map(of).max().unwrap_or(0) as u32;
    Bounds {
        before: before.len() as u32,
        // One agent more than there are passages: the first is sent like the others.
        passages: PASSAGES as u16 + 1,
        passage_tokens: most(&|case| case.passages.iter().map(Vec::len).sum()),
        after: most(&|case| case.text.len()),
        max_tokens: 1,
    }
}

fn config(before: &[u32], cases: &[Case], subject: &Subject<'_>) -> Config {
    Config {
        cold_slices: 0,
        trained_context: subject.shape.context,
        ..bounds(before, cases).config(subject.kv)
    }
}

/// Tokens of the longest context behind these tokens.
pub fn context(before: &[u32], cases: &[Case]) -> u32 {
    bounds(before, cases).context()
}

/// What a device is prepared with for cases behind these tokens, so that it tells so many candidates of each row.
pub fn limits(before: &[u32], cases: &[Case], subject: &Subject<'_>, candidates: u32) -> Limits {
    let limits = config(before, cases, subject).device_limits(subject.shape);
    Limits { outcomes: limits.rows, candidates: candidates.min(subject.shape.vocab), ..limits }
}

/// Compares all arrangements of all cases behind whole slices with the exact ones; `tell` is told how many cases are done.
///
/// # Errors
/// Any [`BenchError`].
pub fn measure(
    before: &[u32],
    cases: &[Case],
    subject: &Subject<'_>,
    device: &mut dyn TensorDevice,
    tell: &mut dyn FnMut(usize),
) -> Result<Vec<Relocated>, BenchError> {
    let mut found = Vec::new();
    for passages in COUNTS {
        for arrangement in Arrangement::ALL {
            let distance = Distance::default();
            found.push(Relocated { passages: passages as u32, arrangement, cases: 0, mapped: 0, distance });
        }
    }
    let config = config(before, cases, subject);
    for (number, case) in cases.iter().enumerate() {
        tell(number);
        for (passages, row) in COUNTS.into_iter().zip(found.chunks_mut(Arrangement::ALL.len())) {
            let case =
                Case { passages: case.passages[PASSAGES - passages..].to_vec(), text: case.text.clone() };
            let mut next = |arrangement| follow(before, &case, arrangement, (config, subject), device);
            let (exact, _) = next(Arrangement::Exact)?;
            for relocated in row {
                let (next, mapped) = next(relocated.arrangement)?;
                relocated.cases += 1;
                relocated.mapped += mapped;
                relocated.distance.add(&exact, &next);
            }
        }
    }
    Ok(found)
}

/// What may follow each token of a case's text, and how many tokens before it were mapped.
fn follow(
    before: &[u32],
    case: &Case,
    arrangement: Arrangement,
    (config, subject): (Config, &Subject<'_>),
    device: &mut dyn TensorDevice,
) -> Result<(Vec<Distribution>, u64), BenchError> {
    let (shape, delimiters): (&ModelShape, _) = (subject.shape, subject.delimiters.to_vec());
    let mut boot = Boot::new(config, shape, delimiters, Vec::new());
    let mut host = watched(&mut boot, device, Policy::Relevance)?;
    let passages = match arrangement {
        Arrangement::Absent => &[],
        _ => &case.passages[..],
    };
    let behind = passages.concat();
    let from = (before.len() + behind.len()) as u32;
    let spec = Spec { receive: Receive::Mapped, ..reader(MemoryMode::Exact, config.context) };
    let mut mapped = 0;
    match arrangement {
        Arrangement::Exact | Arrangement::Absent => {
            host.device.watch(from, &case.text);
            host.spawn(spec, &[before, &behind, &case.text].concat())?;
            host.rest()?;
        }
        Arrangement::Alone | Arrangement::Behind => {
            let own = if arrangement == Arrangement::Behind { before } else { &[] };
            let receiver = host.spawn(spec, before)?;
            let text = bytes_of(&case.text);
            let mut senders = Vec::new();
            for passage in passages {
                let prompt = [own, passage].concat();
                let spec = Spec { context: prompt.len() as u32, ..spec };
                senders.push(host.spawn(spec, &prompt)?);
            }
            host.rest()?;
            // All in one go, so that they are mapped one behind another: from here on nobody else computes.
            host.device.watch(from, &case.text);
            for (number, (&sender, passage)) in senders.iter().zip(passages).enumerate() {
                let is_last = number + 1 == passages.len();
                let forward = Forward {
                    from: sender,
                    start: own.len() as u32,
                    end: (own.len() + passage.len()) as u32,
                    to: receiver,
                    before: Tokens(&[]),
                    after: Tokens(if is_last { &text } else { &[] }),
                };
                host.call(&Call::Forward(forward))?;
            }
            host.rest()?;
            mapped = agent(&host.kernel, receiver).metrics.relocated;
        }
    }
    Ok((host.device.take().next()?, mapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_are_whole_slices_that_follow_each_other() {
        let mut delimiters = vec![Delimiter::None; 100];
        delimiters[0] = Delimiter::Sentence;
        // A sentence ends every ten tokens.
        let text: Vec<u32> = (0..300).map(|at| if at % 10 == 9 { 0 } else { at % 97 + 1 }).collect();
        let found = cases(&[text.clone(), text[..120].to_vec()], &delimiters, (15, 16), Source::Same, 9);
        assert_eq!(found.len(), 4);
        for case in &found {
            assert!(case.passages.iter().all(|passage| passage.len() == 20), "{case:?}");
            assert_eq!((case.passages.len(), case.text.len()), (4, 16));
        }
        assert_eq!(found[0].passages.concat(), text[..80]);
        assert_eq!(found[0].text, text[80..96]);
        // The second text has one case, and comes second.
        assert_eq!(found[0], found[1]);
        assert_eq!(cases(&[text.clone(), text], &delimiters, (15, 16), Source::Same, 9).len(), 3);
    }

    #[test]
    fn passages_of_different_texts_are_from_as_many() {
        let mut delimiters = vec![Delimiter::None; 500];
        delimiters[0] = Delimiter::Sentence;
        let text = |number: u32| -> Vec<u32> {
            (0..200).map(|at| if at % 10 == 9 { 0 } else { 100 * number + at % 97 + 1 }).collect()
        };
        let texts: Vec<Vec<u32>> = (0..4).map(text).collect();
        let found = cases(&texts, &delimiters, (15, 16), Source::Different, 9);
        assert_eq!(found.len(), 8);
        for case in &found {
            let of: std::collections::BTreeSet<u32> =
                case.passages.iter().map(|tokens| tokens[0] / 100).collect();
            assert_eq!(of.len(), 4);
            assert_eq!(case.passages[3][0] / 100, case.text[0] / 100);
        }
        assert_eq!(found[0].text, cases(&texts, &delimiters, (15, 16), Source::Same, 1)[0].text);
        assert_eq!(cases(&texts[..3], &delimiters, (15, 16), Source::Different, 9), []);
    }
}
