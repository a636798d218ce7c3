//! `agentos run`: a team of agents on one model.

use std::cell::OnceCell;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use agentos_hal::{Footprint, PAGE_TOKENS};
use agentos_kernel::checkpoint::Contents;
use agentos_kernel::layout::Delimiter;
use agentos_kernel::memory::admit::LEAST_BOUNDED;
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::system::Config;
use clap::Args;

use super::error::CliError;
use super::interrupt::Interrupt;
use super::knowledge::{self, LibraryOptions};
use super::load;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::prompt;
use super::store::ColdFile;
use super::tooling::Toolset;
use crate::boot::{Boot, KernelBytes};
use crate::calibration::Known;
use crate::device::Device;
use crate::fetch::Environment;
use crate::fetch::progress::megabytes;
use crate::heap;
use crate::host::{self, SystemClock};
use crate::knowledge::library::Access;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::team::checkpoint::journal::RunId;
use crate::team::people::{Server, ServerLimits};
use crate::team::prompt::Chat;
use crate::team::runner::{
    Ending, Kit, Machine, MemoryUse, Plan, RunClock, RunError, Runner, SPOKEN_TOKENS, Saving, Stop, config,
};
use crate::team::sink::{Both, JsonLines, Plain, Sink, Style, TraceFile};
use crate::team::tools::{Choose, Manner, Question, Recording, by_likeness};
use crate::team::{self, StoreFile, Team, TeamError};
use crate::text::{CallFormat, Template, Tokenizer};

/// `agentos run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The team's file [default: a built-in team that reads a text]
    #[arg(value_name = "TEAM.toml")]
    team: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Print one JSON object per event, and a summary at the end
    #[arg(long)]
    json: bool,
    /// Write a trace that Perfetto and chrome://tracing show
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Run by a clock that only work moves, so that every run with this seed is the same to the last bit; 0
    /// keeps the sampling seeds of the file
    #[arg(long, value_name = "SEED")]
    replay: Option<u64>,
    /// With --replay: tools are not asked, and calls come to what they came to in the run of which --json told this
    #[arg(long, value_name = "RUN.jsonl", requires = "replay", conflicts_with = "restore")]
    results: Option<PathBuf>,
    /// Keep the run in a file, from time to time and at its end, however it ends
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Seconds between two times that the run is kept
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, requires = "checkpoint", value_parser = seconds)]
    checkpoint_every: f64,
    /// Keep the keys and values too: a larger file, and nothing is computed again after --restore
    #[arg(long, requires = "checkpoint")]
    checkpoint_pages: bool,
    /// Go on from a file that --checkpoint has written, of the same team and model
    #[arg(long, value_name = "FILE")]
    restore: Option<PathBuf>,
    /// Let people answer what agents ask, agree to calls and pause the run over HTTP too, at an address of this machine
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    people: Option<SocketAddr>,
    /// Keep what agents compute in a file, and find there what any run with this model has computed
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

/// A team's text side: what is there before the device.
struct Prepared {
    tokenizer: Arc<Tokenizer>,
    template: Template,
    delimiters: Vec<Delimiter>,
    plan: Plan,
    config: Config,
}

/// Time that chat templates are told in a replay: seconds since 1970.
const REPLAY_S: i64 = 0;

