//! Runs that are kept, shut down or paused at one certain moment.

mod cli_support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_desktop::boot::Boot;
use agentos_desktop::constraint;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team;
use agentos_desktop::team::checkpoint::{self, State};
use agentos_desktop::team::json::Summary;
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::runner::{
    self, Ending, Flow, Kit, Machine, Plan, RunClock, RunError, Runner, Saving, Stop, Tooling,
};
use agentos_desktop::team::sink::{DeviceNews, Refusal, Sink, Told, ToolNews};
use agentos_desktop::team::tools::{
    Aligner, Caller, Callers, Crew, Desk as ToolDesk, Errands, Nobody, Outside, Person, Reception, Stage,
    kit, means, words,
};
use agentos_desktop::text::Template;
use agentos_hal::{KvType, TensorDevice};
use agentos_kernel::checkpoint::Contents;
use agentos_kernel::event::Event;
use agentos_perception::ControlStrings;
use cli_support::tiny::IM_END;
use cli_support::{Desk, Tiny};

/// Its chief asks, and somebody waits for what the chief says to that.
const TEAM: &str = r#"
[[agent]]
name = "chief"
prompt = "Who is it?"
max_tokens = 60
tools = { agents = ["aide"], calls = 1 }

[[agent]]
name = "aide"
max_tokens = 40

[[agent]]
name = "last"
prompt = "And then?"
max_tokens = 4
after = ["chief"]
"#;

/// Who asks somebody that takes longer has to end at this time, and somebody waits for that.
const TIMED: &str = r#"
[[agent]]
name = "timed"
prompt = "Who is it?"
max_tokens = 60
max_seconds = TIME
tools = { agents = ["slow"], calls = 1 }

[[agent]]
name = "slow"
max_tokens = 80

[[agent]]
name = "later"
prompt = "And then?"
max_tokens = 4
after = ["timed"]
"#;

/// Nobody calls anything in it.
const PLAIN: &str = "[[agent]]\nname = \"plain\"\nprompt = \"Who is it?\"\nmax_tokens = 20\n";

/// It asks "?" and answers "ok".
fn model() -> Tiny {
    saying(b'"', IM_END as u32)
}

/// It asks "?", and answers "ok"; this comes behind the one and the other.
fn saying(asked: u8, answered: u32) -> Tiny {
    let byte = u32::from;
    let script = vec![
        (byte(b'"'), byte(b'?'), 9.0),
        (byte(b'?'), byte(asked), 9.0),
        (byte(b'\n'), byte(b'o'), 9.0),
        (byte(b'o'), byte(b'k'), 9.0),
        (byte(b'k'), answered, 9.0),
    ];
    Tiny { context: 4096, script, ..Tiny::default() }
}

/// Notes what is told of a run.
#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    /// Nobody is to be spawned.
    pause: Arc<AtomicBool>,
}

impl Heard {
    /// The only line that begins so.
    #[track_caller]
    fn one(&self, begin: &str) -> &str {
        let mut found = self.lines.iter().filter(|line| line.starts_with(begin));
        let (first, second) = (found.next(), found.next());
        assert!(first.is_some() && second.is_none(), "{begin}: {:?}", self.lines);
        first.unwrap()
    }

    fn has(&self, begin: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(begin))
    }
}

impl Sink for Heard {
    fn event(&mut self, told: &Told<'_>) -> Result<(), RunError> {
        let Some(member) = told.member else { return Ok(()) };
        match told.record.event {
            Event::Spawned { .. } => {
                assert!(!self.pause.load(Relaxed), "agent {member} is spawned while all pause");
                self.lines.push(format!("spawned {member}"));
            }
            Event::ToolOver { .. } => self.lines.push(format!("over {member} {}", told.record.at_us)),
            _ => (),
        }
        Ok(())
    }

    fn refused(&mut self, refusal: &Refusal<'_>) -> Result<(), RunError> {
        self.lines.push(format!("refused {}: {}", refusal.name, refusal.reason));
        Ok(())
    }

