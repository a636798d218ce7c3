use std::string::ToString;
use std::vec;
use std::vec::Vec;

use agentos_hal::{LateMasks, MaskError, PageId, Reg, StepFault, Tap};
use proptest::prelude::*;

use super::*;
use crate::fake::{FakeDevice, Hitch, LIMITS, VOCAB};
use crate::sample::{Sampling, Weighed};
use crate::score::{Scored, scored};

/// The tables behind a sequence; tokens that are multiples of ten end a sentence.
struct Host {
    tokens: Vec<u32>,
    slices: Vec<Segment>,
    pages: Vec<PageId>,
    rows: Vec<Row>,
    candidates: Vec<agentos_hal::Candidate>,
    weighed: Vec<Weighed>,
    delimiters: Vec<Delimiter>,
    free: Vec<PageId>,
    limits: Limits,
}

impl Host {
    fn new(limits: Limits, chunk: u32) -> Host {
        let sizes = TableSizes::new(&limits, chunk);
        let ends = |token| {
            if token % 10 == 0 { Delimiter::Sentence } else { Delimiter::None }
        };
        Host {
            tokens: vec![0; sizes.tokens],
            slices: vec![VACANT_SLICE; sizes.slices],
            pages: vec![PageId(0); sizes.pages],
            rows: vec![VACANT_ROW; sizes.rows],
            candidates: vec![VACANT_CANDIDATE; sizes.candidates],
            weighed: vec![Weighed::default(); sizes.candidates],
            delimiters: (0..VOCAB).map(ends).collect(),
            free: vec![PageId(0); limits.pages as usize],
            limits,
        }
    }

    fn start(&mut self) -> (Sequence<'_>, PagePool<'_>, FakeDevice) {
        let tables = SequenceTables {
            tokens: &mut self.tokens,
            slices: &mut self.slices,
            pages: &mut self.pages,
            rows: &mut self.rows,
            candidates: &mut self.candidates,
            weighed: &mut self.weighed,
        };
        let sequence = Sequence::new(tables, &self.delimiters, SliceLimits::DEFAULT, &self.limits).unwrap();
        (sequence, PagePool::new(&mut self.free), FakeDevice::new(self.limits))
    }
}

fn prompt(len: u32) -> Vec<u32> {
    (0..len).map(|index| (index * 7 + 3) % VOCAB).collect()
}

fn run(sequence: &mut Sequence<'_>, device: &mut FakeDevice) -> Vec<Tick> {
    let mut ticks = Vec::new();
    loop {
        let tick = sequence.tick(device).unwrap();
        if tick == Tick::Idle {
            return ticks;
        }
        ticks.push(tick);
    }
}

#[test]
fn a_prompt_goes_in_chunks_and_its_end_has_candidates() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Idle));
    sequence.push(&prompt(20), &mut pool).unwrap();
    device.hitches.push_back(Hitch::Pending);
    let ticks = run(&mut sequence, &mut device);
    let expected = [
        Tick::Submitted { rows: 8 },
        Tick::Pending,
        Tick::Prefilled { rows: 8 },
        Tick::Submitted { rows: 8 },
        Tick::Prefilled { rows: 8 },
        Tick::Submitted { rows: 4 },
        Tick::Ready { rows: 4 },
    ];
    assert_eq!(ticks, expected);
    let next = sequence.next().unwrap();
    assert_eq!((next.candidates.len(), next.log_sum_exp, next.entropy), (3, 1.5, 0.7));
    let best = next.candidates[0].token;
    let choice = sequence.choose(&Sampler::new(Sampling::GREEDY).unwrap()).unwrap();
    assert_eq!((choice.token, choice.logprob), (best, -0.5));
    sequence.push(&[choice.token], &mut pool).unwrap();
    assert!(sequence.next().is_none());
    assert_eq!(run(&mut sequence, &mut device).last(), Some(&Tick::Ready { rows: 1 }));
}

#[test]
fn a_busy_device_is_asked_again_with_the_same_rows() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    device.refusals.extend([SubmitError::Busy; 2]);
    sequence.push(&prompt(5), &mut pool).unwrap();
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Pending));
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Pending));
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 5 }));
    assert_eq!(device.steps, [5]);
}

