//! Long results that the running model reads before their agents do, on a device that does what a script says.

mod cli_support;
mod team_support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_desktop::boot::Boot;
use agentos_desktop::constraint;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team;
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::runner::{self, Flow, Kit, Machine, Plan, RunClock, Runner, Saving, Tooling};
use agentos_desktop::team::sink::JsonLines;
use agentos_desktop::team::tools::{
    Aligner, Callers, Crew, Desk as ToolDesk, Errands, Nobody, Reception, Recording, words,
};
use agentos_desktop::text::Template;
use agentos_fault::{FaultDevice, FaultPlan, Scratch, StepFate, StepInjury};
use agentos_hal::{CallNumber, KvType, Output, Peripheral, PeripheralError, TensorDevice, page};
use agentos_kernel::checkpoint::Contents;
use agentos_kernel::system::{Config, Kernel};
use agentos_perception::ControlStrings;
use agentos_tools::{Access, Descriptor, Effect, Registry, Tool, Urgency};
use cli_support::{Desk, Ran, Tiny};
use serde_json::{Value, json};
use team_support::Lines;

/// The layer by which the model tells what is dense.
const LAYER: u32 = 1;

/// A tool that gives this, and counts how often it is begun.
#[derive(Clone)]
struct Gives(&'static str, Arc<AtomicU32>);

impl Peripheral for Gives {
    fn start(&mut self, _: CallNumber, _: &[u8], _: &mut Output<'_>) -> Result<(), PeripheralError> {
        self.1.fetch_add(1, Relaxed);
        Ok(())
    }

    fn poll(&mut self, _: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        Poll::Ready(output.write_all(self.0.as_bytes()).map_err(|_| PeripheralError::Output))
    }

    fn cancel(&mut self, _: CallNumber) {}
}

/// Lines of which each is a piece, and none has a word that another one has.
fn log() -> &'static str {
    let line = |number: u32| {
        let mut state = number.wrapping_mul(0x9e37_79b9) | 1;
        let mut word = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // More of one letter in some lines than in others.
            let letter = |at: u32| if (state >> (8 + at)) % 8 < number { 'a' } else { 'k' };
            let letters: String = (0..6).map(letter).collect();
            format!("{letters}{}", state >> 12)
        };
        let words: Vec<String> = (0..40).map(|_| word()).collect();
        let mut line = words.join(" ");
        line.truncate(249);
        line + "\n"
    };
    (0..8).map(line).collect::<String>().leak()
}

/// Whether a moment has come.
type When = fn(&Kernel<'_>) -> bool;

/// What is run, and what goes wrong.
struct Script<'s> {
    team: String,
    effect: Effect,
    /// What becomes of steps, by their numbers.
    steps: &'s [(u64, StepFate)],
    /// The sizes of the kernel, if they are not the team's.
    sizes: fn(Config) -> Config,
    /// Where the run is kept as soon as this is so; then it ends.
    keep: Option<(&'s Path, When)>,
    from: Option<&'s Path>,
    /// What was told of an earlier run: no tool is asked.
    results: Option<&'s Path>,
}

const CALLER: &str = "[[agent]]\nname = \"ann\"\nprompt = \"What now?\"\nmax_tokens = 30\ncontext = 3000\n\
                      tools = { use = [\"clock\"], calls = 1, tokens = 1100 }\n";

impl Default for Script<'_> {
    fn default() -> Self {
        Script {
            team: CALLER.to_owned(),
            effect: Effect::None,
            steps: &[],
            sizes: |config| config,
            keep: None,
            from: None,
            results: None,
        }
    }
}

fn descriptor(effect: Effect) -> Descriptor {
    Descriptor {
        name: "log".to_owned(),
        description: "Gives the log.".to_owned(),
        arguments: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        output: None,
        access: Access::None,
        effect,
        urgency: Urgency::High,
        timeout: Duration::from_secs(3),
        attempts: 1,
        output_bytes: 1 << 16,
        output_tokens: 4096,
        examples: Vec::new(),
    }
}

fn model() -> Tiny {
    Tiny { context: 4096, ..Tiny::default() }
}

/// What came of a run.
struct Told {
    lines: Lines,
    /// How often the tool was begun.
    begun: u32,
    /// Steps before the model began to read.
    steps_before: Option<u64>,
}