    fn device(&mut self, _: &DeviceNews) -> Result<(), RunError> {
        Ok(())
    }

    fn tool(&mut self, news: &ToolNews<'_>) -> Result<(), RunError> {
        self.lines.push(match *news {
            ToolNews::Called { name, .. } => format!("called {name}"),
            ToolNews::Result { name, text, .. } => format!("result {name}: {text}"),
            ToolNews::Asked { name, .. } => format!("asked {name}"),
        });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn end(&mut self, _: u64, _: &Summary) -> Result<(), RunError> {
        Ok(())
    }
}

/// Does something with a team's run, and returns what was told of it.
fn with<T>(
    (text, model): (&str, &Tiny),
    person: Box<dyn Person>,
    act: impl FnOnce(&mut Runner<'_>, &mut Heard) -> T,
) -> (T, Heard) {
    let desk = Desk::new(&model.gguf());
    let team = team::parse(Path::new("team.toml"), text).unwrap();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let shape = &file.model.shape;
    let tokenizer = Arc::new(model::tokenizer(&desk.model(), &vocabulary, shape.vocab).unwrap());
    let template = Template::of(&vocabulary).unwrap();
    let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };

    let errands = Errands::default();
    let outside = Outside { agents: &team.agents, ..Outside::default() };
    let (mut registries, mut of) = (Vec::new(), Vec::new());
    for agent in &team.agents {
        let tools = agent.tools.as_ref();
        of.push(tools.map(|_| registries.len()));
        registries.extend(tools.map(|tools| kit(tools, &means(&errands.bell), outside, &errands).unwrap()));
    }
    let kit_of = |registry: &Option<usize>| {
        let tools = registries[(*registry)?].descriptors().cloned().collect();
        Some(Kit { tools, chosen: Some(0), then: Vec::new(), format: None })
    };
    let kits: Vec<Option<Kit>> = of.iter().map(kit_of).collect();
    let mut callers = Callers::default();
    if kits.iter().any(Option::is_some) {
        callers =
            Callers::new(team.agents.len(), constraint::vocabulary(&tokenizer).unwrap(), Crew::default());
    }
    for (member, kit) in kits.iter().enumerate() {
        let Some(kit) = kit else { continue };
        callers.enrol(member, (kit.tools.iter(), &words::plain_shape()), None).unwrap();
    }
    let plan = Plan::new(&team, &chat, shape.context, 0, (kits, vec![None; team.agents.len()]), 0).unwrap();
    let config = runner::config(&team, &plan, (shape, KvType::F16), 0).unwrap();
    let reception = Reception::new(person, None);
    let desk = ToolDesk::new(registries, of, reception, None, errands, Crew::default());
    let controls = ControlStrings::new(tokenizer.control_strings(template.source())).unwrap();
    let aligner = Arc::new(Aligner { tokenizer: tokenizer.clone(), controls, taken: String::new() });
    let tooling = Tooling { desk, callers, aligner: Some(aligner) };

    let mut device = CpuDevice::new(SystemMemory::default(), Pool::new(1).unwrap(), Isa::best());
    let mut weights = file.weights();
    device.prepare(file.model.program, shape, &config.device_limits(shape), &mut weights).unwrap();
    let ends = (0..shape.vocab).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    let mut boot = Boot::new(config, shape, tokenizer.delimiter_classes(), ends);
    let kernel = boot.kernel(&[0; 32]).unwrap();
    let machine = Machine {
        device: &mut device,
        model: file.model,
        weights: &mut weights,
        store: &mut agentos_hal::NoStore,
    };
    let mut runner = Runner::new(&team, &plan, chat, kernel, machine, RunClock::replay(), tooling);
    let mut heard = Heard::default();
    (act(&mut runner, &mut heard), heard)
}

/// Keeps a run in a file when it is told to, and not before.
fn keep(runner: &mut Runner<'_>, path: &Path) {
    runner.keep(Saving::new(path.to_owned(), Contents::Tokens, u64::MAX, [1; 16])).unwrap();
}

/// Goes on until something is so.
fn until(runner: &mut Runner<'_>, heard: &mut Heard, mut is_so: impl FnMut(&Heard) -> bool) {
    for _ in 0..100_000 {
        assert_eq!(runner.advance(heard).unwrap(), Flow::Going);
        if is_so(heard) {
            return;
        }
    }
    panic!("it never is: {:?}", heard.lines);
}

/// Goes on to the end.
fn finish(runner: &mut Runner<'_>, heard: &mut Heard) -> Ending {
    for _ in 0..100_000 {
        if let Flow::Over(ending) = runner.advance(heard).unwrap() {
            return ending;
        }
    }
    panic!("it never ends: {:?}", heard.lines);
}

/// Keeps a run as soon as the chief has called, and goes on with it from there.
fn kept_with_the_call(model: &Tiny) -> (Heard, Heard) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    let ((), first) = with((TEAM, model), Box::new(Nobody), |runner, heard| {
        keep(runner, &path);
        until(runner, heard, |heard| heard.has("called chief"));
        runner.save(heard).unwrap();
    });
    let (ending, then) = with((TEAM, model), Box::new(Nobody), |runner, heard| {
        runner.restore(&path, heard).unwrap();
        finish(runner, heard)
    });
    assert_eq!(ending, Ending::Done);
    (first, then)
}

