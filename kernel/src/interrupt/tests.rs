use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::agent::AgentId;

fn posted(vector: VectorId, payload: u64) -> Posted {
    let agent = Some(AgentId { index: 1, generation: 2 });
    Posted { vector, agent, payload, at_us: payload }
}

#[test]
fn the_most_urgent_comes_first_and_each_vector_in_order() {
    static INTERRUPTS: Interrupts = Interrupts::new();
    let order = [
        (VectorId::Watchdog, 1),
        (VectorId::ToolDone, 2),
        (VectorId::Shutdown, 3),
        (VectorId::ToolDone, 4),
        (VectorId::DeviceFault, 5),
    ];
    for (vector, payload) in order {
        INTERRUPTS.post(posted(vector, payload)).unwrap();
    }
    let delivered: Vec<_> = core::iter::from_fn(|| INTERRUPTS.next(10)).collect();
    let payloads: Vec<_> = delivered.iter().map(|one| (one.posted.payload, one.latency_us)).collect();
    assert_eq!(payloads, [(5, 5), (3, 7), (2, 8), (4, 6), (1, 9)]);
    let stats = INTERRUPTS.stats(VectorId::ToolDone);
    assert_eq!(stats, VectorStats { posted: 2, delivered: 2, lost: 0, worst_latency_us: 8 });
}

#[test]
fn a_clock_behind_the_sources_does_not_make_latencies_wrap() {
    let interrupts = Interrupts::new();
    interrupts.post(posted(VectorId::Timer, 100)).unwrap();
    assert_eq!(interrupts.next(40).unwrap().latency_us, 0);
}

#[test]
fn what_does_not_fit_is_refused_and_counted() {
    let interrupts = Interrupts::new();
    for vector in [VectorId::Ipc, VectorId::Shutdown] {
        (0..QUEUE_DEPTH as u64).for_each(|at| interrupts.post(posted(vector, at)).unwrap());
        for _ in 0..3 {
            assert_eq!(interrupts.post(posted(vector, 99)), Err(QueueFull { vector }));
        }
        assert_eq!(interrupts.stats(vector).lost, 3);
        assert_eq!(interrupts.stats(vector).posted, QUEUE_DEPTH as u32);
    }
    // The loss of critical ones is itself delivered, once.
    let first = interrupts.next(7).unwrap();
    let lost = Posted { vector: VectorId::Shutdown, agent: None, payload: 0, at_us: 7 };
    assert_eq!(first, Delivered { posted: lost, latency_us: 0, overflowed: true });
    let rest: Vec<_> = core::iter::from_fn(|| interrupts.next(7)).collect();
    assert_eq!(rest.len(), 2 * QUEUE_DEPTH);
    assert!(rest.iter().all(|one| !one.overflowed));
}

#[test]
fn a_loss_behind_a_mask_is_delivered_when_the_mask_is_gone() {
    let interrupts = Interrupts::new();
    interrupts.mask(VectorId::DeviceFault);
    (0..=QUEUE_DEPTH as u64).for_each(|at| {
        let _ = interrupts.post(posted(VectorId::DeviceFault, at));
    });
    assert_eq!(interrupts.next(0), None);
    interrupts.unmask(VectorId::DeviceFault);
    assert!(interrupts.next(0).unwrap().overflowed);
    assert_eq!(core::iter::from_fn(|| interrupts.next(0)).count(), QUEUE_DEPTH);
}

/// Several threads post while one takes: each source's interrupts of a vector arrive in order, and all
/// of them arrive or were refused.
#[test]
fn threads_lose_nothing_that_was_accepted() {
    const SOURCES: u64 = 4;
    const EACH: u64 = 20_000;
    let vectors = [VectorId::ToolDone, VectorId::DeviceFault, VectorId::Ipc];
    let interrupts = Interrupts::new();
    let done = AtomicBool::new(false);
    let (accepted, delivered) = std::thread::scope(|scope| {
        let sources: Vec<_> = (0..SOURCES)
            .map(|source| {
                let interrupts = &interrupts;
                scope.spawn(move || {
                    let post = |at: &u64| {
                        let vector = vectors[(at % vectors.len() as u64) as usize];
                        interrupts.post(posted(vector, source << 32 | at)).is_ok()
                    };
                    (0..EACH).filter(post).count()
                })
            })
            .collect();
        let taker = scope.spawn(|| {
            let mut delivered = Vec::new();
            loop {
                let finished = done.load(Ordering::Acquire);
                let before = delivered.len();
                delivered.extend(core::iter::from_fn(|| interrupts.next(0)));
                if finished && delivered.len() == before {
                    return delivered;
                }
            }
        });
        let accepted: usize = sources.into_iter().map(|source| source.join().unwrap()).sum();
        done.store(true, Ordering::Release);
        (accepted, taker.join().unwrap())
    });
    let overflows = delivered.iter().filter(|one| one.overflowed).count();
    assert_eq!(delivered.len() - overflows, accepted);
    for vector in vectors {
        let stats = interrupts.stats(vector);
        assert_eq!(stats.posted, stats.delivered);
        for source in 0..SOURCES {
            let of_source = delivered
                .iter()
                .filter(|one| !one.overflowed && one.posted.vector == vector)
                .filter(|one| one.posted.payload >> 32 == source);
            let payloads: Vec<_> = of_source.map(|one| one.posted.payload).collect();
            assert!(payloads.is_sorted());
        }
    }
    let lost: u32 = vectors.iter().map(|&vector| interrupts.stats(vector).lost).sum();
    assert_eq!(accepted + lost as usize, (SOURCES * EACH) as usize);
    let critical_lost = interrupts.stats(VectorId::DeviceFault).lost > 0;
    assert_eq!(overflows > 0, critical_lost);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Post(VectorId),
    Next,
    Mask(VectorId),
    Unmask(VectorId),
}

