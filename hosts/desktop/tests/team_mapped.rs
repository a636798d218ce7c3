//! Agents that are given passages as they were computed: others send them, and nothing else changes what they say.

mod cli_support;

use std::cell::Cell;
use std::path::Path;

use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_desktop::boot::Boot;
use agentos_desktop::knowledge::passage::{line_end, seal};
use agentos_desktop::knowledge::prefix::Frame;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team;
use agentos_desktop::team::knowledge::{Given, GivenPassage};
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::runner::{
    self, Ending, Machine, Plan, RunClock, RunError, Runner, Saving, Stop, Tooling,
};
use agentos_desktop::team::sink::JsonLines;
use agentos_desktop::text::{Special, Template};
use agentos_hal::{KvType, TensorDevice};
use agentos_kernel::checkpoint::Contents;
use cli_support::{Desk, Tiny};
use serde_json::Value;

/// Two that read, one of them what the other says, and one that does not.
const TEAM: &str = r#"
[[agent]]
name = "first"
prompt = "Who has the boat?"
knowledge = ["island"]
fidelity = "relocated"
max_tokens = 12

[[agent]]
name = "second"
prompt = "And who else?"
knowledge = ["island"]
fidelity = "relocated"
max_tokens = 12
after = ["third"]

[[agent]]
name = "third"
prompt = "Tell me something that takes a few slices of memory, and a few more of them after that."
max_tokens = 30
sampling = { temperature = 1.0 }
"#;

const PASSAGES: [&str; 3] = [
    "The lamp burns whale oil. The tower is 38 meters tall, and nobody has painted it for years.",
    "Bread costs two crowns. The mill stands by the river, and the miller sleeps.",
    "The skipper of the ferry is named Quillon. The boat leaves at nine.",
];

#[derive(Default)]
struct Script<'s> {
    team: Option<String>,
    keep: Option<&'s Path>,
    from: Option<&'s Path>,
    /// Shut down after so many looks; 0: never.
    looks: u32,
}

struct Ran {
    ending: Result<Ending, RunError>,
    lines: Vec<Value>,
}

fn run(script: Script<'_>) -> Ran {
    let desk = Desk::new(&Tiny { context: 2048, ..Tiny::default() }.gguf());
    let text = script.team.unwrap_or(TEAM.to_owned());
    let team = team::parse(Path::new("team.toml"), &text).unwrap();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let shape = &file.model.shape;
    let tokenizer = model::tokenizer(&desk.model(), &vocabulary, shape.vocab).unwrap();
    let delimiters = tokenizer.delimiter_classes();
    let template = Template::of(&vocabulary).unwrap();
    let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };
    let line_end = line_end(&tokenizer, &delimiters).unwrap();
    let sealed = |text: &str| {
        let mut tokens = tokenizer.encode(text, Special::AsText).unwrap();
        seal(&mut tokens, &delimiters, line_end);
        tokens
    };
    let passage = |text: &&str| GivenPassage {
        collection: "island".to_owned(),
        path: "docs".to_owned(),
        place: "line 1".to_owned(),
        tokens: sealed(text),
        score: 1.0,
        packed: false,
    };
    let frame = Frame { before: sealed("You read what you are given.\n"), after: sealed("\n") };
    let given = |agent: &team::Agent| {
        let fidelity = agent.knowledge.as_ref()?.fidelity;
        let passages = PASSAGES.iter().map(passage).collect();
        Some(Given { frame: frame.clone(), passages, fidelity, accepts_packed: false })
    };
    let given = team.agents.iter().map(given).collect();
    let plan = Plan::new(&team, &chat, shape.context, 1, (vec![None; team.agents.len()], given), 0).unwrap();
    let config = runner::config(&team, &plan, (shape, KvType::F16), 0).unwrap();
    let mut device = CpuDevice::new(SystemMemory::default(), Pool::new(1).unwrap(), Isa::best());
    let mut weights = file.weights();
    device.prepare(file.model.program, shape, &config.device_limits(shape), &mut weights).unwrap();
    let ends = (0..shape.vocab).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    let mut boot = Boot::new(config, shape, delimiters, ends);
    let kernel = boot.kernel(&[0; 32]).unwrap();
    let mut printed = Vec::new();
    let ending = {
        let mut sink = JsonLines::new(&mut printed);
        let machine = Machine {
            device: &mut device,
            model: file.model,
            weights: &mut weights,
            store: &mut agentos_hal::NoStore,
        };
        let tooling = Tooling::none(team.agents.len());
        let mut runner = Runner::new(&team, &plan, chat, kernel, machine, RunClock::replay(), tooling);
        if let Some(path) = script.keep {
            runner.keep(Saving::new(path.to_owned(), Contents::Tokens, u64::MAX, [1; 16])).unwrap();
        }
        if let Some(path) = script.from {
            runner.restore(path, &mut sink).unwrap();
        }
        let looks = Cell::new(0);
        let interrupted = || {
            looks.set(looks.get() + 1);
            looks.get() == script.looks
        };
        let ending = runner.run(&mut sink, &Stop { has_come: &interrupted, take_back: &|| () });
        runner.end(&mut sink).unwrap();
        ending
    };
    let printed = String::from_utf8(printed).unwrap();
    Ran { ending, lines: printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect() }
}

