//! A run that is kept in a file, and gone on with from there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::task::Poll;

use agentos_hal::{Clock, PageError};
use agentos_kernel::agent::{MOST_CALLS, State as AgentState};
use agentos_kernel::call::Call;
use agentos_kernel::checkpoint::{CheckpointError, Contents};
use agentos_kernel::system::{Config, Devices, Tick};
use agentos_kernel::tool::Progress;

use super::clock::RunClock;
use super::error::RunError;
use super::plan::Kit;
use super::plausible;
use super::roster::{Member, Phase};
use super::run::Runner;
use crate::aside::Aside;
use crate::team::checkpoint::journal::{Journal, Note, RunId};
use crate::team::checkpoint::{self, CheckpointFileError, Problem, State, fingerprint};
use crate::team::sink::Sink;
use crate::team::tools::Stage;

/// Bytes that are written at once.
const PIECE: usize = 1 << 20;

/// Where a run is kept, and how often.
#[derive(Debug)]
pub struct Saving {
    /// The file.
    path: PathBuf,
    /// Whether pages are kept too.
    contents: Contents,
    /// Microseconds between two times.
    every_us: u64,
    /// The run, if it begins here.
    run: RunId,
    /// When the next time is, in microseconds on the run's clock.
    next_us: u64,
    /// A piece on its way.
    piece: Vec<u8>,
}

impl Saving {
    /// Keeps a run in a file every so many microseconds. `run` tells it from all others, unless it goes on from
    /// another file.
    pub fn new(path: PathBuf, contents: Contents, every_us: u64, run: RunId) -> Saving {
        Saving { path, contents, every_us, run, next_us: u64::MAX, piece: vec![0; PIECE] }
    }
}

/// What became of a checkpoint, or of the wait for the step before it.
#[must_use]
enum Held {
    /// It is under way, or written.
    Kept,
    /// The device was lost: it has to begin anew.
    GivenUp,
}

/// What becomes of a checkpoint that the kernel gave up: where the device was lost, the kernel's next tick
/// says so, and it begins anew.
fn given_up(error: CheckpointError) -> Result<Held, Problem> {
    match error {
        CheckpointError::Page(PageError::Lost | PageError::NotPrepared) => Ok(Held::GivenUp),
        error => Err(Problem::Kernel(error)),
    }
}