impl Run {
    pub fn run(&self, start: Instant) -> Result<(), CliError> {
        let mut team = match &self.team {
            Some(path) => team::read(path)?,
            None => team::builtin(),
        };
        if let Some(path) = &self.store {
            let usual = StoreFile { path: path.clone(), size_mb: None, packing: StoreFile::USUAL_PACKING };
            team.store = Some(StoreFile { path: path.clone(), ..team.store.unwrap_or(usual) });
        }
        if self.replay.is_some() && team.store.is_some() {
            return Err(CliError::ReplayWithStore);
        }
        let serve = |address| Server::start(address, ServerLimits::default());
        let people = self.people.map(serve).transpose()?;
        let path = self.model.path_or(team.model.as_deref())?;
        let interrupt = Interrupt::listen().map_err(CliError::Signals)?;

        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let now_s = if self.replay.is_some() { REPLAY_S } else { prompt::now_s() };
        let toolset = Toolset::new(&team, people.as_ref().map(|people| people.board().clone()))?;
        let recording = self.results.as_deref().map(Recording::read).transpose()?;
        if self.replay.is_some() && !toolset.is_empty() && recording.is_none() {
            return Err(CliError::ReplayWithTools);
        }
        let prepared = self.prepare(&team, &path, &file, now_s, &toolset)?;
        let identity = model::identity(&file);
        let mut store = self.cold_file(&team, &file, &identity, &prepared.config)?;
        heap::trim();
        let (mut device, memory) = self.open(&file, &prepared.config)?;
        // From here on an interruption ends the run in good order, and its trace with it.
        interrupt.hold();
        let mut trace = self.trace.as_deref().map(TraceFile::create).transpose()?;
        self.announce(&team, &prepared, &memory);
        if let Some(people) = &people {
            let (address, token) = (people.address(), people.token());
            eprintln!("people: http://{address}/questions with `authorization: Bearer {token}`");
        }

        let Prepared { tokenizer, template, delimiters, plan, config } = prepared;
        let ends = (0..tokenizer.vocab_size()).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
        let mut boot = Boot::new(config, &file.model.shape, delimiters, ends);
        let kernel = boot.kernel(&identity).expect("the tables have the sizes of their kernel");
        let chat = Chat { template: &template, tokenizer: &tokenizer, now_s };
        let clock = match self.replay {
            Some(_) => RunClock::replay(),
            None => RunClock::Real(SystemClock::since(start)),
        };
        let mut weights = file.weights();
        let machine = Machine {
            device: device.tensor_device(),
            model: file.model,
            weights: &mut weights,
            store: store.cold_store(),
        };
        let mut tooling = toolset.open(&team, &plan.kits, (&template, &tokenizer), now_s)?;
        if let Some(recording) = recording {
            tooling.desk = tooling.desk.playing(recording);
        }
        let mut runner = Runner::new(&team, &plan, chat, kernel, machine, clock, tooling);

        let mut main = self.sink(&team);
        let ending = match &mut trace {
            Some(trace) => self.go(&mut runner, &mut Both(main.as_mut(), trace), &interrupt),
            None => self.go(&mut runner, main.as_mut(), &interrupt),
        };
        if ending? == Ending::Halted {
            if let Some(path) = &self.checkpoint {
                eprintln!("kept in {path}; --restore {path} goes on", path = path.display());
            }
            return Err(CliError::Interrupted);
        }
        let failed: Vec<String> =
            runner.roster().failed().map(|index| team.agents[index].name.clone()).collect();
        if failed.is_empty() { Ok(()) } else { Err(CliError::Unfinished(failed)) }
    }

    /// Runs the team, from where it was kept if it is to go on from there.
    fn go(
        &self,
        runner: &mut Runner<'_>,
        sink: &mut dyn Sink,
        interrupt: &Interrupt,
    ) -> Result<Ending, RunError> {
        if let Some(path) = &self.restore {
            let agents = runner.restore(path, sink)?;
            eprintln!("{agents} agents from {}", path.display());
        }
        if let Some(path) = &self.checkpoint {
            let contents = if self.checkpoint_pages { Contents::Pages } else { Contents::Tokens };
            let every_us = (self.checkpoint_every * 1e6) as u64;
            let mut run = RunId::default();
            getrandom::fill(&mut run).map_err(|error| RunError::Output(std::io::Error::other(error)))?;
            runner.keep(Saving::new(path.clone(), contents, every_us, run))?;
        }
        run(runner, sink, interrupt)
    }

    fn prepare(
        &self,
        team: &Team,
        path: &Path,
        file: &ModelFile<'_>,
        now_s: i64,
        toolset: &Toolset,
    ) -> Result<Prepared, CliError> {
        let vocabulary = file.vocabulary(path)?;
        let shape = &file.model.shape;
        let tokenizer = Arc::new(model::tokenizer(path, &vocabulary, shape.vocab)?);
        let template = Template::of(&vocabulary)?;
        let chat = Chat { template: &template, tokenizer: &tokenizer, now_s };
        let kits = self.kits(team, toolset, file, &chat)?;
        let delimiters = tokenizer.delimiter_classes();
        let compute = (&self.compute, self.kv.kv());
        let library = LibraryOptions::at(team.store.as_ref().map(|store| store.path.as_path()));
        let given =
            knowledge::given(team, (&library, toolset.shelves()), file, (&tokenizer, &delimiters), compute)?;
        let (seed, kv) = (self.replay.unwrap_or(0), self.kv.kv());
        let calibration = Known::told(file, &Environment::from_process()).calibration;
        let planned = |spoken| -> Result<(Plan, Config), TeamError> {
            let plan = Plan::new(team, &chat, shape.context, seed, (kits.clone(), given.clone()), spoken)?;
            let config = config(team, &plan, (shape, kv), calibration.relevance_layer)?;
            Ok((plan, config))
        };
        let spoken = if toolset.hears() { SPOKEN_TOKENS } else { 0 };
        let (plan, config) = match planned(spoken) {
            // Nobody is refused for the sake of what may be said.
            Err(_) if spoken > 0 => planned(0)?,
            other => other?,
        };
        Ok(Prepared { tokenizer, template, delimiters, plan, config })
    }

