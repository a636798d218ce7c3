//! Calls that were asked for, between the kernel's bus and the threads that tools run on.
//!
//! What a tool has given is taken as soon as the tool rings, beside the step that is under way, and aligned: on the
//! thread that rings where it is short, or else by a crew. Where nobody rings, or the kernel looks first, it is taken
//! then. Which of the two came first shows in no result. To the kernel a call is over when its tool is, aligned or not:
//! its clock of alignment leaves nothing out.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_kernel::tool::CallOutcome;
use agentos_tools::{Collected, Effect, Registry, ToolNumber};

use super::align::Coming;
use super::bell::Bell;
use super::crew::Crew;
use super::desk::Asked;
use super::recording::Played;
use super::words;
use crate::team::checkpoint::journal::{Journal, Note, RunId};

/// Calls by number, and the tools that they are for.
pub(super) struct Ledger {
    registries: Vec<Registry>,
    /// The registry of each agent, by the agent's index in the team.
    of: Vec<Option<usize>>,
    calls: HashMap<u64, Held>,
    /// Where calls are noted that cannot be undone, if the run can be gone on with.
    journal: Option<Journal>,
    /// Those that were begun behind the checkpoint from which the run goes on, and were not asked for again yet.
    begun: Vec<Note>,
}

/// A call that was asked for.
pub(super) struct Held {
    pub(super) asked: Asked,
    /// What the tool has written so far, or the reason why it was not asked.
    pub(super) output: Collected,
    pub(super) consent: Consent,
    /// It is noted that the tool may have it.
    noted: bool,
    /// The tool has it.
    begun: bool,
    /// How it ended.
    over: Option<Result<(), PeripheralError>>,
    /// What came of it, on its way.
    pub(super) coming: Option<Coming>,
    /// What came of it is known already: no tool is asked.
    already: Option<Already>,
}

/// What came of a call before it was asked for.
#[derive(Clone)]
pub(super) enum Already {
    /// What was read of it in another run.
    Played(Played),
    /// What its tool gave before the run was kept.
    Given(Arc<Vec<u8>>),
}

/// Whether a person has agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// Nobody has to, or somebody has.
    Given,
    /// It is to be asked for.
    Wanted,
    /// It was asked for.
    Awaited,
}

/// Bytes of a reason why a call came to nothing.
const REASON_BYTES: usize = 4096;

/// The ledger, whoever has it at the moment.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    /// Of registries, and which agent has which. When tools ring, what they have given is taken; a crew aligns what is
    /// long.
    pub(super) fn new(registries: Vec<Registry>, of: Vec<Option<usize>>, bell: &Bell, crew: &Crew) -> Shared {
        let shared = Shared(Arc::new(Mutex::new(Ledger {
            registries,
            of,
            calls: HashMap::new(),
            journal: None,
            begun: Vec::new(),
        })));
        // The tools hold the bell: it does not hold them.
        let (ledger, crew) = (Arc::downgrade(&shared.0), crew.clone());
        bell.listen(move || {
            let Some(ledger) = ledger.upgrade() else { return };
            let all = Shared(ledger).lock().collect();
            for coming in all {
                match coming.is_short {
                    // No other thread is sooner than the one that is at work already.
                    true => coming.make(),
                    false => crew.give(move || coming.make()),
                }
            }
        });
        shared
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Takes in what is asked for under a number, or what has come of it already.
    pub(super) fn take_in(&mut self, number: u64, asked: Asked, already: Option<Already>) {
        let wanted = asked.question.is_some() && already.is_none();
        let consent = if wanted { Consent::Wanted } else { Consent::Given };
        let output = room_for(&asked);
        let held =
            Held { asked, output, consent, noted: false, begun: false, over: None, coming: None, already };
        self.calls.insert(number, held);
    }

    pub(super) fn get(&self, number: u64) -> Option<&Held> {
        self.calls.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Held> {
        self.calls.get_mut(&number)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Held> {
        self.calls.remove(&number)
    }

    /// Nobody asks any more for what an agent has called, and what tools have of it they give up. When the kernel names
    /// these calls, with its next tick, nothing is known of them here.
    pub(super) fn forget(&mut self, member: usize) {
        let Ledger { registries, of, calls, .. } = self;
        for (number, held) in calls.extract_if(|_, held| held.asked.member == member) {
            if held.begun
                && held.over.is_none()
                && let Some(registry) = registry_of(registries, of, &held)
            {
                registry.cancel(CallNumber(number));
            }
        }
    }

    /// From now on calls that cannot be undone are noted here, and those that were begun are not begun again.
    pub(super) fn note_in(&mut self, journal: Journal, begun: Vec<Note>) {
        (self.journal, self.begun) = (Some(journal), begun);
    }

    /// A checkpoint is on the disk that has all calls which were begun.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn cover(&mut self, checkpoint: &Path, run: RunId) -> io::Result<()> {
        if !self.journal.as_ref().is_some_and(|journal| journal.is_beside(checkpoint)) {
            self.journal = Some(Journal::open(checkpoint, run)?.0);
        }
        let waits = |held: &&Held| held.noted && !held.begun && held.over.is_none();
        let still = self.calls.values().filter(waits).map(|held| held.asked.note());
        let still: Vec<Note> = still.chain(self.begun.iter().copied()).collect();
        self.journal.as_mut().map_or(Ok(()), |journal| journal.cover(&still))
    }

    /// Has a tool begin a call.
    pub(super) fn begin(&mut self, number: u64) -> Result<(), PeripheralError> {
        let Ledger { registries, of, calls, journal, begun } = self;
        let Some(held) = calls.get_mut(&number) else { return Err(PeripheralError::NoCall) };
        let registry = registry_of(registries, of, held).ok_or(PeripheralError::Gone)?;
        held.output.clear();
        (held.begun, held.over, held.coming) = (false, None, None);
        if held.already.is_some() {
            held.begun = true;
            return Ok(());
        }
        if let Some(reason) = held.asked.refusal.clone() {
            return held.fail(&reason, PeripheralError::Refused);
        }
        if held.asked.terms.tool.descriptor.effect == Effect::Irreversible {
            held.may_begin(journal.as_mut(), begun)?;
        }
        let (tool, arguments) = (ToolNumber(held.asked.tool), held.asked.arguments.as_bytes());
        registry.start(CallNumber(number), tool, arguments, &mut held.output)?;
        held.begun = true;
        Ok(())
    }

    /// What has come of a call that its tool has; `None` where the tool does not have it.
    pub(super) fn look(&mut self, number: u64) -> Option<Poll<Result<(), PeripheralError>>> {
        let Ledger { registries, of, calls, .. } = self;
        let held = calls.get_mut(&number).filter(|held| held.begun || held.over.is_some())?;
        if held.over.is_none()
            && let Poll::Ready(result) = poll(registries, of, number, held)
        {
            held.over = Some(result);
        }
        Some(held.over.map_or(Poll::Pending, Poll::Ready))
    }

    /// Takes what tools have given since somebody looked last.
    fn collect(&mut self) -> Vec<Coming> {
        let Ledger { registries, of, calls, .. } = self;
        let mut all = Vec::new();
        for (&number, held) in calls.iter_mut().filter(|(_, held)| held.begun && held.over.is_none()) {
            if let Poll::Ready(result) = poll(registries, of, number, held) {
                held.over = Some(result);
                all.push(held.align(outcome_of(result)));
            }
        }
        all
    }

    /// Gives up a call: nothing is taken of it any more.
    pub(super) fn cancel(&mut self, number: u64) {
        let Ledger { registries, of, calls, .. } = self;
        let Some(held) = calls.get_mut(&number) else { return };
        held.over.get_or_insert(Err(PeripheralError::Gone));
        if let Some(registry) = registry_of(registries, of, held) {
            registry.cancel(CallNumber(number));
        }
    }
}

/// What a result means to the kernel.
pub(super) fn outcome_of(result: Result<(), PeripheralError>) -> CallOutcome {
    result.map_or_else(CallOutcome::of, |()| CallOutcome::Done)
}

fn registry_of<'r>(
    registries: &'r mut [Registry],
    of: &[Option<usize>],
    held: &Held,
) -> Option<&'r mut Registry> {
    registries.get_mut((*of.get(held.asked.member)?)?)
}

