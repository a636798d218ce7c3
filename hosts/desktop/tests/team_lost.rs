//! A team whose device is lost in the middle of a run: agents go on and say what they say anyway.

mod cli_support;

use std::path::Path;
use std::task::Poll;

use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_desktop::aside::Aside;
use agentos_desktop::boot::Boot;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team;
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::runner::{self, Ending, Machine, Plan, RunClock, RunError, Runner, Saving};
use agentos_desktop::team::sink::{JsonLines, Plain, Sink, Style};
use agentos_desktop::text::Template;
use agentos_fault::{FaultDevice, FaultPlan, Scratch, StepFate, StepInjury};
use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DeviceError, Footprint, KvType, Limits, ModelShape, PageError, PageId, PrepareError, Program,
    Resource, Step, StepReport, SubmitError, TensorDevice, WeightSource, page,
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

/// Runs the team on a device that is lost in these steps and refuses so when it is prepared again.
fn run(lost: &[u64], refusals: Vec<PrepareError>, json: bool, keep: Option<&Path>) -> Ran {
    let desk = Desk::tiny();
    let team = team::parse(Path::new("team.toml"), TEAM).unwrap();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let shape = &file.model.shape;
    let tokenizer = model::tokenizer(&desk.model(), &vocabulary, shape.vocab).unwrap();
    let template = Template::of(&vocabulary).unwrap();
    let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };
    let plan = Plan::new(&team, &chat, shape.context, 1).unwrap();
    let config = runner::config(&team, &plan, shape, KvType::F16).unwrap();

    let lose = StepFate { injury: Some(StepInjury::Lose), ..StepFate::default() };
    let script: Vec<(u64, StepFate)> = lost.iter().map(|&step| (step, lose)).collect();
    let mut image = vec![0; page::image_bytes(shape, config.kv)];
    let cpu = CpuDevice::new(SystemMemory::default(), Pool::new(1).unwrap(), Isa::best());
    let scratch = Scratch { image: &mut image, ..Scratch::default() };
    let inner = FaultDevice::new(cpu, FaultPlan::Script { steps: &script, copies: &[] }, scratch);
    let mut device = Stubborn { inner, refusals, prepared: 0 };
    let mut weights = file.weights();
    device.prepare(file.model.program, shape, &config.device_limits(shape), &mut weights).unwrap();

    let ends = (0..shape.vocab).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    let mut boot = Boot::new(config, shape, tokenizer.delimiter_classes(), ends);
    let kernel = boot.kernel(&[0; 32]).unwrap();
    let mut printed = Vec::new();
    let ending = {
        let mut sink: Box<dyn Sink> = if json {
            Box::new(JsonLines::new(&mut printed))
        } else {
            Box::new(Plain::new(&team, Style { columns: 80, colours: false }, &mut printed))
        };
        let machine = Machine { device: &mut device, model: file.model, weights: &mut weights };
        let mut runner = Runner::new(&team, &plan, chat, kernel, machine, RunClock::replay());
        if let Some(path) = keep {
            // After every step.
            runner.keep(Saving::new(path.to_owned(), Contents::Tokens, 1)).unwrap();
        }
        let ending = runner.run(sink.as_mut(), &|| false);
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