    /// What each agent has to do with tools. Where one of several is to be chosen, the model is asked.
    fn kits(
        &self,
        team: &Team,
        toolset: &Toolset,
        file: &ModelFile<'_>,
        chat: &Chat<'_>,
    ) -> Result<Vec<Option<Kit>>, CliError> {
        let tried = OnceCell::new();
        let own = |agent: &team::Agent| {
            let of = || CallFormat::of(chat.template, chat.tokenizer, chat.now_s).map(Arc::new);
            let tools = agent.tools.as_ref()?;
            // What it is given to read is computed without a system message in which tools could stand.
            let may =
                tools.choose == Choose::Model && tools.template == Manner::Own && agent.knowledge.is_none();
            let format = if may { tried.get_or_init(of).clone() } else { None };
            // An answer that is held to a form cannot be a control token instead.
            format.filter(|format| agent.response_schema.is_none() || format.shape.opens.text().is_some())
        };
        let kit = |(index, agent): (usize, &team::Agent)| {
            let tools = toolset.descriptors(index)?;
            let tool_use = agent.tools.as_ref()?;
            let named = |name: &String| tools.iter().position(|tool| tool.name == *name);
            let mut chain = tool_use.chain.iter().filter_map(named);
            let chosen = chain.next().or((tool_use.choose == Choose::Likeness).then_some(0));
            let then = chain.collect();
            let format = if chosen.is_none() { own(agent) } else { None };
            Some(Kit { tools, chosen, then, format })
        };
        let mut kits: Vec<Option<Kit>> = team.agents.iter().enumerate().map(kit).collect();
        let several =
            |kit: &Option<Kit>| kit.as_ref().is_some_and(|kit| kit.chosen.is_some() && kit.tools.len() > 1);
        let said =
            |index: usize| team.agents[index].tools.as_ref().is_some_and(|tools| !tools.chain.is_empty());
        let undecided: Vec<usize> =
            (0..kits.len()).filter(|&index| several(&kits[index]) && !said(index)).collect();
        if undecided.is_empty() {
            return Ok(kits);
        }
        let question = |&index: &usize| Question {
            request: &team.agents[index].prompt,
            tools: kits[index].as_ref().map_or(&[][..], |kit| &kit.tools),
        };
        let questions: Vec<Question<'_>> = undecided.iter().map(question).collect();
        let mut device = Device::open(&self.compute.device())?;
        let chosen = by_likeness(&questions, file, chat.tokenizer, &mut device).map_err(CliError::Tools)?;
        for (index, tool) in undecided.into_iter().zip(chosen) {
            if let Some(kit) = &mut kits[index] {
                kit.chosen = Some(tool);
            }
        }
        Ok(kits)
    }

    /// What agents compute is kept in the team's store, if it has one. If not, what its passages were computed to is
    /// found in the library that they come from.
    fn cold_file(
        &self,
        team: &Team,
        file: &ModelFile<'_>,
        identity: &[u8; 32],
        config: &Config,
    ) -> Result<ColdFile, CliError> {
        let is_read = team.store.is_none() && team.has_knowledge() && self.replay.is_none();
        if is_read {
            let library = LibraryOptions::at(None).open(file, self.kv.kv(), Access::Read)?;
            return Ok(ColdFile::Library(Box::new(library)));
        }
        ColdFile::open(team.store.as_ref(), identity, config, &file.model.shape)
    }