/// Why nothing is written.
enum Failure {
    Io(io::Error),
    Kernel(CheckpointError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl Runner<'_> {
    /// Keeps the run as `saving` says, from now on.
    ///
    /// # Errors
    /// [`RunError::Checkpoint`] where nothing can be written, so that it is known now and not at the end.
    pub fn keep(&mut self, saving: Saving) -> Result<(), RunError> {
        let path = saving.path.clone();
        Aside::create(&path)
            .map_err(|source| CheckpointFileError { path, problem: Problem::Write(source) })?;
        self.run.get_or_insert(saving.run);
        let now_us = self.clock.now().micros;
        self.saving = Some(Saving { next_us: now_us.saturating_add(saving.every_us), ..saving });
        Ok(())
    }

    /// Keeps the run if it is time to.
    pub(super) fn save_when_due(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        let now_us = self.clock.now().micros;
        // Passages that are on their way are soon there.
        let due =
            self.saving.as_ref().is_some_and(|saving| now_us >= saving.next_us && self.gathering.is_none());
        if due { self.save(sink) } else { Ok(()) }
    }

    /// Keeps the run now, if it is to be kept at all.
    ///
    /// # Errors
    /// [`RunError::Checkpoint`], [`RunError::DeviceLost`], those of the sink.
    pub fn save(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        let Some(mut saving) = self.saving.take() else { return Ok(()) };
        let saved = self.save_as(&mut saving, sink);
        saving.next_us = self.clock.now().micros.saturating_add(saving.every_us);
        self.saving = Some(saving);
        saved
    }

    /// Writes the run to its file; anew, where the device is lost meanwhile.
    fn save_as(&mut self, saving: &mut Saving, sink: &mut dyn Sink) -> Result<(), RunError> {
        // A result that is known is kept with the agent that reads it, not asked for again.
        while self.owes_results() {
            self.drain(sink)?;
            std::thread::yield_now();
        }
        while let Held::GivenUp = self.try_to_save(saving, sink)? {}
        Ok(())
    }

    fn try_to_save(&mut self, saving: &mut Saving, sink: &mut dyn Sink) -> Result<Held, RunError> {
        let refuse = |problem| RunError::from(CheckpointFileError { path: saving.path.clone(), problem });
        self.begin_save(saving).map_err(refuse)?;
        // The step that is under way ends first, and what it means is told.
        let first = loop {
            match self.kernel.read_checkpoint(&mut *self.machine.device, &mut saving.piece) {
                Poll::Ready(Ok(count)) => break count,
                Poll::Ready(Err(error)) => return given_up(error).map_err(refuse),
                Poll::Pending => {
                    if let Held::GivenUp = self.tick_held(sink)? {
                        return Ok(Held::GivenUp);
                    }
                }
            }
        };
        let mut roster = self.roster.clone();
        self.keep_unread(&mut roster);
        if let Some(index) = self.gathers() {
            // Who was halted while passages were sent to it begins anew.
            roster.members[index].phase = Phase::Held;
        }
        let state = State {
            team: fingerprint(self.team),
            run: self.run.unwrap_or(saving.run),
            replay: self.replay(),
            now_ns: self.clock.now_ns(),
            roster,
        };
        let path = saving.path.clone();
        let written = checkpoint::write(&path, &state, |out| self.write_pieces(saving, first, out));
        self.kernel.end_transfer();
        let held = match written {
            Ok(()) => self.desk.cover(&path, state.run).map(|()| Held::Kept).map_err(Problem::Journal),
            Err(Failure::Io(source)) => Err(Problem::Write(source)),
            Err(Failure::Kernel(error)) => given_up(error),
        };
        held.map_err(|problem| CheckpointFileError { path, problem }.into())
    }

    fn begin_save(&mut self, saving: &Saving) -> Result<(), Problem> {
        let call = Call::Checkpoint(None, saving.contents);
        let now_us = self.clock.now().micros;
        self.kernel.call(None, &call, now_us).map(|_| ()).map_err(Problem::Call)
    }

    fn write_pieces(
        &mut self,
        saving: &mut Saving,
        first: usize,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let mut count = first;
        while count > 0 {
            out.write_all(&saving.piece[..count])?;
            count = loop {
                match self.kernel.read_checkpoint(&mut *self.machine.device, &mut saving.piece) {
                    Poll::Ready(Ok(count)) => break count,
                    Poll::Ready(Err(error)) => return Err(Failure::Kernel(error)),
                    Poll::Pending => std::thread::yield_now(),
                }
            };
        }
        Ok(())
    }

    /// Lets the kernel end what is under way while it begins nothing. Where the device is lost meanwhile,
    /// it is prepared again, and what was being written or read is given up.
    fn tick_held(&mut self, sink: &mut dyn Sink) -> Result<Held, RunError> {
        let tick = self.kernel.tick(&mut Devices {
            tensor: &mut *self.machine.device,
            clock: &self.clock,
            tools: &mut self.desk,
            guard: &mut self.callers,
            store: &mut *self.machine.store,
        });
        self.drain(sink)?;
        if tick == Tick::DeviceLost {
            self.kernel.end_transfer();
            self.recover(sink)?;
            return Ok(Held::GivenUp);
        }
        std::thread::yield_now();
        Ok(Held::Kept)
    }

    /// Goes on from a file. To be called before anything else.
    ///
    /// # Errors
    /// [`RunError::Checkpoint`], [`RunError::DeviceLost`], those of the sink.
    pub fn restore(&mut self, path: &Path, sink: &mut dyn Sink) -> Result<u16, RunError> {
        let refuse = |problem| RunError::from(CheckpointFileError { path: path.to_owned(), problem });
        let (state, bytes) = checkpoint::read(path, self.most_bytes())?;
        if state.team != fingerprint(self.team) || state.roster.members.len() != self.team.agents.len() {
            return Err(refuse(Problem::OtherTeam));
        }
        if state.replay != self.replay() {
            return Err(refuse(Problem::OtherReplay { found: state.replay }));
        }
        if !plausible::is_plausible(&state, self.team) {
            return Err(refuse(Problem::Contradiction));
        }
        let agents = loop {
            if let Some(agents) = self.try_to_restore(&bytes, sink, &refuse)? {
                break agents;
            }
        };
        self.run = Some(state.run);
        self.take_over(state).map_err(refuse)?;
        self.read_journal(path).map_err(|source| refuse(Problem::Journal(source)))?;
        if self.kernel.agents().any(|rcb| matches!(rcb.state, AgentState::Suspended(_))) {
            // It was kept while a person had everybody pause. Whoever restores it wants it to go on.
            self.pause(false);
        }
        self.drain(sink)?;
        Ok(agents)
    }

    /// Learns which calls that cannot be undone were begun behind the checkpoint, and notes further ones beside it.
    fn read_journal(&mut self, checkpoint: &Path) -> io::Result<()> {
        let (journal, mut notes) = Journal::open(checkpoint, self.run.unwrap_or_default())?;
        notes.retain(|note| self.is_behind(note));
        self.desk.note_in(journal, notes);
        Ok(())
    }

    /// Whether a call was begun behind the checkpoint that was just read.
    fn is_behind(&self, note: &Note) -> bool {
        let Some(member) = self.roster.members.get(note.member as usize) else { return false };
        let (Some(caller), Some(agent)) = (&member.caller, member.id()) else { return true };
        let Stage::Calling(open) = &caller.stage else { return note.nth >= caller.made };
        match open.iter().position(|open| open.nth == note.nth) {
            // To the checkpoint it was open. Where it had begun, it is over already.
            Some(at) => {
                let call = self.kernel.open_calls(agent).nth(at);
                call.is_some_and(|call| !matches!(call.progress, Progress::Over { .. }))
            }
            None => note.nth >= caller.made,
        }
    }

    /// Reads the kernel's checkpoint; `None` where the device is lost meanwhile, and nothing came of it.
    fn try_to_restore(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn Sink,
        refuse: &dyn Fn(Problem) -> RunError,
    ) -> Result<Option<u16>, RunError> {
        let now_us = self.clock.now().micros;
        self.kernel.call(None, &Call::Restore, now_us).map_err(|error| refuse(Problem::Call(error)))?;
        loop {
            match self.kernel.write_checkpoint(&mut *self.machine.device, bytes) {
                Poll::Ready(Ok(agents)) => return Ok(Some(agents)),
                Poll::Ready(Err(error)) => return given_up(error).map(|_| None).map_err(refuse),
                Poll::Pending => {
                    if let Held::GivenUp = self.tick_held(sink)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Takes over where the run was, with the names that the kernel gave the agents now.
    fn take_over(&mut self, state: State) -> Result<(), Problem> {
        // A clock that goes by itself has begun anew; lengths of time stay what they were.
        self.clock.go_to(state.now_ns);
        let now_us = self.clock.now().micros;
        let then_us = state.now_ns / 1000;
        let moved = |at_us: u64| now_us.saturating_sub(then_us.saturating_sub(at_us));
        self.began_us = moved(0);
        let longest = self.chat.tokenizer.longest_piece();
        let fresh = std::mem::replace(&mut self.roster, state.roster);
        for (member, fresh) in self.roster.members.iter_mut().zip(fresh.members) {
            member.reserve(&fresh, longest);
            (member.spawned_us, member.ended_us) = (moved(member.spawned_us), moved(member.ended_us));
        }
        self.forget_gathering();
        let mut known = vec![false; self.roster.members.len()];
        for rcb in self.kernel.agents() {
            let index = usize::try_from(rcb.tag).ok().filter(|&index| known.get(index) == Some(&false));
            let index = index.ok_or(Problem::Contradiction)?;
            known[index] = true;
            let member = &mut self.roster.members[index];
            member.phase = match rcb.state {
                AgentState::Stopped(_) => Phase::Done(rcb.id),
                AgentState::Faulted(_) => Phase::Faulted(rcb.id),
                _ => Phase::Alive(rcb.id),
            };
            self.names.insert(rcb.id, &self.team.agents[index].name);
            self.slots[usize::from(rcb.id.index)] = Some(index);
        }
        self.renumber_asked();
        let resumed: Vec<_> = self.kernel.agents().map(|rcb| (rcb.id, rcb.tag as usize)).collect();
        for (id, index) in resumed {
            self.resume_caller(index, id);
        }
        let agrees = |(member, known): (&Member, &bool)| member.id().is_some() == *known;
        if self.roster.members.iter().zip(&known).all(agrees) { Ok(()) } else { Err(Problem::Contradiction) }
    }

    /// Lets go whoever was being sent passages, and who sent them: that begins anew.
    fn forget_gathering(&mut self) {
        let is_of_team = |tag: u64| {
            let member = usize::try_from(tag).ok().and_then(|index| self.roster.members.get(index));
            member.is_some_and(|member| member.phase != Phase::Held)
        };
        let others: Vec<_> =
            self.kernel.agents().filter(|rcb| !is_of_team(rcb.tag)).map(|rcb| rcb.id).collect();
        let now_us = self.clock.now().micros;
        for agent in others {
            // It is there, so it can be let go.
            let _ = self.kernel.call(None, &Call::Kill(agent), now_us);
        }
    }

    /// The seed, if this is a replay.
    fn replay(&self) -> Option<u64> {
        matches!(self.clock, RunClock::Virtual(_)).then_some(self.plan.seed)
    }

    /// More bytes than a checkpoint of this team can have.
    fn most_bytes(&self) -> u64 {
        let config = self.kernel.config();
        let pages =
            u64::from(config.l1_pages) + u64::from(config.l2_frames) + u64::from(config.packed_frames);
        let answers = self.roster.members.iter().filter_map(|member| member.answer.as_ref());
        let answers: u64 = answers.map(|answer| answer.capacity() as u64).sum();
        let given: u64 = self.plan.kits.iter().flatten().map(most_given).sum();
        // Twice: an agent can share no more pages than there are, and a restored one has its own.
        2 * pages * self.kernel.page_bytes() as u64 + agents_bytes(config) + answers + given + (1 << 20)
    }
}

/// Bytes of what tools gave that the model is to read yet, at most.
fn most_given(kit: &Kit) -> u64 {
    let most = kit.tools.iter().map(|tool| tool.output_bytes as u64).max();
    most.unwrap_or(0).saturating_mul(MOST_CALLS as u64)
}

/// Bytes of what is kept of agents besides their pages, or more.
fn agents_bytes(config: &Config) -> u64 {
    let tokens = 4 * (u64::from(config.context) + u64::from(config.inbox));
    let mappings = 64 * u64::from(config.slices_per_agent());
    u64::from(config.agents) * (tokens + mappings + 4096)
}