/// The request comes while the run is being kept, when nobody can be spawned.
#[test]
fn who_could_not_be_asked_while_the_run_was_kept_is_asked_when_it_goes_on() {
    let (first, then) = kept_with_the_call(&model());
    assert!(!first.has("asked"), "{:?}", first.lines);
    then.one("asked aide");
    assert!(then.one("result chief: ").ends_with("]\nok"), "{:?}", then.lines);
}

#[test]
fn a_call_that_was_not_to_be_made_is_not_made_when_the_run_goes_on() {
    let (first, then) = kept_with_the_call(&saying(b'?', IM_END as u32));
    assert!(!first.has("result"), "{:?}", first.lines);
    let result = then.one("result chief: ");
    assert!(result.contains("the call was not whole after 45 tokens"), "{result}");
    assert!(!then.has("asked"), "{:?}", then.lines);
}

/// Shuts a run down after so many looks, and goes on with it: nobody is refused, and all is said once. Returns whether
/// it took so many.
fn shut_down_after(looks: u32, whole: (&str, &Tiny)) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    let (ending, first) = with(whole, Box::new(Nobody), |runner, heard| {
        keep(runner, &path);
        for _ in 0..looks {
            if let Flow::Over(ending) = runner.advance(heard).unwrap() {
                return ending;
            }
        }
        runner.shut_down();
        let ending = finish(runner, heard);
        runner.save(heard).unwrap();
        ending
    });
    if ending == Ending::Done {
        return false;
    }
    let ((ending, agents), then) = with(whole, Box::new(Nobody), |runner, heard| {
        runner.restore(&path, heard).unwrap();
        (finish(runner, heard), runner.roster().members.len())
    });
    assert_eq!(ending, Ending::Done);
    let both = Heard { lines: [first.lines, then.lines].concat(), ..Heard::default() };
    assert!(!both.has("refused"), "after {looks} looks: {:?}", both.lines);
    assert!(both.one("result chief: ").contains("]\nok"), "after {looks} looks: {:?}", both.lines);
    for member in 0..agents {
        both.one(&format!("spawned {member}"));
    }
    true
}

#[test]
fn a_run_that_is_shut_down_at_any_moment_goes_on_as_if_it_had_not_been() {
    let looks = (0..).take_while(|&looks| shut_down_after(looks, (TEAM, &model()))).count();
    assert!(looks > 50, "it has so many");
}

