//! Each fault by itself, over a device of which everything is known.

mod inner;

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use agentos_fault::{
    CopyFate, CopyFault, FaultDevice, FaultPlan, Injected, Number, PerMille, Poison, Scratch, StepFate,
    StepInjury,
};
use agentos_hal::device::PageSummary;
use agentos_hal::{
    Candidate, DeviceError, LateMasks, Limits, MaskError, Outcome, PageError, PageId, PrepareError, Step,
    StepFault, SubmitError, TensorDevice,
};

use inner::{CANDIDATES, IMAGE, Inner, LIMITS, Log, NoWeights, OUTCOMES, PROGRAM, SHAPE, with_step};

const QUIET: StepFate = StepFate { delay_polls: 0, injury: None };

/// The steps suffer this, one after the other.
fn steps<const N: usize>(fates: [StepFate; N]) -> Vec<(u64, StepFate)> {
    (0..).zip(fates).collect()
}

fn injured(injury: StepInjury) -> StepFate {
    StepFate { injury: Some(injury), ..QUIET }
}

/// A prepared device under this plan, and what the wrapped one sees.
fn with_device(plan: FaultPlan<'_>, act: impl FnOnce(&mut FaultDevice<'_, Inner>, &RefCell<Log>)) {
    let log = Rc::new(RefCell::new(Log::default()));
    let (mut outcomes, mut candidates, mut image) = ([OUTCOMES[0]; 2], [CANDIDATES[0]; 4], [0; IMAGE]);
    let scratch = Scratch { outcomes: &mut outcomes, candidates: &mut candidates, image: &mut image };
    let inner = Inner { log: log.clone(), running: false, late_masks: LateMasks::InPoll };
    let mut device = FaultDevice::new(inner, plan, scratch);
    prepare(&mut device, &LIMITS).unwrap();
    act(&mut device, &log);
}