#[test]
fn a_refused_step_is_a_typed_error_and_tried_again() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    let fault = SubmitError::Step(StepFault::Token { row: 2 });
    device.refusals.push_back(fault);
    sequence.push(&prompt(5), &mut pool).unwrap();
    let error = sequence.tick(&mut device).unwrap_err();
    assert_eq!(error, SequenceError::Submit(fault));
    assert_eq!(error.to_string(), "the device refused a step: row 2: the token is not in the vocabulary");
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 5 }));
}

#[test]
fn a_failed_step_changes_nothing_and_is_computed_again() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push(&prompt(11), &mut pool).unwrap();
    run(&mut sequence, &mut device);
    let undisturbed = sequence.next().unwrap().candidates.to_vec();
    sequence.reset(&mut pool);
    sequence.push(&prompt(11), &mut pool).unwrap();
    device.hitches.extend([Hitch::Fails(DeviceError::Hung)]);
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 8 }));
    assert_eq!(sequence.tick(&mut device), Err(SequenceError::Device(DeviceError::Hung)));
    assert_eq!(sequence.computed(), 0);
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 8 }));
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Prefilled { rows: 8 }));
    device.hitches.push_back(Hitch::NotANumber);
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 3 }));
    let error = SequenceError::Device(DeviceError::NotFinite { row: 2 });
    assert_eq!(sequence.tick(&mut device), Err(error));
    assert_eq!((sequence.computed(), sequence.next().is_none()), (8, true));
    run(&mut sequence, &mut device);
    assert_eq!(sequence.next().unwrap().candidates, undisturbed);
    assert_eq!(device.steps, [8, 3, 8, 8, 3, 3]);
}

#[test]
fn a_full_context_says_what_would_fit_and_takes_nothing() {
    let mut host = Host::new(Limits { context: 30, ..LIMITS }, 8);
    let (mut sequence, mut pool, _) = host.start();
    sequence.push(&prompt(20), &mut pool).unwrap();
    let (room, pages) = (sequence.room(), pool.free());
    assert_eq!(room, 10);
    let full = SequenceError::Full { room: Room::Context, pushed: 11, fits: 10 };
    assert_eq!(sequence.push(&prompt(11), &mut pool), Err(full));
    assert_eq!(full.to_string(), "the context is full: 11 tokens were to be added; 10 would fit");
    assert_eq!((sequence.tokens().len(), pool.free()), (20, pages));
    sequence.push(&prompt(10), &mut pool).unwrap();
    assert_eq!(sequence.room(), 0);
}

#[test]
fn each_kind_of_room_is_refused_by_its_name() {
    let refusal = |limits: Limits| {
        let mut host = Host::new(limits, 8);
        let (mut sequence, mut pool, _) = host.start();
        // Every slice is sealed at its eighth token.
        sequence.push(&[10; 100], &mut pool).unwrap_err()
    };
    let full = |room, fits| SequenceError::Full { room, pushed: 100, fits };
    assert_eq!(refusal(Limits { segments: 3, ..LIMITS }), full(Room::Slices, 24));
    assert_eq!(refusal(Limits { segment_pages: 5, ..LIMITS }), full(Room::Mapped, 40));
    assert_eq!(refusal(Limits { pages: 7, ..LIMITS }), full(Room::Pages, 56));
}

#[test]
fn an_unknown_token_is_refused() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    let error = sequence.push(&[1, VOCAB], &mut pool).unwrap_err();
    assert_eq!(error, SequenceError::Token { index: 1, token: VOCAB, vocab: VOCAB as usize });
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Idle));
}

#[test]
fn limits_without_room_are_refused() {
    let limits = Limits { candidates: 0, ..LIMITS };
    let mut host = Host::new(LIMITS, 8);
    let tables = SequenceTables {
        tokens: &mut host.tokens,
        slices: &mut host.slices,
        pages: &mut host.pages,
        rows: &mut host.rows,
        candidates: &mut host.candidates,
        weighed: &mut host.weighed,
    };
    let error = Sequence::new(tables, &host.delimiters, SliceLimits::DEFAULT, &limits).unwrap_err();
    assert_eq!(error, SequenceError::Empty { what: "candidates" });
}

#[test]
fn a_reset_gives_pages_back_and_drops_the_step_under_way() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    let free = pool.free();
    sequence.push(&prompt(20), &mut pool).unwrap();
    assert_eq!(pool.free(), free - sequence.pages());
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 8 }));
    sequence.reset(&mut pool);
    assert_eq!((pool.free(), sequence.tokens().len()), (free, 0));
    sequence.push(&prompt(3), &mut pool).unwrap();
    device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Pending));
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 3 }));
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Ready { rows: 3 }));
}

