//! A team whose device is lost in the middle of a run: agents go on and say what they say anyway.

mod cli_support;

use std::cell::Cell;
use std::path::Path;
use std::task::Poll;

use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_desktop::aside::Aside;
use agentos_desktop::boot::Boot;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team;
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::runner::{
    self, Ending, Machine, Plan, RunClock, RunError, Runner, Saving, Stop, Tooling,
};
use agentos_desktop::team::sink::{JsonLines, Plain, Sink, Style};
use agentos_desktop::team::tools::{self, Person};
use agentos_desktop::text::Template;
use agentos_fault::{CopyFate, CopyFault, FaultDevice, FaultPlan, Scratch, StepFate, StepInjury};
use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DeviceError, Footprint, KvType, Limits, MaskError, ModelShape, PageError, PageId, PrepareError,
    Program, Resource, Step, StepReport, SubmitError, TensorDevice, WeightSource, page,
};
use agentos_kernel::checkpoint::Contents;
use cli_support::Desk;
use serde_json::Value;

/// Agents that page each other out.
const TEAM: &str = r#"
[memory]
l1_tokens = 320
l2_mb = 1

[[agent]]
name = "many"
prompt = "Tell me something that takes a few slices of memory."
copies = 4
max_tokens = 40
sampling = { temperature = 1.0, repeat_penalty = 1.1 }
"#;

/// A device that refuses to be prepared so many times after the first.
struct Stubborn<D> {
    inner: D,
    refusals: Vec<PrepareError>,
    prepared: u32,
}

impl<D: TensorDevice> TensorDevice for Stubborn<D> {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.prepared += 1;
        match self.refusals.pop() {
            Some(refusal) if self.prepared > 1 => Err(refusal),
            refusal => {
                self.refusals.extend(refusal);
                self.inner.prepare(program, shape, limits, weights)
            }
        }
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        self.inner.submit(step)
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        self.inner.allow(mask, words)
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        self.inner.poll()
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        self.inner.copy_out(page, image)
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        self.inner.copy_in(page, image)
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        self.inner.copy_pages(pairs)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        self.inner.summarise(page, layer, tokens, summary)
    }
}

/// What came of a run: how it ended, what was printed, and how often the device was prepared.
struct Ran {
    ending: Result<Ending, RunError>,
    printed: String,
    prepared: u32,
}

/// What goes wrong with the device, and what is done with the run meanwhile.
#[derive(Default)]
struct Script<'s> {
    /// Steps in which it is lost.
    steps: &'s [u64],
    /// Page operations in which it is lost.
    copies: &'s [u64],
    /// How it refuses to be prepared again, the last first.
    refusals: Vec<PrepareError>,
    /// Where the run is kept, how much of it, and every how many microseconds.
    keep: Option<(&'s Path, Contents, u64)>,
    /// The file that it goes on from.
    from: Option<&'s Path>,
    /// Shut down after so many looks; 0: never.
    looks: u32,
    /// Page memory is large, and has no arena behind it.
    no_arena: bool,
    /// Printed as JSON.
    json: bool,
    /// Somebody sits there, and lets everybody go on after so many looks.
    patience: Option<u32>,
    /// What that person says to all, and how many tokens there are for it.
    words: &'static str,
    spoken: u32,
}

