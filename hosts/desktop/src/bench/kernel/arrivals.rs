//! Long prompts in the background, and newcomers that arrive while they are computed.

use agentos_hal::TensorDevice;
use agentos_kernel::agent::{AgentId, Priority};
use agentos_kernel::system::Tick;

use super::super::BenchError;
use super::host::{Host, agent, prompt, spec};
use crate::boot::Boot;

/// Agents in the background.
pub const BACKGROUND: u16 = 7;
/// Tokens of the prompt of each.
pub const LONG: u32 = 4000;
/// Tokens of a newcomer's prompt, and of its answer.
pub const SHORT: u32 = 30;
pub const ANSWER: u32 = 32;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newcomers, who are more urgent.
    Urgency,
    /// Whoever came first: every agent is less urgent than all before it. (Equals share a step.)
    Arrival,
}

/// When a newcomer arrives: somewhere inside a step, never at the kernel's convenience.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// In the first step after which so many rows were begun.
    pub after_rows: u64,
    /// The part of that step that is over then, if it takes as long as the one before.
    pub part: f64,
}

/// What came of a newcomer. Times are in microseconds since it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer {
    agent: AgentId,
    arrived_us: u64,
    steps_before: u64,
    /// When the device took the step that has its first rows, and how many it took since.
    pub dispatch: Option<(u64, u64)>,
    /// When its first token was there.
    pub first_token_us: Option<u64>,
}

/// What came of the whole.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Time until the background was done, in microseconds.
    pub background_us: u64,
    /// In the order of their arrival.
    pub newcomers: Vec<Newcomer>,
}

impl Order {
    /// The level of the agent that comes after so many others.
    fn priority(self, others: u16) -> Priority {
        let level = match self {
            Order::Urgency if others < BACKGROUND => 0,
            Order::Urgency => Priority::LEVELS as u16 - 1,
            Order::Arrival => Priority::LEVELS as u16 - 1 - others,
        };
        Priority::new(level as u8).expect("there are fewer agents than levels")
    }
}

/// Runs the background and these newcomers to their end.
///
/// # Errors
/// What the kernel or its device says.
pub fn run(
    boot: &mut Boot,
    device: &mut dyn TensorDevice,
    vocab: u32,
    order: Order,
    arrivals: &[Arrival],
) -> Result<Outcome, BenchError> {
    let mut host = Host::new(boot, device)?;
    for at in 0..BACKGROUND {
        host.spawn(spec(at.into(), order.priority(at), LONG + 1, 1), &prompt(at.into(), LONG, vocab))?;
    }
    let start_us = host.now_us();
    let mut outcome = Outcome::default();
    let (mut begun_us, mut step_us) = (start_us, 0);
    let mut to_come = arrivals.iter().peekable();
    let mut arrives_us = None;
    loop {
        if let Some(arrived_us) = arrives_us.take_if(|at| *at <= host.now_us()) {
            let others = BACKGROUND + outcome.newcomers.len() as u16;
            outcome.newcomers.push(arrive(&mut host, arrived_us, others, order, vocab)?);
            to_come.next();
        }
        let tick = host.tick()?;
        let now_us = host.now_us();
        match (tick, to_come.peek()) {
            (Tick::Submitted { .. }, Some(next)) if arrives_us.is_none() && host.rows >= next.after_rows => {
                begun_us = now_us;
                arrives_us = Some(now_us + (next.part * step_us as f64) as u64);
            }
            (Tick::Submitted { .. }, _) => begun_us = now_us,
            (Tick::Stepped { .. }, _) => step_us = now_us - begun_us,
            (Tick::Idle, None) => return Ok(outcome),
            _ => (),
        }
        follow(&host, &mut outcome.newcomers);
        let mut background = host.kernel.agents().take(BACKGROUND.into());
        if outcome.background_us == 0 && background.all(|rcb| rcb.state.is_over()) {
            outcome.background_us = now_us - start_us;
        }
    }
}

fn arrive(
    host: &mut Host<'_, '_, impl TensorDevice>,
    arrived_us: u64,
    others: u16,
    order: Order,
    vocab: u32,
) -> Result<Newcomer, BenchError> {
    let spec = spec(others.into(), order.priority(others), SHORT + ANSWER, ANSWER);
    let agent = host.spawn(spec, &prompt(others.into(), SHORT, vocab))?;
    Ok(Newcomer { agent, arrived_us, steps_before: host.steps, dispatch: None, first_token_us: None })
}

/// Notes what happened to newcomers since the last tick.
fn follow(host: &Host<'_, '_, impl TensorDevice>, newcomers: &mut [Newcomer]) {
    let now_us = host.now_us();
    for newcomer in newcomers.iter_mut().filter(|newcomer| newcomer.first_token_us.is_none()) {
        let rcb = agent(&host.kernel, newcomer.agent);
        let since_us = now_us - newcomer.arrived_us;
        if newcomer.dispatch.is_none() && rcb.dispatched {
            newcomer.dispatch = Some((since_us, host.steps - newcomer.steps_before));
        }
        if rcb.metrics.generated > 0 {
            newcomer.first_token_us = Some(since_us);
        }
    }
}