/// Runs a team whose agents' only tool gives the log.
fn run(script: &Script<'_>) -> Told {
    let desk = Desk::new(&model().gguf());
    let team = team::parse(Path::new("team.toml"), &script.team).unwrap();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let shape = &file.model.shape;
    let tokenizer = Arc::new(model::tokenizer(&desk.model(), &vocabulary, shape.vocab).unwrap());
    let template = Template::of(&vocabulary).unwrap();
    let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };
    let tool = descriptor(script.effect);
    let calls = |agent: &team::Agent| agent.tools.is_some();
    let kit = |agent: &team::Agent| {
        let kit = Kit { tools: vec![tool.clone()], chosen: Some(0), then: Vec::new(), format: None };
        calls(agent).then_some(kit)
    };
    let kits: Vec<Option<Kit>> = team.agents.iter().map(kit).collect();
    let plan = Plan::new(&team, &chat, shape.context, 0, (kits, vec![None; team.agents.len()]), 0).unwrap();
    let config = runner::config(&team, &plan, (shape, KvType::F16), LAYER).unwrap();
    let config = (script.sizes)(config).checked();

    let mut image = vec![0; page::image_bytes(shape, config.kv)];
    let cpu = CpuDevice::new(SystemMemory::default(), Pool::new(1).unwrap(), Isa::best());
    let scratch = Scratch { image: &mut image, ..Scratch::default() };
    let mut device = FaultDevice::new(cpu, FaultPlan::Script { steps: script.steps, copies: &[] }, scratch);
    let mut weights = file.weights();
    device.prepare(file.model.program, shape, &config.device_limits(shape), &mut weights).unwrap();
    let ends = (0..shape.vocab).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    let mut boot = Boot::new(config, shape, tokenizer.delimiter_classes(), ends);
    let kernel = boot.kernel(&[0; 32]).unwrap();

    let begun = Arc::new(AtomicU32::new(0));
    let mut registry = Registry::new();
    let peripheral = Box::new(Gives(log(), begun.clone()));
    registry.add(Tool { descriptor: tool.clone(), peripheral }).unwrap();
    let of = team.agents.iter().map(|agent| calls(agent).then_some(0)).collect();
    let reception = Reception::new(Box::new(Nobody), None);
    let mut tools = ToolDesk::new(vec![registry], of, reception, None, Errands::default(), Crew::default());
    if let Some(path) = script.results {
        tools = tools.playing(Recording::read(path).unwrap());
    }
    let grammar = constraint::vocabulary(&tokenizer).unwrap();
    let mut callers = Callers::new(team.agents.len(), grammar, Crew::default());
    for (index, _) in team.agents.iter().enumerate().filter(|(_, agent)| calls(agent)) {
        callers.enrol(index, ([&tool].into_iter(), &words::plain_shape()), None).unwrap();
    }
    let controls = ControlStrings::new(tokenizer.control_strings(template.source())).unwrap();
    let aligner = Arc::new(Aligner { tokenizer: tokenizer.clone(), controls, taken: String::new() });
    let tooling = Tooling { desk: tools, callers, aligner: Some(aligner) };
    let machine = Machine {
        device: &mut device,
        model: file.model,
        weights: &mut weights,
        store: &mut agentos_hal::NoStore,
    };
    let (mut printed, mut steps_before) = (Vec::new(), None);
    {
        let mut sink = JsonLines::new(&mut printed);
        let mut runner = Runner::new(&team, &plan, chat, kernel, machine, RunClock::replay(), tooling);
        if let Some(path) = script.from {
            runner.restore(path, &mut sink).unwrap();
        }
        if let Some((path, _)) = script.keep {
            runner.keep(Saving::new(path.to_owned(), Contents::Tokens, u64::MAX, [1; 16])).unwrap();
        }
        while runner.advance(&mut sink).unwrap() == Flow::Going {
            if steps_before.is_none()
                && runner.kernel().agents().any(|rcb| rcb.tag == team.agents.len() as u64)
            {
                steps_before = Some(runner.kernel().figures().steps);
            }
            if script.keep.is_some_and(|(_, when)| when(runner.kernel())) {
                runner.save(&mut sink).unwrap();
                break;
            }
        }
        if script.keep.is_none() {
            assert_eq!(runner.kernel().figures().promised, 0, "nobody holds any memory");
        }
        runner.end(&mut sink).unwrap();
    }
    let stdout = String::from_utf8(printed).unwrap();
    let lines = Lines::of(&Ran { code: 0, stdout, stderr: String::new() });
    Told { lines, begun: begun.load(Relaxed), steps_before }
}

