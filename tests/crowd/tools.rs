//! A crowd that calls tools which are late, fail, hang and give too much.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;
use std::time::Instant;

use agentos_cpu::{CpuDevice, Isa, Solo, SystemMemory};
use agentos_desktop::boot::Boot;
use agentos_desktop::host::SystemClock;
use agentos_fault::{CallFate, CallOdds, FaultPeripheral};
use agentos_hal::{CallNumber, Clock, Output, Peripheral, PeripheralError};
use agentos_kernel::agent::{AgentId, Priority, Spec};
use agentos_kernel::call::{Call, Reply, Tokens};
use agentos_kernel::event::Event;
use agentos_kernel::guard::Unguarded;
use agentos_kernel::interrupt::Urgency;
use agentos_kernel::system::{Config, Devices, Kernel, Tick};
use agentos_kernel::tool::{Bus, CallOutcome, Effect, Request, ToolId};
use embedded_io::ErrorKind;

use crate::team::spec;
use crate::tiny::{self, LIMITS, SHAPE, Tiny};

const AGENTS: usize = 32;
const CALLS: u64 = 10_000;
/// Calls of one agent before another takes its place.
const CALLS_EACH: u64 = 40;
const ROOM: usize = 256;
const ODDS: CallOdds = CallOdds { delay: 600, busy: 100, fail: 80, hang: 10, oversize: 40, gone: 40 };

const CONFIG: Config = Config {
    rows: 64,
    candidates: LIMITS.candidates,
    kv: LIMITS.kv,
    calls: 256,
    ..Config::new(AGENTS as u16 + 1, 200, 600, 2_000)
}
.checked();

const REQUEST: Request = Request {
    tool: ToolId(0),
    effect: Effect::Repeatable,
    timeout_us: 3_000,
    attempts: 2,
    urgency: Urgency::High,
};

/// Says the number of the call.
#[derive(Default)]
struct Echo {
    open: BTreeSet<u64>,
}

impl Peripheral for Echo {
    fn start(
        &mut self,
        call: CallNumber,
        arguments: &[u8],
        _: &mut Output<'_>,
    ) -> Result<(), PeripheralError> {
        assert_eq!(arguments, call.0.to_le_bytes(), "the arguments of this call");
        assert!(self.open.insert(call.0), "no call is begun twice");
        Ok(())
    }

    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        assert!(self.open.remove(&call.0), "only what was begun is looked at");
        output.write_all(&call.0.to_le_bytes()).expect("there is room");
        Poll::Ready(Ok(()))
    }

    fn cancel(&mut self, call: CallNumber) {
        self.open.remove(&call.0);
    }
}

/// Room for one output.
struct Bounded(Vec<u8>);

impl embedded_io::ErrorType for Bounded {
    type Error = ErrorKind;
}

impl embedded_io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let fits = bytes.len().min(ROOM - self.0.len());
        self.0.extend_from_slice(&bytes[..fits]);
        if fits == 0 { Err(ErrorKind::OutOfMemory) } else { Ok(fits) }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

struct Tools {
    peripheral: FaultPeripheral<Echo, 512>,
    outputs: BTreeMap<u64, Bounded>,
}

impl Bus for Tools {
    fn start(&mut self, call: CallNumber) -> Result<(), PeripheralError> {
        let output = self.outputs.entry(call.0).or_insert_with(|| Bounded(Vec::new()));
        output.0.clear();
        self.peripheral.start(call, &call.0.to_le_bytes(), output)
    }

    fn poll(&mut self, call: CallNumber) -> Poll<Result<(), PeripheralError>> {
        let output = self.outputs.get_mut(&call.0).expect("it was started");
        self.peripheral.poll(call, output)
    }

    fn cancel(&mut self, call: CallNumber) {
        self.peripheral.cancel(call);
    }
}

/// What became of the calls.
#[derive(Default)]
struct Tally {
    made: BTreeMap<u64, AgentId>,
    outcomes: BTreeMap<u64, CallOutcome>,
    most_outputs: usize,
    /// Steps between the spawn of an urgent agent and the first that it is in.
    urgent_steps: Vec<u64>,
}