/// Somebody who lets everybody go on after so many looks, and says this to all.
struct Patient(u32, &'static str);

impl Person for Patient {
    fn is_there(&self) -> bool {
        true
    }

    fn ask(&mut self, _: &str) {}

    fn tell(&mut self, text: &str) {
        panic!("{text}");
    }

    fn answer(&mut self) -> Poll<Option<String>> {
        self.0 -= 1;
        if self.0 == 0 { Poll::Ready(Some(self.1.to_owned())) } else { Poll::Pending }
    }
}

/// Runs the team on a device that is lost in these steps and refuses so when it is prepared again.
fn run(steps: &[u64], refusals: Vec<PrepareError>, json: bool, keep: Option<&Path>) -> Ran {
    // After every step.
    let keep = keep.map(|path| (path, Contents::Tokens, 1));
    run_as(Script { steps, refusals, json, keep, ..Script::default() })
}

fn run_as(script: Script<'_>) -> Ran {
    let desk = Desk::tiny();
    let large = || TEAM.replace("l1_tokens = 320", "l1_tokens = 1600").replace("l2_mb = 1", "l2_mb = 0");
    let text = if script.no_arena { large() } else { TEAM.to_owned() };
    let team = team::parse(Path::new("team.toml"), &text).unwrap();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let shape = &file.model.shape;
    let tokenizer = model::tokenizer(&desk.model(), &vocabulary, shape.vocab).unwrap();
    let template = Template::of(&vocabulary).unwrap();
    let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };
    let kits = (vec![None; team.agents.len()], vec![None; team.agents.len()]);
    let plan = Plan::new(&team, &chat, shape.context, 1, kits, script.spoken).unwrap();
    let config = runner::config(&team, &plan, (shape, KvType::F16), 0).unwrap();

    let lose = StepFate { injury: Some(StepInjury::Lose), ..StepFate::default() };
    let steps: Vec<(u64, StepFate)> = script.steps.iter().map(|&step| (step, lose)).collect();
    let lose = CopyFate { fault: Some(CopyFault::Lose), ..CopyFate::default() };
    let copies: Vec<(u64, CopyFate)> = script.copies.iter().map(|&copy| (copy, lose)).collect();
    let mut image = vec![0; page::image_bytes(shape, config.kv)];
    let cpu = CpuDevice::new(SystemMemory::default(), Pool::new(1).unwrap(), Isa::best());
    let scratch = Scratch { image: &mut image, ..Scratch::default() };
    let inner = FaultDevice::new(cpu, FaultPlan::Script { steps: &steps, copies: &copies }, scratch);
    let mut device = Stubborn { inner, refusals: script.refusals, prepared: 0 };
    let mut weights = file.weights();
    device.prepare(file.model.program, shape, &config.device_limits(shape), &mut weights).unwrap();

    let ends = (0..shape.vocab).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    let mut boot = Boot::new(config, shape, tokenizer.delimiter_classes(), ends);
    let kernel = boot.kernel(&[0; 32]).unwrap();
    let mut printed = Vec::new();
    let ending = {
        let mut sink: Box<dyn Sink> = if script.json {
            Box::new(JsonLines::new(&mut printed))
        } else {
            Box::new(Plain::new(&team, Style { columns: 80, colours: false }, &mut printed))
        };
        let machine = Machine {
            device: &mut device,
            model: file.model,
            weights: &mut weights,
            store: &mut agentos_hal::NoStore,
        };
        let mut runner = Runner::new(
            &team,
            &plan,
            chat,
            kernel,
            machine,
            RunClock::replay(),
            match script.patience {
                None => Tooling::none(team.agents.len()),
                Some(looks) => {
                    let person = tools::Reception::new(Box::new(Patient(looks, script.words)), None);
                    let none = Tooling::none(team.agents.len());
                    let of = vec![None; team.agents.len()];
                    let errands = tools::Errands::default();
                    let desk =
                        tools::Desk::new(Vec::new(), of, person, None, errands, tools::Crew::default());
                    Tooling { desk, ..none }
                }
            },
        );
        if let Some((path, contents, every_us)) = script.keep {
            runner.keep(Saving::new(path.to_owned(), contents, every_us, [1; 16])).unwrap();
        }
        if let Some(path) = script.from {
            runner.restore(path, sink.as_mut()).unwrap();
        }
        let looks = Cell::new(0);
        let interrupted = || {
            looks.set(looks.get() + 1);
            looks.get() == script.looks
        };
        let ending = runner.run(sink.as_mut(), &Stop { has_come: &interrupted, take_back: &|| () });
        runner.end(sink.as_mut()).unwrap();
        ending
    };
    Ran { ending, printed: String::from_utf8(printed).unwrap(), prepared: device.prepared }
}

