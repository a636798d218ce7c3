//! A crowd that calls tools which are late, fail, hang and give too much, through the desk and the runner.
//!
//! The counter is the allocator of this whole test program, so this file has one test.

mod alloc_support;
mod cli_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use agentos_desktop::boot::Boot;
use agentos_desktop::constraint;
use agentos_desktop::device::{Device, DeviceOptions};
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team::json::Summary;
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::runner::{self, Flow, Kit, Machine, Plan, RunClock, RunError, Runner, Tooling};
use agentos_desktop::team::sink::{DeviceNews, Refusal, Sink, Told, ToolNews};
use agentos_desktop::team::tools::{
    Aligner, Callers, Crew, Desk as ToolDesk, Errands, Nobody, Reception, words,
};
use agentos_desktop::team::{self};
use agentos_desktop::text::Template;
use agentos_fault::{CallFate, CallOdds, FaultPeripheral};
use agentos_hal::{CallNumber, KvType, Output, Peripheral, PeripheralError};
use agentos_kernel::event::Event;
use agentos_perception::ControlStrings;
use agentos_tools::{Access, Descriptor, Effect, Registry, Tool, Urgency};
use alloc_support::ALLOCATOR;
use cli_support::{Desk, Tiny};
use serde_json::json;

/// Agents that call.
const WORKERS: usize = 32;
/// Urgent agents that come one after the other, a while apart.
const ARRIVALS: usize = 16;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;
const LONGEST_DELAY: u32 = 60;
const ODDS: CallOdds = CallOdds { delay: 600, busy: 100, fail: 80, hang: 10, oversize: 40, gone: 40 };
const OUTPUT_BYTES: usize = 1000;

/// Bytes by which what is in use may have grown: a table that was made larger once. What is kept of one call is more
/// than a tenth of that.
const SLACK: i64 = 64 << 10;

/// Says the number of the call.
#[derive(Default)]
struct Echo(BTreeSet<u64>);

impl Peripheral for Echo {
    fn start(&mut self, call: CallNumber, _: &[u8], _: &mut Output<'_>) -> Result<(), PeripheralError> {
        assert!(self.0.insert(call.0), "no call is begun twice");
        Ok(())
    }

    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        assert!(self.0.remove(&call.0), "only what was begun is looked at");
        Poll::Ready(
            output.write_all(format!("call {}", call.0).as_bytes()).map_err(|_| PeripheralError::Output),
        )
    }

    fn cancel(&mut self, call: CallNumber) {
        self.0.remove(&call.0);
    }
}

/// The tool of all agents, which the test can look at.
#[derive(Clone)]
struct Shared(Arc<Mutex<FaultPeripheral<Echo, 512>>>);

impl Peripheral for Shared {
    fn start(
        &mut self,
        call: CallNumber,
        arguments: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), PeripheralError> {
        self.0.lock().unwrap().start(call, arguments, output)
    }

    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        self.0.lock().unwrap().poll(call, output)
    }

    fn cancel(&mut self, call: CallNumber) {
        self.0.lock().unwrap().cancel(call);
    }
}

fn descriptor() -> Descriptor {
    Descriptor {
        name: "a".to_owned(),
        description: "Says the number of the call.".to_owned(),
        arguments: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        output: None,
        access: Access::None,
        effect: Effect::None,
        urgency: Urgency::High,
        timeout: Duration::from_secs(3),
        attempts: 2,
        output_bytes: OUTPUT_BYTES,
        output_tokens: 64,
        examples: Vec::new(),
    }
}

/// Workers, and urgent agents each of which comes when the idler before it is done.
fn team_text(max_tokens: u32, tools: &str) -> String {
    let mut text = format!(
        "[memory]\nl1_tokens = 200000\n[schedule]\nquantum = 64\n\
         [[agent]]\nname = \"worker\"\nprompt = \"Go.\"\ncopies = {WORKERS}\nmax_tokens = {max_tokens}\n\
         context = 4600\npriority = 8\n{tools}\n"
    );
    for number in 0..ARRIVALS {
        let after =
            if number == 0 { String::new() } else { format!("after = [\"urgent-{}\"]\n", number - 1) };
        text += &format!(
            "[[agent]]\nname = \"idler-{number}\"\nprompt = \"Wait.\"\nmax_tokens = 60\npriority = 8\n{after}\
             [[agent]]\nname = \"urgent-{number}\"\nprompt = \"Now!\"\nmax_tokens = 4\npriority = 31\n\
             after = [\"idler-{number}\"]\n"
        );
    }
    text
}