fn spawn(kernel: &mut Kernel<'_>, tag: u64, priority: Priority, tokens: u32, now_us: u64) -> AgentId {
    let spec = Spec { priority, ..spec(tag, 200, tokens) };
    let prompt: Vec<u8> =
        (0..12).flat_map(|n| ((tag as u32 * 5 + n * 7) % SHAPE.vocab).to_le_bytes()).collect();
    match kernel.call(None, &Call::Spawn(spec, Tokens(&prompt)), now_us) {
        Ok(Reply::Agent(id)) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ten_thousand_calls_are_each_answered_once() {
    let model = Tiny::new(3);
    let mut device = CpuDevice::new(SystemMemory::default(), Solo, Isa::best());
    model.prepare(&mut device, &CONFIG.device_limits(&SHAPE));
    let clock = SystemClock::since(Instant::now());
    let mut boot = Boot::new(CONFIG, &SHAPE, tiny::delimiters(), Vec::new());
    let mut kernel = boot.kernel(&[0; 32]).unwrap();
    let mut tools =
        Tools { peripheral: FaultPeripheral::new(Echo::default(), ODDS, 7, 40), outputs: BTreeMap::new() };
    let mut tally = Tally::default();
    let mut calls_of: BTreeMap<(u16, u32), u64> = BTreeMap::new();
    let mut next_tag = 0;
    let mut urgent: Option<(AgentId, u64)> = None;
    let mut idle = 0;
    while idle < 2_000 {
        let now_us = clock.now().micros;
        let alive = kernel.agents().count() - usize::from(urgent.is_some());
        for _ in alive..AGENTS {
            if (tally.made.len() as u64) < CALLS {
                spawn(&mut kernel, next_tag, Priority::NORMAL, 190, now_us);
                next_tag += 1;
            }
        }
        if urgent.is_none() && tally.made.len() >= 100 * (tally.urgent_steps.len() + 1) {
            let steps = kernel.figures().steps;
            urgent = Some((spawn(&mut kernel, 1 << 40, Priority::HIGHEST, 1, now_us), steps));
        }
        let tick = kernel.tick(&mut Devices {
            tensor: &mut device,
            clock: &clock,
            tools: &mut tools,
            guard: &mut Unguarded,
            store: &mut agentos_hal::NoStore,
        });
        idle = if tick == Tick::Idle { idle + 1 } else { 0 };
        if tick == Tick::Idle {
            std::thread::sleep(std::time::Duration::from_micros(20));
        }
        while let Some(record) = kernel.next_event() {
            match record.event {
                Event::Token { agent, .. } if urgent.is_some_and(|(id, _)| id == agent) => {
                    let (_, steps) = urgent.expect("it was just there");
                    tally.urgent_steps.push(kernel.figures().steps - steps);
                }
                Event::Token { agent, .. } => {
                    let made = calls_of.entry((agent.index, agent.generation)).or_default();
                    let enough = *made >= CALLS_EACH || tally.made.len() as u64 >= CALLS;
                    if enough {
                        let _ = kernel.call(None, &Call::Kill(agent), clock.now().micros);
                    } else if let Ok(Reply::Call(call)) =
                        kernel.call(None, &Call::Invoke(agent, REQUEST), clock.now().micros)
                    {
                        *made += 1;
                        assert!(tally.made.insert(call, agent).is_none(), "each call has its own number");
                    }
                }
                Event::ToolOver { agent, number, outcome, .. } => {
                    assert_eq!(tally.made[&number], agent, "a result goes to whoever called");
                    let output = tools.outputs.remove(&number).map(|output| output.0).unwrap_or_default();
                    if outcome == CallOutcome::Done {
                        assert_eq!(output, number.to_le_bytes(), "its own result");
                    }
                    assert!(tally.outcomes.insert(number, outcome).is_none(), "one result for each call");
                    let result = (number as u32 % SHAPE.vocab).to_le_bytes();
                    let returned = Call::Return { call: number, tokens: Tokens(&result), fits: true };
                    if kernel.call(None, &returned, clock.now().micros).is_err() {
                        // Its context is full.
                        let nothing = Call::Return { call: number, tokens: Tokens(&[]), fits: true };
                        kernel.call(None, &nothing, clock.now().micros).expect("nothing always fits");
                    }
                }
                Event::Finished { agent, .. } => {
                    urgent = urgent.filter(|(id, _)| *id != agent);
                    kernel
                        .call(None, &Call::Kill(agent), clock.now().micros)
                        .expect("its text is not needed");
                }
                Event::Lost { count } => panic!("{count} events lost"),
                _ => (),
            }
        }
        tally.most_outputs = tally.most_outputs.max(tools.outputs.len());
    }
    assert_eq!(tally.made.len() as u64, CALLS);
    assert_eq!(tally.outcomes.len() as u64, CALLS, "every call was answered");
    for (&number, &outcome) in &tally.outcomes {
        // What came of a call is what its fate says, whoever else called.
        let expected = match ODDS.fate(7, CallNumber(number), 40).0 {
            CallFate::Fine | CallFate::Busy => CallOutcome::Done,
            CallFate::Fail => CallOutcome::Failed,
            CallFate::Hang => CallOutcome::TimedOut,
            CallFate::Oversize => CallOutcome::Output,
            CallFate::Gone => CallOutcome::Gone,
        };
        // A machine that stands still for a while makes any call late.
        assert!(outcome == expected || outcome == CallOutcome::TimedOut, "call {number}: {outcome:?}");
    }
    assert!(tally.urgent_steps.len() > 50, "{}", tally.urgent_steps.len());
    assert!(tally.urgent_steps.iter().all(|&steps| steps <= 2), "{:?}", tally.urgent_steps);
    assert!(tally.most_outputs <= CONFIG.calls as usize, "outputs are taken as they come");
    assert_eq!(tools.peripheral.open(), 0, "no tool is left at work");
    assert!(tools.peripheral.inner().open.is_empty());
    let figures = kernel.figures();
    assert_eq!((figures.promised, kernel.agents().count()), (0, 0), "nobody holds anything");
}