impl Ran {
    fn events(&self, event: &str) -> Vec<Value> {
        let lines = self.printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    }

    /// Every token with who said it, agent by agent.
    fn tokens(&self) -> Vec<(String, u64, u64)> {
        let token = |line: &Value| {
            let number = |name: &str| line[name].as_u64().unwrap();
            (line["agent"].as_str().unwrap().to_owned(), number("address"), number("id"))
        };
        let mut tokens: Vec<_> = self.events("token").iter().map(token).collect();
        tokens.sort();
        tokens
    }
}

#[test]
fn agents_say_the_same_though_the_device_was_lost() {
    let undisturbed = run(&[], Vec::new(), true, None);
    assert_eq!(undisturbed.ending.as_ref().unwrap(), &Ending::Done);
    assert_eq!((undisturbed.prepared, undisturbed.events("device_lost").len()), (1, 0));
    // Lost again at once, and once more much later, with a driver that takes its time.
    let refusals = vec![PrepareError::Device(DeviceError::Lost); 2];
    let ran = run(&[4, 5, 30], refusals, true, None);
    assert_eq!(ran.ending.as_ref().unwrap(), &Ending::Done);
    assert_eq!(ran.tokens(), undisturbed.tokens());
    assert_eq!(ran.prepared, 1 + 3 + 2);
    let in_a_row: Vec<Value> = ran.events("device_lost").iter().map(|line| line["losses"].clone()).collect();
    assert_eq!(in_a_row, [1, 2, 1]);
    let tries: Vec<Value> = ran.events("device_restored").iter().map(|line| line["tries"].clone()).collect();
    assert_eq!(tries, [3, 1, 1]);
    let agents = ran.events("summary")[0]["agents"].as_array().unwrap().clone();
    assert!(agents.iter().any(|agent| agent["recomputed"].as_u64() > Some(0)), "{agents:?}");
}

#[test]
fn a_run_that_is_kept_survives_a_loss_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let undisturbed = run(&[], Vec::new(), true, None);
    let ran = run(&[3, 17], Vec::new(), true, Some(&path));
    assert_eq!(ran.ending.as_ref().unwrap(), &Ending::Done);
    assert_eq!(ran.tokens(), undisturbed.tokens());
    assert_eq!(ran.events("device_restored").len(), 2);
    assert!(Aside::create(&path).is_ok() && path.exists());
}

/// Pages come back from the device while the run is kept: a loss there costs a repetition.
#[test]
fn a_device_that_is_lost_while_its_pages_are_kept_costs_no_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let pages = Some((path.as_path(), Contents::Pages, 1));
    let undisturbed = run_as(Script { json: true, keep: pages, ..Script::default() });
    // In the first file; soon again; and in a file much later.
    let copies = [3, 9, 400];
    let ran = run_as(Script { json: true, keep: pages, copies: &copies, ..Script::default() });
    assert_eq!(ran.ending.as_ref().unwrap(), &Ending::Done);
    assert_eq!(ran.events("device_restored").len(), 3);
    assert_eq!(ran.tokens(), undisturbed.tokens());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half written is left");
}

/// The device is lost over every page that is to be kept.
#[test]
fn a_device_that_never_gives_a_page_ends_the_run_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let copies: Vec<u64> = (0..1000).collect();
    let keep = Some((path.as_path(), Contents::Pages, 1));
    let ran = run_as(Script { json: true, keep, copies: &copies, ..Script::default() });
    let message = ran.ending.unwrap_err().to_string();
    assert!(message.starts_with("the device was lost 4 times without a step between"), "{message}");
    // What was kept before there were pages is whole.
    let then = run_as(Script { json: true, from: Some(&path), ..Script::default() });
    assert_eq!(then.ending.as_ref().unwrap(), &Ending::Done);
}

