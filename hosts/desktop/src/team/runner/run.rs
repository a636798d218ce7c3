//! The loop over the kernel.

use std::sync::Arc;
use std::task::Poll;

use agentos_hal::Clock;
use agentos_kernel::agent::{AgentId, Budget, OnEnd, Priority, Spec};
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::event::{Event, Record};
use agentos_kernel::interrupt::{Posted, VectorId};
use agentos_kernel::system::{Devices, Kernel, Tick, USER_RESUME};
use embedded_hal::delay::DelayNs;

use super::clock::RunClock;
use super::error::RunError;
use super::gather::{self, Gathering};
use super::machine::Machine;
use super::masks::{Masks, Timed};
use super::mute::bytes_of;
use super::plan::Plan;
use super::roster::{Due, Phase, Roster, Tiers};
use super::save::Saving;
use super::tools::Traffic;
use super::{lend, size, summary};
use crate::team::checkpoint::journal::RunId;
use crate::team::json::Summary;
use crate::team::knowledge::Opening;
use crate::team::prompt::Chat;
use crate::team::sink::{KnowledgeNews, PeopleNews, Refusal, Sink, Told};
use crate::team::tools::{Aligner, Callers, Crew, Desk, Errands, Nobody, Reception};
use crate::team::{Names, Problem, Team, TeamError};

/// A team on a kernel.
pub struct Runner<'r> {
    pub(super) team: &'r Team,
    pub(super) plan: &'r Plan,
    pub(super) kernel: Kernel<'r>,
    pub(super) roster: Roster,
    /// Pages in use at most.
    pub(super) peak: Tiers,
    pub(super) chat: Chat<'r>,
    pub(super) machine: Machine<'r>,
    pub(super) clock: RunClock,
    pub(super) names: Names,
    /// Each agent's slot in the kernel, and its index in the team. Only those that sent passages leave theirs.
    pub(super) slots: Vec<Option<usize>>,
    /// The agent that passages are being sent to.
    pub(super) gathering: Option<Gathering>,
    /// There was no room for who would send passages: until somebody is done, nobody is asked again.
    pub(super) crowded: bool,
    /// What a token makes whole.
    pub(super) text: String,
    /// A person has paused everybody.
    pub(super) paused: bool,
    pub(super) began_us: u64,
    /// Somebody was done or refused: others may be due.
    pub(super) ended: bool,
    /// Ticks in a row that found nothing to do.
    idle: u32,
    /// Losses of the device since the last step that succeeded.
    pub(super) losses: u32,
    /// Where the run is kept.
    pub(super) saving: Option<Saving>,
    /// What tells it from other runs, once it is kept or was gone on with.
    pub(super) run: Option<RunId>,
    /// The tools.
    pub(super) desk: Desk,
    /// Who calls them.
    pub(super) callers: Callers,
    /// What results are made text with; `None` in a team without tools.
    pub(super) aligner: Option<Arc<Aligner>>,
    /// What is under way between the two.
    pub(super) traffic: Traffic,
    /// Tokens of a long result that the model may read at once.
    pub(super) reads: u32,
    /// What the forms of their words cost.
    pub(super) masks: Masks,
}

/// How a person stops a run.
pub struct Stop<'s> {
    /// Whether somebody has asked for it.
    pub has_come: &'s dyn Fn() -> bool,
    /// It was understood as a pause: the next time counts anew.
    pub take_back: &'s dyn Fn(),
}

/// What agents of a team call, and in which forms they speak.
pub struct Tooling {
    /// The tools.
    pub desk: Desk,
    /// The forms.
    pub callers: Callers,
    /// What results are made text with; `None` in a team without tools.
    pub aligner: Option<Arc<Aligner>>,
}

impl Tooling {
    /// That of a team without tools and forms.
    pub fn none(agents: usize) -> Tooling {
        let desk = Desk::new(
            Vec::new(),
            vec![None; agents],
            Reception::new(Box::new(Nobody), None),
            None,
            Errands::default(),
            Crew::default(),
        );
        Tooling { desk, callers: Callers::default(), aligner: None }
    }
}

/// How a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// There is more to do.
    Going,
    /// It is over.
    Over(Ending),
}

/// What came of an agent's turn to be spawned.
pub(super) enum Spawned {
    /// It is there.
    Now,
    /// It waits until there is room for what is sent to it.
    Later,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every agent is done, or was refused.
    Done,
    /// The system was shut down.
    Halted,
}

/// How long nothing happens between two looks at a device or a clock.
const PAUSE_US: u32 = 50;