    /// Opens the device, unless the team's memory is more than the machine has.
    fn open(&self, file: &ModelFile<'_>, config: &Config) -> Result<(Device, MemoryUse), CliError> {
        let shape = &file.model.shape;
        let limits = config.device_limits(shape);
        let kernel = KernelBytes::of(config, &Packing::of(shape, config.kv));
        let memory = |footprint: Footprint| MemoryUse {
            weights: footprint.weights,
            l1: footprint.pages,
            l2: kernel.arena,
            tables: kernel.tables,
            scratch: footprint.scratch,
        };
        let mut device = Device::open(&self.compute.device())?;
        // The reference has to be prepared to tell, and refuses what does not fit then.
        if let (Device::Cpu(_), Some(available)) = (&device, host::available_bytes()) {
            let needed = memory(device.footprint(&file.model, &limits, &mut file.weights())?);
            if needed.total() > available {
                return Err(too_large(config, needed, available).into());
            }
        }
        let footprint = device.prepare(&file.model, &limits, &mut file.weights())?;
        load::tell_kernels(&device);
        Ok((device, memory(footprint)))
    }

    /// Says what is going to run, and in how much memory.
    fn announce(&self, team: &Team, prepared: &Prepared, memory: &MemoryUse) {
        let config = &prepared.config;
        eprintln!("{}: {} agents, seed {}", team.path.display(), team.agents.len(), prepared.plan.seed);
        eprintln!(
            "memory {}: page memory (L1) {} in {} pages of {} tokens, arena (L2) {} in {} frames, kernel tables {}, \
             weights {}, scratch {}",
            megabytes(memory.total()),
            megabytes(memory.l1),
            config.l1_pages,
            PAGE_TOKENS,
            megabytes(memory.l2),
            config.l2_frames,
            megabytes(memory.tables),
            megabytes(memory.weights),
            megabytes(memory.scratch),
        );
    }

    fn sink(&self, team: &Team) -> Box<dyn Sink> {
        let stdout = std::io::stdout();
        if self.json {
            return Box::new(JsonLines::new(stdout.lock()));
        }
        let terminal = stdout.is_terminal();
        let size = terminal.then(|| console::Term::stdout().size_checked()).flatten();
        let columns = size.map_or(COLUMNS, |(_, columns)| usize::from(columns));
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Box::new(Plain::new(team, Style { columns, colours }, stdout.lock()))
    }
}

/// Fewer tokens of page memory hold no agent.
const LEAST_L1_TOKENS: u64 = LEAST_BOUNDED as u64 * PAGE_TOKENS as u64;

/// Why a team does not fit the machine, and how much page memory would.
fn too_large(config: &Config, needed: MemoryUse, available: u64) -> RunError {
    let tokens = u64::from(config.l1_pages) * PAGE_TOKENS as u64;
    let left = available.checked_sub(needed.total() - needed.l1);
    let fits = left.map(|bytes| bytes / (needed.l1 / tokens).max(1));
    let fits_l1_tokens = fits.filter(|&tokens| tokens >= LEAST_L1_TOKENS);
    RunError::Memory { needed, available, fits_l1_tokens }
}

/// A time between two checkpoints.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if seconds > 0.0 && seconds <= 1e9 { Ok(seconds) } else { Err("a number above 0 would fit".to_owned()) }
}

/// Columns of a line where nobody says how wide it can be.
const COLUMNS: usize = 100;

/// Runs a team and tells how it ended. What was told before a failure is told to its end.
fn run(runner: &mut Runner<'_>, sink: &mut dyn Sink, interrupt: &Interrupt) -> Result<Ending, RunError> {
    let ending =
        runner.run(sink, &Stop { has_come: &|| interrupt.has_come(), take_back: &|| interrupt.hold() });
    if let Err(RunError::Output(_) | RunError::Trace { .. }) = ending {
        return ending;
    }
    runner.end(sink)?;
    ending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_that_is_too_large_is_told_what_would_fit() {
        let config = Config::new(4, 300, 1000, 500);
        let needed = MemoryUse { weights: 1_000_000, l1: 8_000_000, l2: 500_000, tables: 0, scratch: 0 };
        let fits = |available| match too_large(&config, needed, available) {
            RunError::Memory { fits_l1_tokens, .. } => fits_l1_tokens,
            other => panic!("{other}"),
        };
        assert_eq!(fits(3_500_000), Some(2_000));
        assert_eq!(fits(1_600_000), None);
        assert_eq!(fits(1_000_000), None);
        let message = too_large(&config, needed, 3_500_000).to_string();
        assert!(message.ends_with("can give 3 MB; [memory] l1_tokens = 2000 would fit"), "{message}");
    }
}
