//! From the first step to the last token, kernel, device and the loops over them allocate nothing: that of
//! one sequence, and that of a team with all that it prints. (A trace allocates, and so does the spawning
//! of an agent that has waited for others: its opening is made then.)
//!
//! The counter is the allocator of this whole test program, so this file has one test.

mod alloc_support;
mod cli_support;

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use agentos_desktop::boot::Boot;
use agentos_desktop::context::{self, Purpose, Tables};
use agentos_desktop::device::{Backend, Device, DeviceOptions};
use agentos_desktop::generate::{self, Finish, Request};
use agentos_desktop::host::SystemClock;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::runner::{self, Flow, Machine, Plan, RunClock, Runner, Tooling};
use agentos_desktop::team::sink::{JsonLines, Plain, Sink, Style};
use agentos_desktop::team::{self, Team};
use agentos_desktop::text::Template;
use agentos_hal::KvType;
use agentos_kernel::layout::Delimiter;
use agentos_kernel::sample::{Sampler, Sampling};
use alloc_support::ALLOCATOR;
use cli_support::Desk;

const TOKENS: u32 = 60;

/// Calls of the allocator from the first tick to the last token.
fn calls_of(model: &str, backend: Backend) -> u64 {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
    let path = models.join(model);
    let map = ModelMap::open(&path).unwrap();
    let mut index = model::index(&path, &map).unwrap();
    let file = ModelFile::read(&path, &map, &mut index).unwrap();
    let purpose = Purpose::GENERATE;
    let limits = context::limits(&file.model.shape, None, KvType::F16, purpose).unwrap();
    let options = DeviceOptions { backend, threads: Some(3), ..DeviceOptions::cpu() };
    let mut device = Device::open(&options).unwrap();
    device.prepare(&file.model, &limits, &mut file.weights()).unwrap();

    let vocab = file.model.shape.vocab;
    let ends = |token| {
        if token % 9 == 0 { Delimiter::Sentence } else { Delimiter::None }
    };
    let mut tables = Tables::new(limits, (0..vocab).map(ends).collect());
    let (mut sequence, mut pool) = tables.start().unwrap();
    // More than one chunk.
    let prompt: Vec<u32> = (0..context::CHUNK + 30).map(|n| n * 7 % vocab).collect();
    let sampling =
        Sampling { temperature: 1.0, top_k: 40, top_p: 0.9, repeat_penalty: 1.1, ..Sampling::GREEDY };
    let sampler = Sampler::new(sampling).unwrap();
    let request = Request { prompt: &prompt, sampler: &sampler, max_tokens: TOKENS, is_end: &|_| false };
    let clock = SystemClock::since(Instant::now());

    let before = ALLOCATOR.calls.load(Relaxed);
    ALLOCATOR.counts.store(true, Relaxed);
    let generation = generate::generate(
        &mut sequence,
        &mut pool,
        device.tensor_device(),
        &clock,
        &request,
        None,
        &mut |_| Ok(()),
    );
    ALLOCATOR.counts.store(false, Relaxed);
    assert_eq!(generation.unwrap().finish, Finish::Length);
    ALLOCATOR.calls.load(Relaxed) - before
}

/// Agents that page each other out, one of them bounded.
const TEAM: &str = r#"
[memory]
l1_tokens = 320
l2_mb = 1

[[agent]]
name = "many"
prompt = "Tell me something that takes a few slices of memory."
copies = 5
max_tokens = 60
sampling = { temperature = 1.0, repeat_penalty = 1.1 }

[[agent]]
name = "bounded"
prompt = "Go on."
max_tokens = 180
memory = "bounded"
l1_tokens = 192
"#;

/// Calls of the allocator from the first tick to the last of a team, and what was printed.
fn calls_of_team(make: impl Fn(&Team, Printed) -> Box<dyn Sink>) -> (u64, Vec<u8>) {
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
    let kits = (vec![None; team.agents.len()], vec![None; team.agents.len()]);
    let plan = Plan::new(&team, &chat, shape.context, 1, kits, 0).unwrap();
    let config = runner::config(&team, &plan, (shape, KvType::F16), 0).unwrap();
    let options = DeviceOptions { threads: Some(2), ..DeviceOptions::cpu() };
    let mut device = Device::open(&options).unwrap();
    device.prepare(&file.model, &config.device_limits(shape), &mut file.weights()).unwrap();
    let ends = (0..shape.vocab).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    let mut boot = Boot::new(config, shape, tokenizer.delimiter_classes(), ends);
    let kernel = boot.kernel(&[0; 32]).unwrap();
    let printed = Printed::default();
    let mut sink = make(&team, printed.clone());
    let clock = RunClock::replay();
    let mut weights = file.weights();
    let machine = Machine {
        device: device.tensor_device(),
        model: file.model,
        weights: &mut weights,
        store: &mut agentos_hal::NoStore,
    };
    let mut runner =
        Runner::new(&team, &plan, chat, kernel, machine, clock, Tooling::none(team.agents.len()));
    // The first tick spawns.
    assert_eq!(runner.advance(sink.as_mut()).unwrap(), Flow::Going);

    let before = ALLOCATOR.calls.load(Relaxed);
    ALLOCATOR.counts.store(true, Relaxed);
    let mut flow = Flow::Going;
    while flow == Flow::Going {
        flow = runner.advance(sink.as_mut()).unwrap();
    }
    ALLOCATOR.counts.store(false, Relaxed);
    let calls = ALLOCATOR.calls.load(Relaxed) - before;
    let summary = runner.end(sink.as_mut()).unwrap();
    assert_eq!(summary.agents.len(), 6);
    assert!(summary.agents.iter().map(|agent| agent.paged_in).sum::<u64>() > 0, "{summary:?}");
    drop(sink);
    (calls, printed.0.take())
}

/// A place to print to, with room for all.
#[derive(Clone)]
struct Printed(Rc<RefCell<Vec<u8>>>);

impl Default for Printed {
    fn default() -> Printed {
        Printed(Rc::new(RefCell::new(Vec::with_capacity(1 << 20))))
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_step_allocates() {
    ALLOCATOR.counts.store(true, Relaxed);
    drop(std::hint::black_box(Box::new(1)));
    ALLOCATOR.counts.store(false, Relaxed);
    assert!(ALLOCATOR.calls.load(Relaxed) > 0, "the counter counts");

    for model in ["llama-factors.gguf", "llama-linear.gguf", "qwen3.gguf"] {
        for backend in [Backend::Cpu, Backend::Reference] {
            assert_eq!(calls_of(model, backend), 0, "{model} on {backend:?}");
        }
    }

    let style = Style { columns: 60, colours: true };
    let (calls, printed) = calls_of_team(|team, out| Box::new(Plain::new(team, style, out)));
    assert_eq!(calls, 0, "a team for a person");
    assert!(String::from_utf8(printed).unwrap().contains("bounded"));
    let (calls, printed) = calls_of_team(|_, out| Box::new(JsonLines::new(out)));
    assert_eq!(calls, 0, "a team for a program");
    assert!(String::from_utf8(printed).unwrap().contains("\"event\":\"paged\""));
}