/// The time of somebody who is waited for is up when a result is there, and the shutdown comes too: the result is
/// returned before the run ends, and meanwhile nobody is let in.
#[test]
fn who_was_not_spawned_before_a_shutdown_is_spawned_when_the_run_goes_on() {
    let endless = saying(b'"', u32::from(b'k'));
    let timed = |time_us: u64| {
        let time = format!("{}.{:06}", time_us / 1_000_000, time_us % 1_000_000);
        TEAM.to_owned() + &TIMED.replace("TIME", &time)
    };
    let (looks, heard) = with((&timed(90_000_000), &endless), Box::new(Nobody), |runner, heard| {
        let mut looks = 0;
        until(runner, heard, |heard| {
            looks += 1;
            heard.has("over 0")
        });
        looks
    });
    let (_, over_us) = heard.one("over 0 ").rsplit_once(' ').unwrap();
    for looks in looks - 5..=looks {
        assert!(shut_down_after(looks, (&timed(over_us.parse().unwrap()), &endless)));
    }
}

/// Somebody who has all pause for so many looks.
struct Patient {
    looks: u32,
    pause: Arc<AtomicBool>,
}

impl Person for Patient {
    fn is_there(&self) -> bool {
        true
    }

    fn ask(&mut self, _: &str) {
        self.pause.store(true, Relaxed);
    }

    fn tell(&mut self, text: &str) {
        panic!("{text}");
    }

    fn answer(&mut self) -> Poll<Option<String>> {
        self.looks -= 1;
        if self.looks > 0 {
            return Poll::Pending;
        }
        self.pause.store(false, Relaxed);
        Poll::Ready(Some(String::new()))
    }
}

#[test]
fn nobody_is_spawned_while_all_pause() {
    let whole = (TEAM, &model());
    for at in 1.. {
        let pause = Arc::new(AtomicBool::new(false));
        let person = Patient { looks: 20, pause: Arc::clone(&pause) };
        let (looks, heard) = with(whole, Box::new(person), |runner, heard| {
            heard.pause = pause;
            let looks = std::cell::Cell::new(0);
            let has_come = || {
                looks.set(looks.get() + 1);
                looks.get() == at
            };
            let ending = runner.run(heard, &Stop { has_come: &has_come, take_back: &|| () }).unwrap();
            assert_eq!(ending, Ending::Done);
            looks.get()
        });
        assert!(heard.one("result chief: ").ends_with("]\nok"), "{:?}", heard.lines);
        for member in 0..3 {
            heard.one(&format!("spawned {member}"));
        }
        if looks < at {
            assert!(at > 50, "it has so many looks");
            return;
        }
    }
}

/// What is hashed as it should be, and cannot be so.
#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    type Change = fn(&mut State);
    for (text, change) in [
        (PLAIN, (|state| state.now_ns = u64::MAX - 5000) as Change),
        (PLAIN, |state| {
            let stage = Stage::Answering { from: 0 };
            state.roster.members[0].caller = Some(Caller::new(stage, Vec::new(), None, "x"));
        }),
        (PLAIN, |state| {
            state.roster.members[0].caller = Some(Caller::new(Stage::Free, Vec::new(), None, "x"));
        }),
        (TEAM, |state| state.roster.members[0].depth = u32::MAX),
        (TEAM, |state| state.roster.members[0].caller.as_mut().unwrap().made = u32::MAX),
    ] {
        let whole = (text, &model());
        with(whole, Box::new(Nobody), |runner, heard| {
            keep(runner, &path);
            until(runner, heard, |heard| heard.has("spawned 0"));
            runner.save(heard).unwrap();
        });
        let (mut state, kernel) = checkpoint::read(&path, 1 << 30).unwrap();
        change(&mut state);
        checkpoint::write(&path, &state, |out| out.write_all(&kernel)).unwrap();
        let (restored, _) = with(whole, Box::new(Nobody), |runner, heard| {
            let restored = runner.restore(&path, heard);
            if restored.is_ok() {
                finish(runner, heard);
            }
            restored.map_err(|error| error.to_string())
        });
        let refused = restored.unwrap_err();
        assert!(refused.ends_with("contradicts itself"), "{refused}");
    }
}