impl Ran {
    fn agent(&self, name: &str) -> &Value {
        let summary = self.lines.last().unwrap();
        assert_eq!(summary["event"], "summary");
        let agents = summary["agents"].as_array().unwrap();
        agents.iter().find(|agent| agent["name"] == name).unwrap_or_else(|| panic!("no {name}: {agents:?}"))
    }

    fn relocated(&self, name: &str) -> u64 {
        self.agent(name)["relocated"].as_u64().unwrap()
    }

    fn ids(&self, name: &str) -> Vec<u64> {
        let said = self.lines.iter().filter(|line| line["event"] == "token" && line["agent"] == name);
        said.map(|line| line["id"].as_u64().unwrap()).collect()
    }

    /// Tokens of the passages that an agent was given behind the first.
    fn sent(&self, name: &str) -> u64 {
        let told = self.lines.iter().find(|line| line["event"] == "knowledge" && line["agent"] == name);
        let passages = told.unwrap()["passages"].as_array().unwrap().clone();
        passages[1..].iter().map(|passage| passage["tokens"].as_u64().unwrap()).sum()
    }
}

#[test]
fn passages_behind_the_first_are_mapped() {
    let ran = run(Script::default());
    assert_eq!(ran.ending.as_ref().unwrap(), &Ending::Done);
    for name in ["first", "second"] {
        assert_eq!(ran.relocated(name), ran.sent(name), "{}", ran.agent(name));
        assert_eq!((&ran.agent(name)["reason"], ran.ids(name).len()), (&Value::from("length"), 12));
    }
    assert_eq!(ran.relocated("third"), 0);
    let told = ran.lines.iter().find(|line| line["event"] == "knowledge").unwrap();
    let how: Vec<&Value> =
        told["passages"].as_array().unwrap().iter().map(|passage| &passage["how"]).collect();
    assert_eq!(how, ["exact", "relocated", "relocated"]);
    // Who sent them is told of as somebody of no file, and is not there at the end.
    assert!(ran.lines.iter().any(|line| line["event"] == "spawned" && line["agent"] == "first/2"));
    assert_eq!(ran.lines.last().unwrap()["agents"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_mapped_depends_on_nobody_else() {
    let whole = run(Script::default());
    let alone = TEAM.split("\n[[agent]]").take(2).collect::<Vec<_>>().join("\n[[agent]]");
    let alone = run(Script { team: Some(alone), ..Script::default() });
    assert_eq!(alone.ids("first"), whole.ids("first"));
    // In no more page memory than one of them needs.
    let tight =
        run(Script { team: Some(format!("memory = {{ l1_tokens = 768 }}\n{TEAM}")), ..Script::default() });
    assert_eq!(tight.ending.as_ref().unwrap(), &Ending::Done);
    for name in ["first", "second", "third"] {
        assert_eq!(tight.ids(name), whole.ids(name), "{name}");
        assert_eq!(tight.relocated(name), whole.relocated(name), "{name}");
    }
}

#[test]
fn an_exact_agent_computes_them() {
    let ran = run(Script { team: Some(TEAM.replace("relocated", "exact")), ..Script::default() });
    assert_eq!(ran.ending.as_ref().unwrap(), &Ending::Done);
    for name in ["first", "second"] {
        assert_eq!(ran.relocated(name), 0);
        assert_eq!(ran.ids(name).len(), 12);
    }
    assert!(!ran.lines.iter().any(|line| line["agent"] == "first/2"));
}

#[test]
fn a_run_that_is_halted_while_passages_are_sent_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(Script::default());
    let mut amid = 0;
    for looks in 1..40 {
        let path = folder.path().join(looks.to_string());
        let halted = run(Script { keep: Some(&path), looks, ..Script::default() });
        if halted.ending.as_ref().unwrap() == &Ending::Done {
            break;
        }
        let spawned =
            halted.lines.iter().any(|line| line["event"] == "spawned" && line["agent"] == "first/2");
        let mapped = halted.lines.iter().any(|line| line["event"] == "relocated");
        amid += u32::from(spawned && !mapped);
        let resumed = run(Script { from: Some(&path), ..Script::default() });
        assert_eq!(resumed.ending.as_ref().unwrap(), &Ending::Done, "{looks}");
        for name in ["first", "second", "third"] {
            let said = [halted.ids(name), resumed.ids(name)].concat();
            assert_eq!(said, whole.ids(name), "{name} after {looks}");
        }
    }
    assert!(amid > 2, "{amid} runs were halted while passages were on their way");
}