/// What an agent reads, and what decided what of it is there.
fn result<'l>(lines: &'l Lines, agent: &str) -> (&'l str, &'l Value) {
    let line = lines.one("tool_result", agent);
    (line["text"].as_str().unwrap(), &line["reduced"])
}

/// The numbers of the lines of the log that are in a text.
fn kept(text: &str) -> Vec<usize> {
    log().lines().enumerate().filter(|(_, line)| text.contains(line)).map(|(number, _)| number).collect()
}

/// How dense each line of the log is, by what `agentos slice` says of the slices that it is in.
fn densities() -> Vec<f64> {
    let desk = Desk::new(&model().gguf());
    let path = desk.put("log.txt", log().as_bytes());
    let layer = LAYER.to_string();
    let arguments =
        ["slice", path.to_str().unwrap(), "--policy", "density", "--layer", &layer, "--json", "--model"];
    let model = desk.model();
    let arguments = arguments.into_iter().chain([model.to_str().unwrap()]);
    let sheet = desk.agentos(arguments).json();
    let of_tokens: Vec<f64> =
        sheet["density"].as_array().unwrap().iter().map(|density| density.as_f64().unwrap()).collect();
    // A token is a byte here.
    assert_eq!(of_tokens.len(), log().len());
    let mut of_slices = Vec::new();
    for slice in sheet["slices"].as_array().unwrap() {
        let at = |key: &str| slice[key].as_u64().unwrap() as usize;
        let part = &of_tokens[at("from")..at("to")];
        of_slices.extend(vec![part.iter().sum::<f64>() / part.len() as f64; part.len()]);
    }
    of_slices.chunks(250).map(|line| line.iter().sum::<f64>() / line.len() as f64).collect()
}

#[test]
fn what_the_running_model_finds_dense_stays() {
    assert!(log().lines().all(|line| line.len() == 249));
    let Told { lines, begun, .. } = run(&Script::default());
    let (text, reduced) = result(&lines, "ann");
    assert_eq!((reduced, begun), (&"model".into(), 1));
    let kept = kept(text);
    // Those at the ends stay in any case.
    assert!(kept.contains(&0) && kept.contains(&7), "{text}");
    let densities = densities();
    let densest = (1..7).max_by(|&a, &b| densities[a].total_cmp(&densities[b])).unwrap();
    assert!(kept.contains(&densest) && kept.len() < 5, "{kept:?} of {densities:?}");
    // The words alone keep another one.
    let by_words =
        Script { team: CALLER.replace("calls = 1", "calls = 1, reduce = \"words\""), ..Script::default() };
    let Told { lines, .. } = run(&by_words);
    let (other, reduced) = result(&lines, "ann");
    assert_eq!(reduced, &Value::from("words"));
    assert!(!self::kept(other).contains(&densest), "{other}");
    assert!(lines.events("spawned").len() == 1, "nobody reads it");
}

/// The time that a reading takes is a part of the alignment.
#[test]
fn its_steps_count_as_alignment() {
    let Told { lines, .. } = run(&Script::default());
    let returned = lines.one("tool_returned", "ann");
    let read = lines.of_agent("spawned", "ann/read").len();
    // A row takes 400 us on this clock.
    assert_eq!(read, 1);
    assert!(returned["align_us"].as_u64() > Some(2000 * 400), "{returned}");
    assert!(returned["step_us"].as_u64() < Some(100_000), "{returned}");
}

#[test]
fn neighbours_and_losses_change_nothing() {
    let alone = run(&Script::default()).lines;
    let expected = result(&alone, "ann");
    let busy = "[memory]\nl1_tokens = 6400\n".to_owned()
        + CALLER
        + &CALLER.replace("\"ann\"", "\"ben\"").replace("calls = 1", "calls = 1, reduce = \"words\"")
        + &CALLER.replace("\"ann\"", "\"eve\"\npriority = 20")
        + "[[agent]]\nname = \"many\"\nprompt = \"Tell a long story.\"\ncopies = 4\nmax_tokens = 300\npriority = 12\n";
    let lose = StepFate { injury: Some(StepInjury::Lose), ..StepFate::default() };
    for steps in [&[][..], &[(20, lose), (30, lose)][..]] {
        let lines = run(&Script { team: busy.clone(), steps, ..Script::default() }).lines;
        assert_eq!(result(&lines, "ann"), expected);
        assert_eq!(result(&lines, "eve"), expected);
        assert_eq!(lines.ids("ann"), alone.ids("ann"));
        assert_eq!(result(&lines, "ben").1, "words");
        assert_eq!(lines.events("device_lost").len(), steps.len());
        // That of the most urgent is read first, whatever else there is.
        assert!(lines.place("tool_result", "eve") < lines.place("tool_result", "ann"));
    }
}