fn op() -> impl Strategy<Value = Op> {
    // Few vectors, so that queues fill up; critical ones, equally urgent ones and others.
    let vectors = [VectorId::Shutdown, VectorId::DeviceFault, VectorId::ToolDone, VectorId::User];
    let vector = prop::sample::select(vectors.to_vec());
    prop_oneof![
        12 => vector.clone().prop_map(Op::Post),
        3 => Just(Op::Next),
        1 => vector.clone().prop_map(Op::Mask),
        1 => vector.prop_map(Op::Unmask),
    ]
}

/// What [`Interrupts`] is to be, the plain way.
#[derive(Default)]
struct Model {
    lines: [Line; VectorId::COUNT],
}

#[derive(Clone, Default)]
struct Line {
    waiting: VecDeque<Posted>,
    masked: bool,
    overflowed: bool,
    stats: VectorStats,
}

impl Model {
    fn line(&mut self, vector: VectorId) -> &mut Line {
        &mut self.lines[vector as usize - 1]
    }

    fn post(&mut self, posted: Posted) -> Result<(), QueueFull> {
        let vector = posted.vector;
        let line = self.line(vector);
        if line.waiting.len() < QUEUE_DEPTH {
            line.stats.posted += 1;
            line.waiting.push_back(posted);
            return Ok(());
        }
        line.stats.lost += 1;
        line.overflowed |= vector.info().urgency == Urgency::Critical;
        Err(QueueFull { vector })
    }

    fn next(&mut self, now_us: u64) -> Option<Delivered> {
        let mut order = VectorId::ALL;
        order.sort_by_key(|vector| (vector.info().urgency, *vector as u8));
        let due = |line: &Line| !line.masked && (line.overflowed || !line.waiting.is_empty());
        let vector = order.into_iter().find(|&vector| due(self.line(vector)))?;
        let line = self.line(vector);
        if core::mem::take(&mut line.overflowed) {
            let posted = Posted { vector, agent: None, payload: 0, at_us: now_us };
            return Some(Delivered { posted, latency_us: 0, overflowed: true });
        }
        let posted = line.waiting.pop_front()?;
        let latency_us = now_us - posted.at_us;
        line.stats.delivered += 1;
        line.stats.worst_latency_us = line.stats.worst_latency_us.max(latency_us as u32);
        Some(Delivered { posted, latency_us, overflowed: false })
    }
}

proptest! {
    #[test]
    fn it_does_what_plain_queues_would(ops in prop::collection::vec(op(), 0..400)) {
        let interrupts = Interrupts::new();
        let mut model = Model::default();
        for (at, op) in ops.into_iter().enumerate() {
            let at_us = at as u64;
            match op {
                Op::Post(vector) => {
                    let posted = posted(vector, at_us);
                    prop_assert_eq!(interrupts.post(posted), model.post(posted));
                }
                Op::Next => prop_assert_eq!(interrupts.next(at_us), model.next(at_us)),
                Op::Mask(vector) => {
                    interrupts.mask(vector);
                    model.line(vector).masked = true;
                }
                Op::Unmask(vector) => {
                    interrupts.unmask(vector);
                    model.line(vector).masked = false;
                }
            }
        }
        for vector in VectorId::ALL {
            let line = model.line(vector);
            prop_assert_eq!(interrupts.is_masked(vector), line.masked);
            let stats = interrupts.stats(vector);
            prop_assert_eq!(stats, line.stats);
            prop_assert_eq!((stats.posted - stats.delivered) as usize, line.waiting.len());
        }
    }
}