/// A run that was kept in its middle goes on though the device is lost over the first pages of it.
#[test]
fn a_device_that_is_lost_while_a_run_is_restored_costs_no_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let undisturbed = run_as(Script { json: true, no_arena: true, ..Script::default() });
    let keep = Some((path.as_path(), Contents::Pages, u64::MAX));
    let first = run_as(Script { json: true, no_arena: true, keep, looks: 30, ..Script::default() });
    assert_eq!(first.ending.as_ref().unwrap(), &Ending::Halted);
    let from = Some(path.as_path());
    let then = run_as(Script { json: true, no_arena: true, from, copies: &[0, 4], ..Script::default() });
    assert_eq!(then.ending.as_ref().unwrap(), &Ending::Done);
    assert_eq!(then.events("device_restored").len(), 2);
    assert!(!first.tokens().is_empty() && !then.tokens().is_empty());
    let mut tokens = [first.tokens(), then.tokens()].concat();
    tokens.sort();
    assert_eq!(tokens, undisturbed.tokens());
}

#[test]
fn a_device_that_is_lost_every_time_ends_the_run_with_the_reason() {
    let steps: Vec<u64> = (5..100).collect();
    let ran = run(&steps, Vec::new(), false, None);
    let message = ran.ending.unwrap_err().to_string();
    assert!(message.starts_with("the device was lost 4 times without a step between"), "{message}");
    let told = ran.printed.matches("the device was lost, and with it").count();
    assert_eq!((told, ran.printed.matches("the device is back").count()), (4, 3), "{}", ran.printed);
}

#[test]
fn a_device_that_stays_away_is_given_up() {
    for (refusal, tries) in [
        (PrepareError::Device(DeviceError::Lost), 5),
        (PrepareError::TooLarge { what: Resource::PageBytes, needed: 2, available: 1 }, 1),
    ] {
        let ran = run(&[6], vec![refusal; 9], true, None);
        match ran.ending.unwrap_err() {
            RunError::DeviceLost { losses: 1, tries: found, error: Some(error) } => {
                assert_eq!((found, error), (tries, refusal));
            }
            other => panic!("{other}"),
        }
        assert_eq!(ran.prepared, 1 + tries);
    }
}

#[test]
fn a_person_may_pause_a_team() {
    let whole = run(&[], Vec::new(), true, None);
    let paused = run_as(Script { looks: 40, patience: Some(200), json: true, ..Script::default() });
    assert_eq!(*paused.ending.as_ref().unwrap(), Ending::Done);
    let user = paused.events("interrupt").into_iter().filter(|line| line["vector"] == "SIG_USER");
    assert_eq!(user.count(), 2, "everybody pauses, and goes on");
    assert_eq!(paused.tokens(), whole.tokens());
}

#[test]
fn what_a_person_says_at_the_pause_reaches_all() {
    let whole = run(&[], Vec::new(), true, None);
    let said = Script {
        looks: 40,
        patience: Some(50),
        words: "Stop now.",
        spoken: 120,
        no_arena: true,
        json: true,
        ..Script::default()
    };
    let ran = run_as(said);
    assert_eq!(*ran.ending.as_ref().unwrap(), Ending::Done);
    let told = ran.events("message");
    assert_eq!(told.len(), 4, "each is told once: {told:?}");
    for agent in whole.events("summary")[0]["agents"].as_array().unwrap() {
        let of = |ran: &Ran| {
            let tokens = ran.tokens().into_iter().filter(|(name, _, _)| agent["name"] == **name);
            tokens.map(|(_, address, id)| (address, id)).collect::<Vec<_>>()
        };
        let (before, after) = (of(&whole), of(&ran));
        // It ends its answer first, as it would have; then it answers what it was told.
        assert_eq!(after[..before.len()], before, "{agent}");
        assert!(after.len() > before.len(), "{agent}");
        assert!(after[before.len()].0 > before[before.len() - 1].0 + 20, "what it was told stands between");
    }
}