/// The number of the step in which the reading begins.
fn reads_at() -> u64 {
    run(&Script::default()).steps_before.expect("it is read")
}

#[test]
fn where_the_model_cannot_read_it_the_words_decide() {
    let by_words =
        Script { team: CALLER.replace("calls = 1", "calls = 1, reduce = \"words\""), ..Script::default() };
    let by_words = run(&by_words).lines;
    let (expected, ids) = (result(&by_words, "ann").0.to_owned(), by_words.ids("ann"));
    let at = reads_at();
    // Longer than anything may be read, on the clock of a replay.
    let slow = [(at, StepFate { delay_polls: 500_000, injury: None })];
    let failed = StepFate { injury: Some(StepInjury::NotFinite { row: 0 }), ..StepFate::default() };
    let faulted = [(at, failed), (at + 1, failed)];
    for (why, script) in [
        (
            "no slot",
            Script { sizes: |config| Config { agents: config.agents - 1, ..config }, ..Script::default() },
        ),
        (
            "no room",
            Script {
                // It has room for who called, and for who reads, but not for both.
                sizes: |config| Config { l1_pages: 740, l2_frames: 0, ..config },
                ..Script::default()
            },
        ),
        ("too long", Script { steps: &slow, ..Script::default() }),
        ("a fault", Script { steps: &faulted, ..Script::default() }),
    ] {
        let lines = run(&script).lines;
        assert_eq!(result(&lines, "ann"), (expected.as_str(), &"words".into()), "{why}");
        assert_eq!(lines.ids("ann"), ids, "{why}");
    }
}

/// Whether somebody reads, and has read a part.
fn is_reading(kernel: &Kernel<'_>) -> bool {
    kernel.agents().any(|rcb| rcb.tag == 1 && rcb.committed.layout.tokens > 0)
}

#[test]
fn a_run_that_is_kept_while_the_model_reads_goes_on_with_what_the_tool_gave() {
    let undisturbed = run(&Script::default()).lines;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    for effect in [Effect::None, Effect::Irreversible] {
        let script = Script { effect, keep: Some((&path, is_reading)), ..Script::default() };
        let Told { lines: kept, begun, .. } = run(&script);
        assert_eq!((begun, kept.of_agent("tool_result", "ann").len()), (1, 0));
        // Kept once more before it is read, and then to its end.
        let again = folder.path().join("again");
        let script =
            Script { effect, from: Some(&path), keep: Some((&again, is_reading)), ..Script::default() };
        assert_eq!(run(&script).begun, 0, "the tool is not asked again");
        let Told { lines, begun, .. } = run(&Script { effect, from: Some(&again), ..Script::default() });
        assert_eq!(begun, 0);
        assert_eq!(result(&lines, "ann"), result(&undisturbed, "ann"));
        assert_eq!(lines.one("tool_result", "ann")["outcome"], "done");
        let said = [kept.ids("ann"), lines.ids("ann")].concat();
        assert_eq!(said, undisturbed.ids("ann"));
        for file in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

/// Whoever ends while its result is read takes the reader with it.
#[test]
fn nobody_reads_for_who_is_gone() {
    let team = CALLER.replace("max_tokens = 30", "max_tokens = 30\nmax_seconds = 0.9");
    let slow = [(reads_at() + 1, StepFate { delay_polls: 40_000, injury: None })];
    let lines = run(&Script { team, steps: &slow, ..Script::default() }).lines;
    assert_eq!(lines.of_agent("tool_result", "ann").len(), 0);
    assert_eq!(lines.agent("ann")["reason"], "budget");
}

#[test]
fn a_replay_needs_no_reading() {
    let told = run(&Script::default()).lines;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let lines: String = told.0.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, lines).unwrap();
    let Told { lines: replayed, begun, .. } = run(&Script { results: Some(&path), ..Script::default() });
    assert_eq!(begun, 0);
    assert_eq!(result(&replayed, "ann"), result(&told, "ann"));
    assert_eq!(replayed.ids("ann"), told.ids("ann"));
    assert!(replayed.of_agent("spawned", "ann/read").is_empty());
}