fn with_steps<const N: usize>(
    fates: [StepFate; N],
    act: impl FnOnce(&mut FaultDevice<'_, Inner>, &RefCell<Log>),
) {
    with_device(FaultPlan::Script { steps: &steps(fates), copies: &[] }, act);
}

fn prepare(device: &mut dyn TensorDevice, limits: &Limits) -> Result<(), PrepareError> {
    device.prepare(&PROGRAM, &SHAPE, limits, &mut NoWeights).map(drop)
}

fn submit(device: &mut dyn TensorDevice, rows: u32) -> Result<(), SubmitError> {
    with_step(rows, |step| device.submit(step))
}

/// What a poll finds, with its numbers as bits so that NaN equals NaN.
type Seen = (Vec<(u32, u32, [u32; 3])>, Vec<(u32, u32)>);

fn seen(outcomes: &[Outcome], candidates: &[Candidate]) -> Seen {
    let numbers = |o: &Outcome| [o.log_sum_exp, o.entropy, o.scored].map(f32::to_bits);
    (
        outcomes.iter().map(|o| (o.row, o.candidates, numbers(o))).collect(),
        candidates.iter().map(|c| (c.token, c.logit.to_bits())).collect(),
    )
}

fn poll(device: &mut dyn TensorDevice) -> Poll<Result<Seen, DeviceError>> {
    device.poll().map_ok(|report| seen(report.outcomes, report.candidates))
}

fn good() -> Poll<Result<Seen, DeviceError>> {
    Poll::Ready(Ok(seen(&OUTCOMES, &CANDIDATES)))
}

/// The four page operations, each called once.
fn page_calls(device: &mut dyn TensorDevice) -> [Poll<Result<(), PageError>>; 4] {
    [copy_out(device, 0), copy_in(device, 0), copy_pages(device), summarise(device)]
}

fn copy_out(device: &mut dyn TensorDevice, page: u32) -> Poll<Result<(), PageError>> {
    device.copy_out(PageId(page), &mut [0; IMAGE])
}

fn copy_in(device: &mut dyn TensorDevice, page: u32) -> Poll<Result<(), PageError>> {
    device.copy_in(PageId(page), &[9; IMAGE])
}

fn copy_pages(device: &mut dyn TensorDevice) -> Poll<Result<(), PageError>> {
    Poll::Ready(device.copy_pages(&[(PageId(0), PageId(1))]))
}

fn summarise(device: &mut dyn TensorDevice) -> Poll<Result<(), PageError>> {
    let summary = PageSummary { mean_key: &mut [0.0; 4], mass: &mut Default::default() };
    device.summarise(PageId(0), 0, 1, summary)
}

#[test]
fn another_plan_holds_from_the_next_call_on() {
    with_steps([injured(StepInjury::Hang), injured(StepInjury::Hang)], |device, _| {
        assert_eq!(submit(device, 3), Ok(()));
        device.set_plan(FaultPlan::NONE);
        assert_eq!(poll(device), Poll::Ready(Err(DeviceError::Hung)));
        assert_eq!(submit(device, 3), Ok(()));
        assert_eq!(poll(device), good());
    });
}

#[test]
fn a_step_is_delayed() {
    with_steps([StepFate { delay_polls: 2, injury: None }, QUIET], |device, log| {
        assert_eq!(submit(device, 3), Ok(()));
        assert!(poll(device).is_pending() && poll(device).is_pending());
        assert_eq!(log.borrow().polls, 0);
        assert_eq!(submit(device, 3), Err(SubmitError::Busy));
        assert_eq!(poll(device), good());
        assert_eq!(submit(device, 3), Ok(()));
        assert_eq!(poll(device), good());
        assert_eq!(device.injected(), Injected { pending_polls: 2, ..Injected::default() });
    });
}

#[test]
fn a_submit_is_refused_once() {
    with_steps([injured(StepInjury::Refuse)], |device, log| {
        assert_eq!(submit(device, 3), Err(SubmitError::Busy));
        assert_eq!(log.borrow().submits, 0);
        assert_eq!(poll(device), Poll::Ready(Err(DeviceError::Idle)));
        assert_eq!(submit(device, 3), Ok(()));
        assert_eq!(poll(device), good());
        assert_eq!(device.injected(), Injected { refused_submits: 1, ..Injected::default() });
    });
}

/// The step is accepted as any other, the device is busy with it, and it was never computed.
#[test]
fn a_step_fails_and_the_next_does_not() {
    for (injury, error) in [
        (StepInjury::Hang, DeviceError::Hung),
        (StepInjury::NotFinite { row: 2 }, DeviceError::NotFinite { row: 2 }),
        (StepInjury::NotFinite { row: 7 }, DeviceError::NotFinite { row: 1 }),
    ] {
        let fate = StepFate { delay_polls: 1, injury: Some(injury) };
        with_steps([fate], |device, log| {
            assert_eq!(submit(device, 3), Ok(()));
            assert_eq!(submit(device, 3), Err(SubmitError::Busy));
            assert_eq!(page_calls(device), [Poll::Ready(Err(PageError::Busy)); 4]);
            assert!(poll(device).is_pending());
            assert_eq!(poll(device), Poll::Ready(Err(error)));
            assert_eq!(poll(device), Poll::Ready(Err(DeviceError::Idle)));
            assert_eq!((log.borrow().submits, log.borrow().copies), (0, 0));
            assert_eq!(submit(device, 3), Ok(()));
            assert_eq!(poll(device), good());
            let Injected { pending_polls, hung_steps, not_finite_steps, .. } = device.injected();
            assert_eq!((pending_polls, hung_steps + not_finite_steps), (1, 1));
            assert_eq!(hung_steps == 1, error == DeviceError::Hung);
        });
    }
}

#[test]
fn a_step_that_is_none_is_refused_though_it_was_to_fail() {
    with_steps([injured(StepInjury::Hang), injured(StepInjury::NotFinite { row: 0 })], |device, _| {
        let too_many = StepFault::TooMany { what: "rows", count: 9, limit: 8 };
        assert_eq!(submit(device, 9), Err(SubmitError::Step(too_many)));
        assert_eq!(poll(device), Poll::Ready(Err(DeviceError::Idle)));
        // A step without rows has no row that could be bad.
        assert_eq!(submit(device, 0), Ok(()));
        assert_eq!(poll(device), good());
        assert_eq!(device.injected(), Injected::default());
    });
}

#[test]
fn one_number_of_a_report_is_none() {
    type Change = fn(&mut [Outcome; 2], &mut [Candidate; 4]);
    let cases: [(Poison, Change); 5] = [
        (Poison { outcome: 0, number: Number::LogSumExp }, |o, _| o[0].log_sum_exp = f32::NAN),
        (Poison { outcome: 1, number: Number::Entropy }, |o, _| o[1].entropy = f32::NAN),
        (Poison { outcome: 3, number: Number::Scored }, |o, _| o[1].scored = f32::NAN),
        (Poison { outcome: 0, number: Number::Candidate(1) }, |_, c| c[1].logit = f32::NAN),
        (Poison { outcome: 1, number: Number::Candidate(5) }, |_, c| c[2].logit = f32::NAN),
    ];
    for (poison, change) in cases {
        with_steps([injured(StepInjury::Poison(poison))], |device, _| {
            let (mut outcomes, mut candidates) = (OUTCOMES, CANDIDATES);
            change(&mut outcomes, &mut candidates);
            assert_eq!(submit(device, 3), Ok(()));
            assert_eq!(poll(device), Poll::Ready(Ok(seen(&outcomes, &candidates))), "{poison:?}");
            assert_eq!(submit(device, 3), Ok(()));
            assert_eq!(poll(device), good());
            assert_eq!(device.injected(), Injected { poisoned_reports: 1, ..Injected::default() });
        });
    }
}

#[test]
fn copies_are_delayed_and_refused() {
    let late = CopyFate { delay_calls: 1, fault: None };
    let refused = CopyFate { delay_calls: 1, fault: Some(CopyFault::Refuse) };
    let copies = [(0, late), (1, refused), (3, refused), (4, late)];
    with_device(FaultPlan::Script { steps: &[], copies: &copies }, |device, log| {
        assert!(copy_out(device, 2).is_pending());
        assert_eq!(copy_out(device, 2), Poll::Ready(Ok(())));
        assert!(copy_in(device, 2).is_pending());
        assert_eq!(copy_in(device, 2), Poll::Ready(Err(PageError::Busy)));
        assert_eq!(log.borrow().pages[2], [7; IMAGE]);
        assert_eq!(copy_in(device, 2), Poll::Ready(Ok(())));
        assert_eq!(log.borrow().pages[2], [9; IMAGE]);
        // Copies inside the device cannot wait.
        assert_eq!(copy_pages(device), Poll::Ready(Err(PageError::Busy)));
        assert!(summarise(device).is_pending());
        // A step between the calls of one operation does not disturb it.
        assert_eq!(submit(device, 3), Ok(()));
        assert_eq!(poll(device), good());
        assert_eq!(summarise(device), Poll::Ready(Ok(())));
        assert_eq!(log.borrow().copies, 3);
        let expected = Injected { refused_copies: 2, pending_copies: 3, ..Injected::default() };
        assert_eq!(device.injected(), expected);
    });
}

#[test]
#[should_panic(expected = "Out(PageId(0)) is pending and is to be called again, not Out(PageId(1))")]
fn a_pending_copy_is_called_again() {
    let late = CopyFate { delay_calls: 1, fault: None };
    with_device(FaultPlan::Script { steps: &[], copies: &[(0, late)] }, |device, _| {
        assert!(copy_out(device, 0).is_pending());
        let _ = copy_out(device, 1);
    });
}

/// After a loss nothing works until the device is prepared again, and then no page holds what it held,
/// though the wrapped device forgets nothing.
#[test]
fn a_lost_device_has_nothing_left() {
    let lose_step = [(0, injured(StepInjury::Lose))];
    let lose_copy = |nth| [(nth, CopyFate { delay_calls: 0, fault: Some(CopyFault::Lose) })];
    type Lose = fn(&mut dyn TensorDevice);
    let by_step: Lose = |device| {
        assert_eq!(submit(device, 3), Ok(()));
        assert_eq!(poll(device), Poll::Ready(Err(DeviceError::Lost)));
    };
    let by_copy: Lose = |device| assert_eq!(copy_out(device, 0), Poll::Ready(Err(PageError::Lost)));
    let by_pages: Lose = |device| assert_eq!(copy_pages(device), Poll::Ready(Err(PageError::Lost)));
    let copies = lose_copy(1);
    for (plan, lose) in [
        (FaultPlan::Script { steps: &lose_step, copies: &[] }, by_step),
        (FaultPlan::Script { steps: &[], copies: &copies }, by_copy),
        (FaultPlan::Script { steps: &[], copies: &copies }, by_pages),
    ] {
        with_device(plan, |device, log| {
            assert_eq!(copy_in(device, 2), Poll::Ready(Ok(())));
            lose(device);
            let calls = log.borrow().submits + log.borrow().polls + log.borrow().copies;
            for _ in 0..2 {
                assert_eq!(submit(device, 3), Err(SubmitError::NotPrepared));
                assert_eq!(poll(device), Poll::Ready(Err(DeviceError::Idle)));
                assert_eq!(page_calls(device), [Poll::Ready(Err(PageError::NotPrepared)); 4]);
            }
            assert_eq!(log.borrow().submits + log.borrow().polls + log.borrow().copies, calls);
            prepare(device, &LIMITS).unwrap();
            assert_eq!(log.borrow().pages, vec![vec![0xff; IMAGE]; 3]);
            assert_eq!(submit(device, 3), Ok(()));
            assert_eq!(poll(device), good());
            assert_eq!(copy_out(device, 0), Poll::Ready(Ok(())));
            let Injected { lost_steps, lost_copies, .. } = device.injected();
            assert_eq!(lost_steps + lost_copies, 1);
        });
    }
}

#[test]
fn scratch_that_is_too_short_is_refused() {
    let lose = [(0, injured(StepInjury::Lose))];
    let poison = [(0, injured(StepInjury::Poison(Poison { outcome: 0, number: Number::Entropy })))];
    for (steps, needed, available) in [(&lose, IMAGE as u64, 8), (&poison, 2 * 20, 20)] {
        let log = Rc::new(RefCell::new(Log::default()));
        let (mut outcomes, mut image) = ([OUTCOMES[0]; 1], [0; 8]);
        let scratch = Scratch { outcomes: &mut outcomes, candidates: &mut [], image: &mut image };
        let plan = FaultPlan::Script { steps, copies: &[] };
        let mut device =
            FaultDevice::new(Inner { log, running: false, late_masks: LateMasks::InPoll }, plan, scratch);
        let what = agentos_hal::Resource::ScratchBytes;
        let refusal = PrepareError::TooLarge { what, needed, available };
        assert_eq!(prepare(&mut device, &LIMITS), Err(refusal));
        assert_eq!(submit(&mut device, 3), Err(SubmitError::NotPrepared));
    }
}

/// Before a model is there, and under an empty plan, every call reaches the device as it came.
#[test]
fn an_empty_plan_passes_everything_on() {
    let log = Rc::new(RefCell::new(Log::default()));
    let inner = Inner { log: log.clone(), running: false, late_masks: LateMasks::InPoll };
    let mut device = FaultDevice::new(inner, FaultPlan::NONE, Scratch::default());
    assert_eq!(device.caps().backend, "inner");
    assert_eq!(poll(&mut device), Poll::Ready(Err(DeviceError::Idle)));
    prepare(&mut device, &LIMITS).unwrap();
    assert_eq!(page_calls(&mut device), [Poll::Ready(Ok(())); 4]);
    assert_eq!(submit(&mut device, 3), Ok(()));
    assert_eq!(submit(&mut device, 3), Err(SubmitError::Busy));
    assert_eq!(poll(&mut device), good());
    prepare(&mut device, &LIMITS).unwrap();
    let log = log.borrow();
    assert_eq!((log.prepares, log.submits, log.polls, log.copies), (2, 1, 2, 4));
    // The copy of [9; IMAGE] to page 0, and from there to page 1, is still there.
    assert_eq!((&log.pages[0], &log.pages[1]), (&vec![9; IMAGE], &vec![9; IMAGE]));
    assert_eq!(device.injected(), Injected::default());
}

/// A long run under a seed: what happens and what is counted is the same in every run.
#[test]
fn a_seed_repeats_a_run() {
    let run = |seed| {
        let odds = PerMille {
            delay: 200,
            refuse: 100,
            lose: 50,
            hang: 100,
            not_finite: 100,
            poison: 100,
            copy_delay: 200,
            copy_refuse: 100,
            copy_lose: 50,
        };
        let (mut events, mut counts) = (Vec::new(), Injected::default());
        with_device(FaultPlan::Random { seed, odds, longest_delay: 3 }, |device, _| {
            for _ in 0..500 {
                events.push(format!("{:?}", submit(device, 3)));
                events.push(format!("{:?}", poll(device)));
                events.push(format!("{:?}", copy_out(device, 0)));
                if submit(device, 3) == Err(SubmitError::NotPrepared) {
                    prepare(device, &LIMITS).unwrap();
                }
            }
            counts = device.injected();
        });
        (events, counts)
    };
    let (events, counts) = run(11);
    assert_eq!((events, counts), run(11));
    assert_ne!(run(11).0, run(12).0);
    let Injected { refused_submits, pending_polls, lost_steps, hung_steps, .. } = counts;
    let Injected { not_finite_steps, poisoned_reports, refused_copies, pending_copies, lost_copies, .. } =
        counts;
    for count in [
        refused_submits,
        pending_polls,
        lost_steps,
        hung_steps,
        not_finite_steps,
        poisoned_reports,
        refused_copies,
        pending_copies,
        lost_copies,
    ] {
        assert!(count > 0, "every fault happens in 500 rounds: {counts:?}");
    }
}

/// A step whose mask comes later.
fn submit_late(device: &mut dyn TensorDevice) -> Result<(), SubmitError> {
    with_step(1, |step| device.submit(&Step { masks: &[&[]], ..*step }))
}

#[test]
fn a_mask_that_comes_later_goes_through() {
    with_steps([StepFate { delay_polls: 1, injury: None }], |device, log| {
        submit_late(device).unwrap();
        assert!(device.poll().is_pending());
        device.allow(0, &[6]).unwrap();
        assert_eq!(log.borrow().masks, [[6]]);
        assert!(device.poll().is_ready());
    });
}

#[test]
fn a_step_that_is_to_fail_takes_masks_as_one_that_is_not() {
    for injury in [StepInjury::Lose, StepInjury::Hang] {
        with_steps([StepFate { delay_polls: 1, injury: Some(injury) }], |device, log| {
            submit_late(device).unwrap();
            assert_eq!(device.allow(1, &[6]), Err(MaskError::Mask { mask: 1 }));
            assert_eq!(device.allow(0, &[6, 6]), Err(MaskError::Length { found: 2, expected: 1 }));
            assert_eq!(device.allow(0, &[0xff00]), Err(MaskError::Nothing { mask: 0 }));
            assert!(device.poll().is_pending());
            assert_eq!(device.allow(0, &[6]), Ok(()));
            assert_eq!(device.allow(0, &[6]), Err(MaskError::Mask { mask: 0 }));
            assert!(matches!(device.poll(), Poll::Ready(Err(_))));
            assert!(log.borrow().masks.is_empty(), "nobody computes it");
            if injury == StepInjury::Lose {
                assert_eq!(device.allow(0, &[6]), Err(MaskError::Idle));
            }
        });
    }
}

#[test]
fn a_device_that_fails_without_its_mask_does_not_wait_for_it() {
    with_steps([injured(StepInjury::Hang)], |device, _| {
        submit_late(device).unwrap();
        assert!(matches!(device.poll(), Poll::Ready(Err(DeviceError::Hung))));
    });
}

#[test]
fn what_the_wrapped_device_refuses_is_refused_of_a_step_that_is_to_fail() {
    let steps = steps([injured(StepInjury::Hang)]);
    let inner = Inner { log: Rc::default(), running: false, late_masks: LateMasks::Refused };
    let plan = FaultPlan::Script { steps: &steps, copies: &[] };
    let mut device = FaultDevice::new(inner, plan, Scratch::default());
    prepare(&mut device, &LIMITS).unwrap();
    assert_eq!(submit_late(&mut device), Err(SubmitError::Step(StepFault::LateMask { mask: 0 })));
}
