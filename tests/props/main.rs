//! Properties of one context: what it says depends on its tokens and its seed, and on nothing else. They hold on
//! every kind of device ([`backends`]).

#[path = "../sim/tiny.rs"]
mod tiny;

mod backends;

use agentos_cpu::{CpuDevice, Isa, Solo, SystemMemory};
use agentos_desktop::context::Tables;
use agentos_fault::{FaultDevice, FaultPlan, Injected, PerMille, Scratch};
use agentos_hal::{Candidate, DeviceError, Limits, Outcome, SubmitError, TensorDevice, page};
use agentos_kernel::agent::{
    Admission, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Receive, Spec, Watchdog,
};
use agentos_kernel::sample::{Sampler, Sampling};
use agentos_kernel::sequence::{SequenceError, Tick};
use agentos_reference::Reference;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use backends::Lent;
use tiny::{Given, LIMITS, SHAPE, Tiny};

/// Ticks with something to say that a run may take. One that needs more will never end.
const PATIENCE: u32 = 100_000;

/// Faults of steps; a sequence copies no pages.
const ODDS: PerMille =
    PerMille { delay: 200, refuse: 100, lose: 50, hang: 100, not_finite: 100, poison: 100, ..PerMille::NONE };

fn reference() -> Reference {
    Reference::new(1 << 24)
}

fn spec(seed: u64) -> Spec {
    Spec {
        priority: Priority::NORMAL,
        context: SHAPE.context,
        memory: MemoryMode::Exact,
        admission: Admission::Refuse,
        sampling: Sampling { temperature: 1.0, top_p: 0.95, repeat_penalty: 1.1, seed, ..Sampling::GREEDY },
        budget: Budget::UNBOUNDED,
        capabilities: Capabilities::ALL,
        watchdog: Watchdog::OFF,
        on_end: OnEnd::Stop,
        receive: Receive::Copied,
        guarded: false,
        persist: Persist::Nothing,
        packed: false,
        tag: 0,
    }
}

/// What [`Tiny::alone`] gives, on a device of which anything may be expected but a wrong number that
/// nobody could see: after a failure the same is tried again, after a loss everything.
fn stubborn(
    model: &Tiny,
    device: &mut dyn TensorDevice,
    limits: Limits,
    sampling: Sampling,
    tokens: &[u32],
    n: usize,
) -> Vec<Given> {
    model.prepare(device, &limits);
    let sampler = Sampler::new(sampling).unwrap();
    let mut tables = Tables::new(limits, tiny::delimiters());
    let (mut sequence, mut pool) = tables.start().unwrap();
    sequence.push(tokens, &mut pool).unwrap();
    let mut given = Vec::new();
    let mut left = PATIENCE;
    while left > 0 {
        let tick = sequence.tick(device);
        if matches!(tick, Ok(Tick::Pending)) {
            // A device that computes elsewhere takes its time.
            std::thread::yield_now();
            continue;
        }
        left -= 1;
        match tick {
            Ok(Tick::Idle) if given.len() == n => return given,
            Ok(Tick::Idle) => {
                let choice = sequence.choose(&sampler).unwrap();
                given.push((choice.token, choice.logit.to_bits()));
                sequence.push(&[choice.token], &mut pool).unwrap();
            }
            Err(
                SequenceError::Device(DeviceError::Lost) | SequenceError::Submit(SubmitError::NotPrepared),
            ) => {
                let context = sequence.tokens().to_vec();
                sequence.reset(&mut pool);
                model.prepare(device, &limits);
                sequence.push(&context, &mut pool).unwrap();
            }
            Ok(_) | Err(SequenceError::Device(DeviceError::Hung | DeviceError::NotFinite { .. })) => (),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{PATIENCE} ticks gave {} of {n} tokens", given.len());
}

/// The same on a device that is made to fail with these [`ODDS`], and how often it did.
fn under_faults(
    device: &mut dyn TensorDevice,
    model: &Tiny,
    seed: u64,
    sampling: Sampling,
    tokens: &[u32],
    n: usize,
) -> (Vec<Given>, Injected) {
    let nothing = Outcome { row: 0, candidates: 0, log_sum_exp: 0.0, entropy: 0.0, scored: 0.0 };
    let mut outcomes = vec![nothing; LIMITS.outcomes as usize];
    let mut candidates =
        vec![Candidate { token: 0, logit: 0.0 }; (LIMITS.outcomes * LIMITS.candidates) as usize];
    let mut image = vec![0; page::image_bytes(&SHAPE, LIMITS.kv)];
    let scratch = Scratch { outcomes: &mut outcomes, candidates: &mut candidates, image: &mut image };
    let plan = FaultPlan::Random { seed, odds: ODDS, longest_delay: 5 };
    let mut device = FaultDevice::new(Lent(device), plan, scratch);
    let given = stubborn(model, &mut device, LIMITS, sampling, tokens, n);
    (given, device.injected())
}

fn prompt() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..SHAPE.vocab, 1..90)
}