/// Ticks with nothing to do after which nothing will happen by itself, where no time runs out: what
/// interrupts leave to do is done in a few.
const MOST_IDLE: u32 = 1000;

impl<'r> Runner<'r> {
    /// A team of which nobody was spawned, on a kernel of the sizes that [`config`](super::config) gave. The
    /// device is prepared for them.
    pub fn new(
        team: &'r Team,
        plan: &'r Plan,
        chat: Chat<'r>,
        kernel: Kernel<'r>,
        machine: Machine<'r>,
        clock: RunClock,
        tooling: Tooling,
    ) -> Runner<'r> {
        let Tooling { desk, callers, aligner } = tooling;
        let longest = chat.tokenizer.longest_piece();
        let answer_bytes = |index: usize| (plan.agents[index].answer as usize).saturating_mul(longest);
        let began_us = clock.now().micros;
        let agents = kernel.config().agents;
        let reads = size::reading_tokens(plan, kernel.config());
        Runner {
            roster: Roster::new(team, answer_bytes, longest),
            team,
            plan,
            chat,
            kernel,
            machine,
            names: Names::default(),
            slots: vec![None; usize::from(agents)],
            gathering: None,
            crowded: false,
            // Bytes that begin no character become three each.
            text: String::with_capacity(3 * (longest + 4)),
            paused: false,
            peak: Tiers::default(),
            began_us,
            ended: true,
            idle: 0,
            losses: 0,
            saving: None,
            run: None,
            desk,
            callers,
            aligner,
            traffic: Traffic::default(),
            reads,
            masks: Masks::default(),
            clock,
        }
    }

    /// Runs the team to its end. Interrupted where somebody sits at a terminal, or asked to by who answers over HTTP,
    /// every agent pauses until somebody lets them go on; interrupted again, or where nobody sits there, the step
    /// that is under way ends, and no other begins.
    ///
    /// # Errors
    /// Any [`RunError`].
    pub fn run(&mut self, sink: &mut dyn Sink, stop: &Stop<'_>) -> Result<Ending, RunError> {
        let mut told = false;
        loop {
            if !told && (stop.has_come)() {
                if !self.paused && self.desk.has_terminal() {
                    // Before anybody can know of it: whoever interrupts again from here on is heard.
                    (stop.take_back)();
                    self.desk.ask_to_go_on();
                    self.pause(true);
                } else {
                    self.shut_down();
                    told = true;
                }
            } else if self.paused
                && let Poll::Ready(words) = self.desk.may_go_on()
            {
                self.say_to_all(words.as_deref().unwrap_or_default());
                self.pause(false);
            } else if !self.paused && self.desk.pause_is_wanted() {
                self.pause(true);
            }
            if let Flow::Over(ending) = self.advance(sink)? {
                self.save(sink)?;
                return Ok(ending);
            }
            self.save_when_due(sink)?;
        }
    }

    /// Spawns who is due, and lets the kernel do its next piece of work. But for spawning, nothing is
    /// allocated.
    ///
    /// # Errors
    /// Any [`RunError`].
    pub fn advance(&mut self, sink: &mut dyn Sink) -> Result<Flow, RunError> {
        // Who would be spawned in a pause would not pause.
        if !self.paused && std::mem::take(&mut self.ended) {
            self.spawn_due(sink)?;
        }
        if self.traffic.owes_calls() {
            // Before whoever wrote them says more.
            self.drain(sink)?;
        }
        let mut guard = Timed { callers: &mut self.callers, clock: &self.clock, masks: &mut self.masks };
        let tick = self.kernel.tick(&mut Devices {
            tensor: &mut *self.machine.device,
            clock: &self.clock,
            tools: &mut self.desk,
            guard: &mut guard,
            store: &mut *self.machine.store,
        });
        self.masks.note(tick, self.clock.now().micros);
        let went_on = self.drain(sink)?;
        self.go_on_gathering(sink)?;
        self.measure(tick, sink)?;
        sink.flush()?;
        self.idle = if tick == Tick::Idle { self.idle + 1 } else { 0 };
        match tick {
            Tick::Stepped { .. } => self.losses = 0,
            Tick::Submitted { rows, .. } => self.clock.step_taken(rows),
            Tick::Halted => return Ok(Flow::Over(Ending::Halted)),
            Tick::DeviceLost => self.recover(sink)?,
            Tick::Idle if self.ended && !self.paused => (),
            Tick::Idle if !self.roster.any_alive() && !self.holds_back() => {
                return Ok(Flow::Over(Ending::Done));
            }
            Tick::Idle if self.idle > MOST_IDLE && !self.paused && !self.time_runs() && !self.calls_run() => {
                return Err(self.stuck());
            }
            // Calls went on, and the kernel does with them.
            Tick::Idle | Tick::Pending if went_on => (),
            Tick::Idle | Tick::Pending => self.clock.delay_us(PAUSE_US),
        }
        Ok(Flow::Going)
    }

    /// Everybody pauses (SIG_USER), or goes on.
    pub(super) fn pause(&mut self, pause: bool) {
        self.paused = pause;
        let payload = if pause { 0 } else { USER_RESUME };
        let at_us = self.clock.now().micros;
        // A queue that is full says so by a delivery of its own.
        let _ = self.kernel.interrupts().post(Posted { vector: VectorId::User, agent: None, payload, at_us });
    }

    /// No step begins any more.
    pub fn shut_down(&mut self) {
        let posted =
            Posted { vector: VectorId::Shutdown, agent: None, payload: 0, at_us: self.clock.now().micros };
        // A queue that is full says so by a delivery of its own.
        let _ = self.kernel.interrupts().post(posted);
    }

    /// Tells the sink that the run is over, and what it came to.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn end(&self, sink: &mut dyn Sink) -> Result<Summary, RunError> {
        let now_us = self.clock.now().micros;
        let summary = summary::of(self, now_us);
        sink.end(now_us, &summary)?;
        Ok(summary)
    }

    /// The kernel that the team is on.
    pub fn kernel(&self) -> &Kernel<'r> {
        &self.kernel
    }

    /// How far the team has come.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Spawns and refuses whoever is due.
    fn spawn_due(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        self.crowded = false;
        while let Some(due) = self.roster.due(self.team, |index| self.gathers_later(index)) {
            let (index, outcome) = match due {
                Due::Spawn(index) => {
                    let outcome = self.spawn(index);
                    if let Ok(Spawned::Now) = outcome {
                        self.tell_knowledge(index, sink)?;
                    }
                    (index, outcome)
                }
                Due::Refuse(index, other) => (index, Err(self.no_answer(index, other))),
            };
            match outcome {
                Ok(_) => (),
                Err(error) if is_put_off(&error) => {
                    // It stays held, and is spawned where the run goes on.
                    self.ended = true;
                    break;
                }
                Err(error) => self.refuse(index, error.to_string(), sink)?,
            }
        }
        self.drain(sink)?;
        Ok(())
    }

    /// Whether somebody is due who is not spawned before all go on.
    fn holds_back(&self) -> bool {
        self.paused && self.ended && self.roster.due(self.team, |_| false).is_some()
    }

    /// Somebody was not let in.
    pub(super) fn refuse(
        &mut self,
        index: usize,
        reason: String,
        sink: &mut dyn Sink,
    ) -> Result<(), RunError> {
        let (name, at_us) = (self.team.agents[index].name.as_str(), self.clock.now().micros);
        sink.refused(&Refusal { member: index, name, reason: &reason, at_us })?;
        self.roster.members[index].phase = Phase::Refused(reason);
        self.take_back(index);
        Ok(())
    }

    /// Tells what an agent was given to read.
    fn tell_knowledge(&self, index: usize, sink: &mut dyn Sink) -> Result<(), RunError> {
        let Some(given) = &self.plan.knowledge[index] else { return Ok(()) };
        let (name, at_us) = (self.team.agents[index].name.as_str(), self.clock.now().micros);
        sink.knowledge(&KnowledgeNews { member: index, name, at_us, given })
    }

    fn spawn(&mut self, index: usize) -> Result<Spawned, TeamError> {
        if self.plan.agents[index].sent.is_some() {
            return self.gather(index);
        }
        let tokens = match &self.plan.agents[index].opening {
            Some(tokens) => tokens.clone(),
            None => self.opening(index)?.whole().into(),
        };
        self.admit(index, &tokens, tokens.len(), false)?;
        Ok(Spawned::Now)
    }

    /// What an agent opens with, now that those whom it waited for have answered.
    pub(super) fn opening(&self, index: usize) -> Result<Opening, TeamError> {
        self.plan.open(self.team, index, &self.said(index), &self.chat)
    }

    /// What an agent builds on: the answers of those that it waited for, or what it was asked.
    pub(super) fn said(&self, index: usize) -> Vec<&str> {
        if let Some(asked) = &self.roster.members[index].asked {
            return vec![&asked.request];
        }
        let said = |&other: &usize| self.roster.members[other].answer.as_deref().unwrap_or_default();
        self.team.agents[index].after.iter().map(said).collect()
    }

    /// Spawns an agent with the first tokens of an opening of so many. One that gathers says nothing until it is given
    /// its own budget, which is returned, and maps what is sent to it.
    pub(super) fn admit(
        &mut self,
        index: usize,
        tokens: &[u32],
        opening: usize,
        gathers: bool,
    ) -> Result<(AgentId, Budget), TeamError> {
        let agent = &self.team.agents[index];
        let opening = u32::try_from(opening).unwrap_or(u32::MAX);
        let bytes = bytes_of(tokens);
        let now_us = self.clock.now().micros;
        let refuse = |error| {
            let name = agent.name.clone();
            let problem = match error {
                CallError::Unfit(unfit) => Problem::Unfit { name, unfit, remedy: None },
                error => Problem::Refused { name, error },
            };
            self.team.error(agent.context_place, problem)
        };
        let priority = self.priorities()[index];
        let mut own = Budget::UNBOUNDED;
        let mut spawn = |spoken| -> Result<Reply, TeamError> {
            let results = self.plan.agents[index].results;
            let spec = self.plan.spec(self.team, index, opening, (results, spoken))?;
            own = spec.budget;
            let on_end = if self.plan.spoken > 0 { OnEnd::Drain } else { spec.on_end };
            let spec = Spec { priority, on_end, ..spec };
            let spec = if gathers { gather::silent(spec) } else { spec };
            self.kernel.call(None, &Call::Spawn(spec, Tokens(&bytes)), now_us).map_err(refuse)
        };
        let spawned = match spawn(self.plan.spoken) {
            // Nobody is refused for the sake of what may be said.
            Err(_) if self.plan.spoken > 0 => spawn(0),
            other => other,
        };
        let Reply::Agent(id) = spawned? else { unreachable!("a spawn is answered with a name") };
        self.names.insert(id, &agent.name);
        self.slots[usize::from(id.index)] = Some(index);
        self.begin_caller(index, id, opening);
        let member = &mut self.roster.members[index];
        (member.phase, member.spawned_us) = (Phase::Alive(id), now_us);
        Ok((id, own))
    }

    fn no_answer(&self, index: usize, other: usize) -> TeamError {
        let (agent, other_agent) = (&self.team.agents[index], &self.team.agents[other]);
        let became = match self.roster.members[other].phase {
            Phase::Faulted(_) => "taken out of service",
            Phase::Done(_) => "cut before its answer was whole",
            _ => "refused",
        };
        let (name, other) = (agent.name.clone(), other_agent.name.clone());
        self.team.error(agent.place, Problem::NoAnswer { name, other, became })
    }

    /// What the priorities are while those who are held wait.
    pub(super) fn priorities(&self) -> Vec<Priority> {
        lend::priorities(self.team, |index| self.roster.is_held(index))
    }

    /// An agent waits no more for the others: what it lent them is taken back.
    fn take_back(&mut self, index: usize) {
        if self.team.agents[index].after.is_empty() {
            return;
        }
        let now_us = self.clock.now().micros;
        for (other, priority) in self.priorities().into_iter().enumerate() {
            if let Phase::Alive(id) = self.roster.members[other].phase {
                // One that ended in the last tick has no priority any more.
                let _ = self.kernel.call(None, &Call::SetPriority(id, priority), now_us);
            }
        }
    }

    /// Takes the kernel's events, tells them, and goes on with the calls that come of them. Returns whether any did.
    pub(super) fn drain(&mut self, sink: &mut dyn Sink) -> Result<bool, RunError> {
        self.drain_events(sink)?;
        let mut any = false;
        while self.go_on_with_calls(sink)? {
            any = true;
            self.drain_events(sink)?;
        }
        Ok(any)
    }

    fn drain_events(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        while let Some(record) = self.kernel.next_event() {
            let member = concerned(&record.event).and_then(|id| self.slots[usize::from(id.index)]);
            self.text.clear();
            if let Some(index) = member {
                self.note(index, &record);
            }
            let form = member.and_then(|index| self.roster.members[index].form);
            sink.event(&Told { record: &record, member, text: &self.text, form, names: &self.names })?;
            if let Some(index) = member {
                self.note_for_tools(index, &record);
            }
        }
        self.callers.find_next();
        self.tell_of_people(sink)
    }

    /// Tells what people were asked, and have said.
    fn tell_of_people(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        let spoken = self.desk.spoken();
        let at_us = if spoken.is_empty() { 0 } else { self.clock.now().micros };
        spoken.iter().try_for_each(|spoken| sink.people(&PeopleNews { at_us, spoken }))
    }

    /// Keeps what an event means for an agent.
    fn note(&mut self, index: usize, record: &Record) {
        if let Event::Finished { .. } = record.event {
            self.roster.members[index].form = self.form(index);
        }
        let member = &mut self.roster.members[index];
        let phase = match record.event {
            Event::Token { token, .. } => {
                member.partial.push(self.chat.tokenizer, token, &mut self.text);
                None
            }
            Event::Finished { agent, .. } if is_over(&self.kernel, agent) => Some(Phase::Done(agent)),
            Event::Faulted { agent, .. } => Some(Phase::Faulted(agent)),
            _ => None,
        };
        if let Some(phase) = phase {
            member.partial.finish(&mut self.text);
            (member.phase, member.ended_us) = (phase, record.at_us);
            self.ended = true;
        }
        if let Some(answer) = &mut member.answer {
            answer.push_str(&self.text);
        }
    }

    /// Looks at how much memory is in use.
    fn measure(&mut self, tick: Tick, sink: &mut dyn Sink) -> Result<(), RunError> {
        let usage = self.kernel.figures().usage;
        self.peak = self.peak.most(Tiers { l1: usage.l1, l2: usage.l2 });
        sink.l1_pages(self.clock.now().micros, usage.l1)?;
        if !matches!(tick, Tick::Submitted { .. }) {
            return Ok(());
        }
        let now_us = self.clock.now().micros;
        for member in &mut self.roster.members {
            let Phase::Alive(id) = member.phase else { continue };
            if let Ok(Reply::Stat(stat)) = self.kernel.call(None, &Call::Stat(id), now_us) {
                member.peak = member.peak.most(Tiers { l1: stat.l1_pages, l2: stat.l2_pages });
            }
        }
        Ok(())
    }

    /// Whether somebody's time is going to be up.
    fn time_runs(&self) -> bool {
        let alive = |index: usize| matches!(self.roster.members[index].phase, Phase::Alive(_));
        let timed =
            |(index, agent): (usize, &crate::team::Agent)| alive(index) && agent.max_time_us.is_some();
        self.team.agents.iter().enumerate().any(timed)
    }

    /// Whether a tool is at work, or a person is asked.
    fn calls_run(&self) -> bool {
        self.kernel.agents().any(|rcb| rcb.stack_depth() > 0)
    }

    fn stuck(&self) -> RunError {
        let members = self.roster.members.iter().zip(&self.team.agents);
        let alive = members.filter(|(member, _)| matches!(member.phase, Phase::Alive(_)));
        RunError::Stuck { agents: alive.map(|(_, agent)| agent.name.clone()).collect() }
    }
}