#[test]
fn what_is_pushed_while_a_step_runs_is_computed_after_it() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push(&prompt(4), &mut pool).unwrap();
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Submitted { rows: 4 }));
    sequence.push(&[9, 9], &mut pool).unwrap();
    assert_eq!(sequence.tick(&mut device), Ok(Tick::Prefilled { rows: 4 }));
    assert!(sequence.next().is_none());
    assert_eq!(run(&mut sequence, &mut device).last(), Some(&Tick::Ready { rows: 2 }));
}

#[test]
fn a_context_goes_back_to_where_a_slice_ended() {
    let mut host = Host::new(LIMITS, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    // The tenth token of every ten ends a sentence.
    let text: Vec<u32> = (1..=40).collect();
    sequence.push(&text[..20], &mut pool).unwrap();
    run(&mut sequence, &mut device);
    let (free, pages) = (pool.free(), sequence.page_ids().to_vec());
    let mut told = Vec::new();
    for _ in 0..2 {
        sequence.push(&text[20..], &mut pool).unwrap();
        assert_eq!(run(&mut sequence, &mut device).last(), Some(&Tick::Ready { rows: 4 }));
        told.push((
            sequence.tokens().to_vec(),
            sequence.slices().to_vec(),
            sequence.next().unwrap().log_sum_exp,
        ));
        assert_eq!(sequence.rewind(20, &mut pool), 20);
        assert_eq!((pool.free(), sequence.page_ids(), sequence.computed()), (free, &pages[..], 20));
        assert!(sequence.next().is_none());
        assert_eq!(sequence.tick(&mut device), Ok(Tick::Idle));
    }
    assert_eq!(told[0], told[1]);
    // Inside a slice, beyond what is computed, or while a step runs, there is nothing to go back to.
    assert_eq!(sequence.rewind(15, &mut pool), 0);
    assert_eq!((sequence.tokens().len(), sequence.page_ids().len()), (0, 0));
    sequence.push(&text, &mut pool).unwrap();
    assert_eq!(sequence.rewind(10, &mut pool), 0);
    sequence.push(&text, &mut pool).unwrap();
    let _ = sequence.tick(&mut device).unwrap();
    assert_eq!(sequence.rewind(0, &mut pool), 0);
    assert_eq!(sequence.tokens().len(), 0);
}

/// Scores of a text from an address on, and the rows of each step.
fn score(text: &[u32], from: u32, chunk: u32) -> (Vec<Scored>, Vec<usize>) {
    let mut host = Host::new(LIMITS, chunk);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push_scored(text, from, &mut pool).unwrap();
    let mut scores = Vec::new();
    let mut observe = |rows: &[Row], report: &StepReport<'_>| scores.extend(scored(rows, report));
    while sequence.tick_observed(&mut device, &mut observe).unwrap() != Tick::Idle {}
    (scores, device.steps)
}

#[test]
fn every_token_behind_the_mark_is_scored_within_the_outcomes_of_a_step() {
    let text = prompt(20);
    let (scores, steps) = score(&text, 10, 16);
    let found: Vec<_> = scores.iter().map(|scored| (scored.address, scored.token)).collect();
    let expected: Vec<_> = (11..20).map(|address| (address, text[address as usize])).collect();
    assert_eq!(found, expected);
    // Ten rows want nothing and four of the others fit a step; the last row wants candidates.
    assert_eq!(steps, [14, 4, 2]);
    assert!(scores.iter().all(|scored| scored.logprob < 0.0));
}

fn mask_of(tokens: &[u32]) -> Vec<u32> {
    let mut mask = vec![0; VOCAB.div_ceil(32) as usize];
    tokens.iter().for_each(|token| mask[*token as usize / 32] |= 1 << (token % 32));
    mask
}

#[test]
fn a_mask_holds_for_what_follows_the_last_token() {
    let mut host = Host::new(Limits { masks: 1, ..LIMITS }, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    let mask = mask_of(&[7, 299]);
    let ask = Ask { mask: Some(&mask), ..Ask::default() };
    sequence.push(&prompt(20), &mut pool).unwrap();
    device.hitches.push_back(Hitch::Pending);
    while sequence.tick_with(&mut device, &ask, &mut |_, _| ()).unwrap() != Tick::Idle {}
    let mut found: Vec<u32> = sequence.next().unwrap().candidates.iter().map(|one| one.token).collect();
    found.sort_unstable();
    assert_eq!(found, [7, 299]);
    let greedy = Sampler::new(Sampling::GREEDY).unwrap();
    assert!([7, 299].contains(&sequence.choose(&greedy).unwrap().token));
    // The next token is free again.
    sequence.push(&[7], &mut pool).unwrap();
    run(&mut sequence, &mut device);
    assert_eq!(sequence.next().unwrap().candidates.len(), 3);
}

#[test]
fn a_mask_that_does_not_fit_is_refused_and_another_taken() {
    let mut host = Host::new(Limits { masks: 1, ..LIMITS }, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push(&prompt(3), &mut pool).unwrap();
    for wrong in [&[1][..], &mask_of(&[])] {
        let ask = Ask { mask: Some(wrong), ..Ask::default() };
        let error = sequence.tick_with(&mut device, &ask, &mut |_, _| ()).unwrap_err();
        assert_eq!(error, SequenceError::Submit(SubmitError::Step(StepFault::Mask { mask: 0 })));
    }
    let mask = mask_of(&[5]);
    let ask = Ask { mask: Some(&mask), ..Ask::default() };
    while sequence.tick_with(&mut device, &ask, &mut |_, _| ()).unwrap() != Tick::Idle {}
    assert_eq!(sequence.next().unwrap().candidates[0].token, 5);
}

#[test]
fn a_mask_that_comes_later_holds_as_one_that_was_there() {
    let mut host = Host::new(Limits { masks: 1, ..LIMITS }, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    device.late_masks = LateMasks::Beside;
    let ask = Ask { mask: Some(&[]), ..Ask::default() };
    let tick = |sequence: &mut Sequence<'_>, device: &mut FakeDevice| {
        sequence.tick_with(device, &ask, &mut |_, _| ()).unwrap()
    };
    sequence.push(&prompt(20), &mut pool).unwrap();
    // The rows before the last step want nothing, and it lacks no mask.
    while !sequence.lacks_mask() {
        assert!(!matches!(tick(&mut sequence, &mut device), Tick::Ready { .. }));
    }
    assert_eq!(device.steps, [8, 8, 4]);
    assert_eq!(tick(&mut sequence, &mut device), Tick::Pending);
    let nothing = SequenceError::Mask(MaskError::Nothing { mask: 0 });
    assert_eq!(sequence.allow(&mut device, &mask_of(&[])), Err(nothing));
    assert!(sequence.lacks_mask());
    sequence.allow(&mut device, &mask_of(&[7, 299])).unwrap();
    assert!(!sequence.lacks_mask());
    assert_eq!(tick(&mut sequence, &mut device), Tick::Ready { rows: 4 });
    let mut found: Vec<u32> = sequence.next().unwrap().candidates.iter().map(|one| one.token).collect();
    found.sort_unstable();
    assert_eq!(found, [7, 299]);
    // What is forgotten without its mask still takes one.
    sequence.push(&[7], &mut pool).unwrap();
    assert_eq!(tick(&mut sequence, &mut device), Tick::Submitted { rows: 1 });
    sequence.reset(&mut pool);
    assert_eq!(tick(&mut sequence, &mut device), Tick::Pending);
    assert!(sequence.lacks_mask());
    sequence.allow(&mut device, &mask_of(&[1])).unwrap();
    assert_eq!(tick(&mut sequence, &mut device), Tick::Pending);
    assert_eq!(tick(&mut sequence, &mut device), Tick::Idle);
}

#[test]
fn rows_are_exposed_within_the_limits_of_a_step() {
    let text = prompt(20);
    let taps = [Tap::Layer(0, Reg::Hidden), Tap::Final(Reg::Normed)];
    let mut host = Host::new(Limits { taps: 2, exposed: 3, ..LIMITS }, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push(&text, &mut pool).unwrap();
    let ask = Ask { taps: &taps, exposed: 5..15, ..Ask::default() };
    let (mut addresses, mut seen) = (Vec::new(), Vec::new());
    let mut observe = |rows: &[Row], report: &StepReport<'_>| {
        addresses.extend(rows.iter().filter(|row| row.expose).map(|row| row.address));
        seen.extend_from_slice(report.exposed);
        let shown: Vec<f32> = rows
            .iter()
            .filter(|row| row.expose)
            .flat_map(|row| taps.iter().map(|tap| crate::fake::shown(tap, row)))
            .collect();
        assert_eq!(report.exposed, shown);
    };
    while sequence.tick_with(&mut device, &ask, &mut observe).unwrap() != Tick::Idle {}
    assert_eq!(addresses, (5..15).collect::<Vec<_>>());
    assert_eq!(seen.len(), 20);
    assert_eq!(device.steps, [8, 3, 3, 6]);
    // Where none may be exposed the device says so.
    let mut host = Host::new(Limits { taps: 2, ..LIMITS }, 8);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push(&text, &mut pool).unwrap();
    let ask = Ask { exposed: 0..20, ..ask };
    let error = sequence.tick_with(&mut device, &ask, &mut |_, _| ()).unwrap_err();
    let fault = StepFault::TooMany { what: "exposed", count: 1, limit: 0 };
    assert_eq!(error, SequenceError::Submit(SubmitError::Step(fault)));
}

#[test]
fn what_was_only_looked_at_is_computed_afterwards() {
    let (before, text) = (prompt(13), prompt(7));
    let taps = [Tap::Layer(0, Reg::Hidden)];
    let limits = Limits { taps: 1, exposed: 20, ..LIMITS };
    let mut host = Host::new(limits, 16);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push(&[&before[..], &text].concat(), &mut pool).unwrap();
    run(&mut sequence, &mut device);
    let expected = sequence.next().unwrap().candidates.to_vec();
    let slices = sequence.slices().to_vec();

    let mut host = Host::new(limits, 16);
    let (mut sequence, mut pool, mut device) = host.start();
    sequence.push(&before, &mut pool).unwrap();
    run(&mut sequence, &mut device);
    let slices_before = sequence.slices().to_vec();
    sequence.push(&text, &mut pool).unwrap();
    let look = Ask { taps: &taps, exposed: 13..20, depth: Some(1), ..Ask::default() };
    // A look that fails, and one whose step the device is too busy for, are begun again; other rows than those of a
    // look are then laid out.
    let mut seen = Vec::new();
    let mut observe = |_: &[Row], report: &StepReport<'_>| seen.extend_from_slice(report.exposed);
    device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
    let mut ticks = Vec::new();
    for _ in 0..4 {
        ticks.push(sequence.tick_with(&mut device, &look, &mut observe));
    }
    assert_eq!(ticks[1], Err(SequenceError::Device(DeviceError::Hung)));
    assert_eq!(ticks[3], Ok(Tick::Looked { rows: 7 }));
    assert_eq!((seen.len(), sequence.computed(), sequence.next().is_none()), (7, 13, true));
    assert_eq!(sequence.slices(), slices_before);
    device.refusals.push_back(SubmitError::Busy);
    assert_eq!(sequence.tick_with(&mut device, &look, &mut |_, _| ()), Ok(Tick::Pending));
    assert_eq!(run(&mut sequence, &mut device).last(), Some(&Tick::Ready { rows: 7 }));
    assert_eq!(sequence.next().unwrap().candidates, expected);
    assert_eq!(sequence.slices(), slices);
}

proptest! {
    /// The same text is generated for any chunk, and for any way to push the prompt.
    #[test]
    fn chunking_changes_nothing(len in 1u32..120, chunk in 1u32..33, split in 0usize..120, seed in any::<u64>()) {
        let generate = |chunk, split: usize| {
            let mut host = Host::new(LIMITS, chunk);
            let (mut sequence, mut pool, mut device) = host.start();
            let sampling = Sampling { temperature: 1.0, seed, ..Sampling::GREEDY };
            let sampler = Sampler::new(sampling).unwrap();
            let prompt = prompt(len);
            let (first, second) = prompt.split_at(split.min(prompt.len()));
            for part in [first, second] {
                sequence.push(part, &mut pool).unwrap();
                run(&mut sequence, &mut device);
            }
            for _ in 0..20 {
                let choice = sequence.choose(&sampler).unwrap();
                sequence.push(&[choice.token], &mut pool).unwrap();
                run(&mut sequence, &mut device);
            }
            (sequence.tokens().to_vec(), sequence.slices().to_vec())
        };
        prop_assert_eq!(generate(chunk, split), generate(32, 0));
    }

    /// Scores do not depend on the chunk either.
    #[test]
    fn scores_do_not_depend_on_the_chunk(len in 2u32..80, from in 0u32..80, chunk in 1u32..33) {
        let text = prompt(len);
        prop_assert_eq!(score(&text, from, chunk).0, score(&text, from, 32).0);
    }
}