/// What became of the calls, and of the urgent.
#[derive(Default)]
struct Tally {
    called: BTreeMap<usize, Vec<u64>>,
    results: BTreeMap<usize, Vec<u64>>,
    outcomes: BTreeMap<u64, &'static str>,
    steps: u64,
    /// Steps from the spawn of an urgent agent to its first token, by its name.
    delays: BTreeMap<usize, u64>,
    spawned: BTreeMap<usize, u64>,
    said: BTreeMap<usize, Vec<u32>>,
}

impl Sink for Tally {
    fn event(&mut self, told: &Told<'_>) -> Result<(), RunError> {
        match (told.record.event, told.member) {
            (Event::StepEnded { .. }, _) => self.steps += 1,
            (Event::Spawned { .. }, Some(member)) if member >= WORKERS => {
                self.spawned.insert(member, self.steps);
            }
            (Event::Token { token, .. }, Some(member)) if member >= WORKERS => {
                // The step in which it is said has not ended yet.
                let (spawned, steps) = (self.spawned[&member], self.steps);
                self.delays.entry(member).or_insert(steps + 1 - spawned);
                self.said.entry(member).or_default().push(token);
            }
            (Event::Lost { count }, _) => panic!("{count} events lost"),
            _ => (),
        }
        Ok(())
    }

    fn refused(&mut self, refusal: &Refusal<'_>) -> Result<(), RunError> {
        panic!("{}: {}", refusal.name, refusal.reason)
    }

    fn device(&mut self, _: &DeviceNews) -> Result<(), RunError> {
        Ok(())
    }