/// What a property is tried on.
#[derive(Clone, Debug)]
struct Case {
    prompt: Vec<u32>,
    seed: u64,
    /// Rows of a step.
    rows: u32,
    /// A token of the prompt.
    at: prop::sample::Index,
}

fn cases() -> impl Strategy<Value = Case> {
    let parts = (prompt(), any::<u64>(), 1u32..100, any::<prop::sample::Index>());
    parts.prop_map(|(prompt, seed, rows, at)| Case { prompt, seed, rows, at })
}

type Property = fn(&mut dyn TensorDevice, Case) -> TestCaseResult;

/// Tries a property so often on one device.
fn hold(device: Option<Box<dyn TensorDevice>>, tries: u32, property: Property) {
    let Some(device) = device else { return };
    let device = std::cell::RefCell::new(device);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: tries,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let held = runner.run(&cases(), |case| property(&mut **device.borrow_mut(), case));
    held.unwrap_or_else(|error| panic!("{error}"));
}

fn chunks_change_nothing(device: &mut dyn TensorDevice, case: Case) -> TestCaseResult {
    let (model, spec, limits) = (Tiny::new(case.seed), spec(case.seed), Limits { rows: case.rows, ..LIMITS });
    let given = stubborn(&model, device, limits, spec.sampling, &case.prompt, 12);
    prop_assert_eq!(given, model.alone(device, &spec, &case.prompt, 12));
    Ok(())
}

fn faults_change_nothing(device: &mut dyn TensorDevice, case: Case) -> TestCaseResult {
    let (model, spec) = (Tiny::new(case.seed), spec(case.seed));
    let (given, _) = under_faults(device, &model, case.seed, spec.sampling, &case.prompt, 12);
    prop_assert_eq!(given, model.alone(device, &spec, &case.prompt, 12));
    Ok(())
}

fn every_token_of_the_prompt_has_its_effect(device: &mut dyn TensorDevice, case: Case) -> TestCaseResult {
    let (model, spec) = (Tiny::new(case.seed), spec(case.seed));
    let mut other = case.prompt.clone();
    let token = case.at.get_mut(&mut other);
    *token = (*token + 1) % SHAPE.vocab;
    let mut given = |prompt: &[u32]| model.alone(device, &spec, prompt, 4);
    prop_assert_ne!(given(&case.prompt), given(&other));
    Ok(())
}

/// What the property of faults says nothing about unless it happens: every kind of fault, in one run.
#[test]
fn a_run_meets_every_fault() {
    let (model, spec, prompt) = (Tiny::new(3), spec(3), [20; 40]);
    let (given, injected) = under_faults(&mut reference(), &model, 3, spec.sampling, &prompt, 200);
    assert_eq!(given, model.alone(&mut reference(), &spec, &prompt, 200));
    let Injected { refused_submits, pending_polls, lost_steps, .. } = injected;
    let Injected { hung_steps, not_finite_steps, poisoned_reports, .. } = injected;
    let counts = [refused_submits, pending_polls, lost_steps, hung_steps, not_finite_steps, poisoned_reports];
    assert!(counts.iter().all(|&count| count > 0), "{injected:?}");
}

/// The tiny model is a model for other devices too: the same words, if not the same bits.
#[test]
fn the_cpu_says_the_same() {
    let (model, prompt) = (Tiny::new(1), [5, 40, 15, 2, 9, 9, 33, 61, 14, 7]);
    let greedy = Spec { sampling: Sampling::GREEDY, ..spec(1) };
    let words = |device: &mut dyn TensorDevice| -> Vec<u32> {
        model.alone(device, &greedy, &prompt, 40).iter().map(|&(token, _)| token).collect()
    };
    let mut cpu = CpuDevice::new(SystemMemory::default(), Solo, Isa::best());
    assert_eq!(words(&mut cpu), words(&mut reference()));
}