/// Whether an agent says nothing more.
pub(super) fn is_over(kernel: &Kernel<'_>, agent: AgentId) -> bool {
    kernel.agents().find(|rcb| rcb.id == agent).is_none_or(|rcb| rcb.state.is_over())
}

/// Whether it is only now that somebody is not let in: a checkpoint is under way, or the run is shut down and may be
/// gone on with.
pub(super) fn is_put_off(error: &TeamError) -> bool {
    matches!(*error.problem, Problem::Refused { error: CallError::Held | CallError::Shutdown, .. })
}

/// The agent that an event happened to.
fn concerned(event: &Event) -> Option<AgentId> {
    match *event {
        Event::Spawned { agent, .. }
        | Event::State { agent, .. }
        | Event::Token { agent, .. }
        | Event::Sealed { agent, .. }
        | Event::Shared { agent, .. }
        | Event::Relocated { agent, .. }
        | Event::Restored { agent, .. }
        | Event::Preempted { agent }
        | Event::ToolStarted { agent, .. }
        | Event::ToolOver { agent, .. }
        | Event::ToolReturned { agent, .. }
        | Event::ToolResumed { agent, .. }
        | Event::ToolRestored { agent, .. }
        | Event::PagedOut { agent, .. }
        | Event::PagedIn { agent, .. }
        | Event::PageFault { agent, .. }
        | Event::Replayed { agent, .. }
        | Event::Recalled { agent, .. }
        | Event::RecallFailed { agent, .. }
        | Event::Finished { agent, .. }
        | Event::Faulted { agent, .. }
        | Event::Killed { agent } => Some(agent),
        Event::Message { to, .. } => Some(to),
        Event::Interrupt { agent, .. } => agent,
        Event::Booted { .. }
        | Event::Thrashing { .. }
        | Event::StepBegun { .. }
        | Event::StepEnded { .. }
        | Event::Stored { .. }
        | Event::StoreFailed { .. }
        | Event::StoreSlow { .. }
        | Event::Lost { .. } => None,
    }
}