    fn tool(&mut self, news: &ToolNews<'_>) -> Result<(), RunError> {
        match *news {
            ToolNews::Asked { name, .. } => panic!("{name} is asked by nobody"),
            ToolNews::Called { member, call, .. } => self.called.entry(member).or_default().push(call),
            ToolNews::Result { member, call, outcome, text, .. } => {
                self.results.entry(member).or_default().push(call);
                assert!(self.outcomes.insert(call, outcome).is_none(), "one result for each call");
                // One that the worker's last tokens did not suffice for is no call of the tool.
                let cut = text.contains("the call was not whole");
                assert_eq!(outcome == "refused", cut, "{text}");
                if outcome == "done" {
                    assert!(text.ends_with(&format!("call {call}")), "its own result: {text}");
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn end(&mut self, _: u64, _: &Summary) -> Result<(), RunError> {
        Ok(())
    }
}

/// What a run came to.
struct Ran {
    tally: Tally,
    /// Bytes in use at least, by how many calls were answered, in twenties.
    live: BTreeMap<usize, i64>,
}

fn model() -> Tiny {
    let mut model = Tiny { context: 8192, ..Tiny::default() };
    model.tokens.push("<tool_call>".to_owned());
    model.types.push(1);
    model.rows += 1;
    // It calls whenever it is its turn, and behind each call it begins another one.
    model.script = vec![(u32::from(b'\n'), model.rows - 1, 9.0)];
    model
}

fn run(seed: u64, max_tokens: u32, tools: &str) -> Ran {
    let desk = Desk::new(&model().gguf());
    let team = team::parse(Path::new("team.toml"), &team_text(max_tokens, tools)).unwrap();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let shape = &file.model.shape;
    let tokenizer = Arc::new(model::tokenizer(&desk.model(), &vocabulary, shape.vocab).unwrap());
    let template = Template::of(&vocabulary).unwrap();
    let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };
    let calls = |agent: &team::Agent| agent.tools.is_some();
    let kit = |agent: &team::Agent| {
        calls(agent).then(|| Kit { tools: vec![descriptor()], chosen: None, then: Vec::new(), format: None })
    };
    let kits: Vec<Option<Kit>> = team.agents.iter().map(kit).collect();
    let plan = Plan::new(&team, &chat, shape.context, 0, (kits, vec![None; team.agents.len()]), 0).unwrap();
    let config = runner::config(&team, &plan, (shape, KvType::F16), 0).unwrap();
    let options = DeviceOptions { threads: Some(2), ..DeviceOptions::cpu() };
    let mut device = Device::open(&options).unwrap();
    device.prepare(&file.model, &config.device_limits(shape), &mut file.weights()).unwrap();
    let ends = (0..shape.vocab).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    let mut boot = Boot::new(config, shape, tokenizer.delimiter_classes(), ends);
    let kernel = boot.kernel(&[0; 32]).unwrap();

    let tool = Shared(Arc::new(Mutex::new(FaultPeripheral::new(Echo::default(), ODDS, seed, LONGEST_DELAY))));
    let mut registry = Registry::new();
    registry.add(Tool { descriptor: descriptor(), peripheral: Box::new(tool.clone()) }).unwrap();
    let of = team.agents.iter().map(|agent| calls(agent).then_some(0)).collect();
    let reception = Reception::new(Box::new(Nobody), None);
    let tool_desk = ToolDesk::new(vec![registry], of, reception, None, Errands::default(), Crew::default());
    let grammar = constraint::vocabulary(&tokenizer).unwrap();
    let mut callers = Callers::new(team.agents.len(), grammar, Crew::default());
    for (index, _) in team.agents.iter().enumerate().filter(|(_, agent)| calls(agent)) {
        callers.enrol(index, ([descriptor()].iter(), &words::plain_shape()), None).unwrap();
    }
    let controls = ControlStrings::new(tokenizer.control_strings(template.source())).unwrap();
    let aligner = Arc::new(Aligner { tokenizer: tokenizer.clone(), controls, taken: String::new() });
    let tooling = Tooling { desk: tool_desk, callers, aligner: Some(aligner) };

    let mut weights = file.weights();
    let machine = Machine {
        device: device.tensor_device(),
        model: file.model,
        weights: &mut weights,
        store: &mut agentos_hal::NoStore,
    };
    let mut runner = Runner::new(&team, &plan, chat, kernel, machine, RunClock::replay(), tooling);
    let (mut tally, mut live) = (Tally::default(), BTreeMap::new());
    while runner.advance(&mut tally).unwrap() == Flow::Going {
        let now = ALLOCATOR.live.load(Relaxed);
        live.entry(tally.outcomes.len() / 20)
            .and_modify(|least: &mut i64| *least = now.min(*least))
            .or_insert(now);
    }
    let kernel = runner.kernel();
    assert_eq!(kernel.figures().promised, 0, "nobody holds any memory");
    for rcb in kernel.agents() {
        assert!(rcb.state.is_over() && rcb.stack_depth() == 0 && rcb.pinned == 0, "{:?}", rcb.state);
    }
    let tool = tool.0.lock().unwrap();
    assert_eq!((tool.open(), tool.inner().0.len()), (0, 0), "no tool is left at work");
    Ran { tally, live }
}

const TOOLS: &str = "tools = { use = [\"clock\"], calls = 1000, choose = \"model\", tokens = 200 }";

#[test]
fn a_crowd_that_calls_loses_nothing_and_holds_nobody_up() {
    let baseline = run(0, 1100, "");
    assert!(baseline.tally.called.is_empty());
    let mut all = 0;
    for seed in SEEDS {
        let ran = run(seed, 1100, TOOLS);
        all += calls_are_answered(seed, &ran.tally);
        urgent_are_not_held_up(&ran.tally, &baseline.tally);
        heap_is_flat(&ran);
    }
    assert!(all > 2_000, "{all} calls");
}

/// Every call is answered once, in the order in which it was made, with what its fate is.
fn calls_are_answered(seed: u64, tally: &Tally) -> usize {
    assert_eq!(tally.called.len(), WORKERS);
    assert_eq!(tally.called, tally.results);
    let mut counted = BTreeMap::new();
    let made = || tally.outcomes.iter().filter(|(_, outcome)| **outcome != "refused");
    for (&call, &outcome) in made() {
        let expected = match ODDS.fate(seed, CallNumber(call), LONGEST_DELAY).0 {
            CallFate::Fine | CallFate::Busy => "done",
            CallFate::Fail => "failed",
            CallFate::Hang => "timed-out",
            CallFate::Oversize => "output",
            CallFate::Gone => "gone",
        };
        assert_eq!(outcome, expected, "seed {seed}, call {call}");
        *counted.entry(outcome).or_insert(0) += 1;
    }
    assert_eq!(counted.len(), 5, "{counted:?}");
    made().count()
}

/// The urgent speak as soon as without anybody who calls, and everybody without tools says the same.
fn urgent_are_not_held_up(tally: &Tally, baseline: &Tally) {
    assert_eq!(tally.delays.len(), 2 * ARRIVALS);
    for (member, delay) in &tally.delays {
        let alone = baseline.delays[member];
        let urgent = (member - WORKERS) % 2 == 1;
        assert!(!urgent || *delay <= alone + 1, "agent {member}: {delay} steps, {alone} without tools");
    }
    assert_eq!(tally.said, baseline.said);
}

/// What is in use at least, about a quarter of the way and at the end.
fn heap_is_flat(ran: &Ran) {
    let last = ran.tally.outcomes.len() / 20;
    let least = |from: usize, to: usize| ran.live.range(from..=to).map(|(_, live)| *live).min().unwrap();
    let (quarter, end) = (least(last / 4 - 2, last / 4 + 2), least(last - 4, last));
    assert!(
        end <= quarter + SLACK,
        "{end} bytes are in use at the end, {quarter} after a quarter of the calls"
    );
}