fn poll(
    registries: &mut [Registry],
    of: &[Option<usize>],
    number: u64,
    held: &mut Held,
) -> Poll<Result<(), PeripheralError>> {
    match &held.already {
        Some(Already::Played(played)) => return played.result(),
        Some(Already::Given(_)) => return Poll::Ready(Ok(())),
        None => (),
    }
    match registry_of(registries, of, held) {
        Some(registry) => registry.poll(CallNumber(number), &mut held.output),
        None => Poll::Ready(Err(PeripheralError::Gone)),
    }
}

/// Where the output of a call goes, or the reason why there is none.
fn room_for(asked: &Asked) -> Collected {
    Collected::new(asked.terms.tool.descriptor.output_bytes.max(REASON_BYTES))
}

impl Held {
    /// A call that cannot be undone is begun once: not where it was begun before, and not where that cannot be noted.
    fn may_begin(
        &mut self,
        journal: Option<&mut Journal>,
        begun: &mut Vec<Note>,
    ) -> Result<(), PeripheralError> {
        if self.noted {
            return Ok(());
        }
        let note = self.asked.note();
        // What was answered otherwise this time may have changed how many calls it is.
        let same = |other: &Note| (other.member, other.call) == (note.member, note.call);
        if let Some(at) =
            begun.iter().position(|other| *other == note).or_else(|| begun.iter().position(same))
        {
            begun.remove(at);
            let reason = words::reason(CallOutcome::Unknown, &self.asked.terms.tool.descriptor);
            return self.fail(&reason, PeripheralError::Gone);
        }
        match journal.map_or(Ok(()), |journal| journal.note(note)) {
            Ok(()) => self.noted = true,
            Err(error) => {
                let reason = format!("that the call begins cannot be noted, so it was not made: {error}");
                return self.fail(&reason, PeripheralError::Refused);
            }
        }
        Ok(())
    }

    /// The call ends before its tool is asked.
    fn fail(&mut self, reason: &str, error: PeripheralError) -> Result<(), PeripheralError> {
        // There is room for a reason.
        let _ = embedded_io::Write::write_all(&mut self.output, reason.as_bytes());
        Err(error)
    }

    /// What a call has come to of which the kernel says this. Of one that cannot be undone and was kept with its output,
    /// it does not know that it has ended.
    pub(super) fn outcome(&self, told: CallOutcome) -> CallOutcome {
        if let Some(Already::Given(_)) = self.already { CallOutcome::Done } else { told }
    }

    /// What was collected, on its way to its agent.
    pub(super) fn align(&mut self, outcome: CallOutcome) -> Coming {
        let terms = self.asked.terms.clone();
        let coming = match &self.already {
            Some(Already::Played(played)) if played.outcome == outcome => {
                Coming::played(terms, played.clone())
            }
            Some(Already::Given(output)) => Coming::of(terms, outcome, output.clone()),
            _ => {
                let output = std::mem::replace(&mut self.output, room_for(&self.asked)).into_bytes();
                Coming::of(terms, outcome, Arc::new(output))
            }
        };
        self.coming.insert(coming).clone()
    }
}
