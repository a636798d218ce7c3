//! The tools of all agents, behind the kernel's bus.
//!
//! The desk knows what was asked for under a number before the kernel names it, and keeps what came of it
//! until it is taken. Where a person has to agree, the call waits for that first: to the kernel it has not begun.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_kernel::tool::{Bus, CallOutcome};
use agentos_tools::mcp::Hub;
use agentos_tools::memory::MemoryRequest;
use agentos_tools::served::Outcome;
use agentos_tools::{Access, Descriptor, Registry, Served};

use super::align::{Aligned, Aligner, Coming, Known, Terms, Unread};
use super::caller::Place;
use super::crew::Crew;
use super::kit::Errands;
use super::ledger::{Already, Consent, Held, Shared, outcome_of};
use super::reception::{Matter, Reception};
use super::recording::{Mismatch, Played, Recording};
use super::spoken::Spoken;
use super::use_::Choose;
use crate::team::checkpoint::journal::{Journal, Note, RunId};
use crate::team::people::Asking;

/// A call that was asked for.
#[derive(Clone)]
pub struct Asked {
    /// Whose it is, by its index in the team.
    pub member: usize,
    /// Whose it is, by name.
    pub name: String,
    /// The address of its context at which the call begins.
    pub from: u32,
    /// The tool, by its number in the registry of that agent.
    pub tool: usize,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// What a person is asked who has to agree; `None` where nobody has to.
    pub question: Option<Asking>,
    /// Calls that its agent had made before.
    pub nth: u32,
    /// Why its tool is not asked, where it is not.
    pub refusal: Option<String>,
    /// What its result is aligned for.
    pub terms: Terms,
}

impl Asked {
    /// What is noted of it before it is begun.
    pub(super) fn note(&self) -> Note {
        Note::of(self.member, self.nth, &self.terms.tool.descriptor.name, &self.arguments)
    }
}

/// Tokens of a result that is rehearsed: few enough for it to be cut.
const REHEARSED_TOKENS: u32 = 24;

/// What came of a call.
pub struct Finished {
    /// What was asked for.
    pub asked: Asked,
    /// What it came to: of a call that was kept with its output, that it was done.
    pub outcome: CallOutcome,
    /// What the agent reads of it.
    pub aligned: Aligned,
}

/// The tools of all agents.
pub struct Desk {
    ledger: Shared,
    /// What is known of each agent's tools, by the agent's index in the team.
    known: Vec<Option<Arc<[Arc<Known>]>>>,
    reception: Reception,
    errands: Errands,
    crew: Crew,
    /// What tools gave in another run, where none is asked in this one.
    recording: Option<Recording>,
    /// What talks to servers of tools: they end with it.
    _servers: Option<Hub>,
}

impl Desk {
    /// Registries, and which agent has which; and those who can be asked.
    pub fn new(
        registries: Vec<Registry>,
        of: Vec<Option<usize>>,
        reception: Reception,
        servers: Option<Hub>,
        errands: Errands,
        crew: Crew,
    ) -> Desk {
        let known = |registry: &Registry| {
            registry.descriptors().map(|descriptor| Arc::new(Known::new(descriptor.clone()))).collect()
        };
        let of_registries: Vec<Arc<[Arc<Known>]>> = registries.iter().map(known).collect();
        let of_agent = |registry: &Option<usize>| of_registries.get((*registry)?).cloned();
        Desk {
            known: of.iter().map(of_agent).collect(),
            ledger: Shared::new(registries, of, &errands.bell, &crew),
            reception,
            errands,
            crew,
            recording: None,
            _servers: servers,
        }
    }

    /// The same desk, where calls come to what they came to in another run. Agents' own memory is asked all the same:
    /// what it does is a part of this run.
    #[must_use]
    pub fn playing(self, recording: Recording) -> Desk {
        Desk { recording: Some(recording), ..self }
    }

    /// Has a result of each tool aligned before there is one, beside what else is made ready: much is found out, or
    /// brought in, only when it is first needed.
    pub fn rehearse(&self, aligner: &Arc<Aligner>) {
        let mut tools: Vec<&Arc<Known>> =
            self.known.iter().flatten().flat_map(|tools| tools.iter()).collect();
        tools.sort_unstable_by_key(|tool| Arc::as_ptr(tool));
        tools.dedup_by_key(|tool| Arc::as_ptr(tool));
        for tool in tools {
            let (aligner, tool, about) = (aligner.clone(), tool.clone(), String::new());
            let (reminder, caller, room) = (String::new(), Choose::Likeness, REHEARSED_TOKENS);
            let terms = Terms {
                aligner,
                tool,
                source: String::new(),
                about,
                reminder,
                caller,
                room,
                reads: 0,
                repairable: true,
                nth: 0,
                place: Place::Only,
                then: None,
                format: None,
            };
            self.crew.give(move || {
                // What comes of them nobody reads.
                for output in [&b"0"[..], b"{\"0\": [0]}", b"It is so."] {
                    let _ = terms.align(CallOutcome::Done, &Arc::new(output.to_vec()));
                }
            });
        }
    }

    /// An agent's tool, as its results are aligned.
    pub fn known(&self, member: usize, tool: usize) -> Option<&Arc<Known>> {
        self.known.get(member)?.as_ref()?.get(tool)
    }

    /// An agent's tools, by their numbers.
    pub fn tools_of(&self, member: usize) -> impl Iterator<Item = &Known> {
        self.known.get(member).into_iter().flatten().flat_map(|tools| tools.iter().map(Arc::as_ref))
    }

    /// What is known of an agent's tool.
    pub fn descriptor(&self, member: usize, tool: usize) -> Option<&Descriptor> {
        self.known(member, tool).map(|known| &known.descriptor)
    }

    /// What came of the next call of an agent in the run whose results are played; `None` where its tool is asked.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn play(&mut self, asked: &Asked) -> Result<Option<Played>, Mismatch> {
        let Some(recording) = &mut self.recording else { return Ok(None) };
        let tool = &asked.terms.tool.descriptor;
        let played = recording.play(&asked.name, &tool.name, &asked.arguments)?;
        Ok(Some(played).filter(|_| tool.access != Access::Memory))
    }

    /// Takes in what is asked for under a number, or what came of it in another run.
    pub fn take_in(&mut self, number: u64, asked: Asked, played: Option<Played>) {
        self.ledger.lock().take_in(number, asked, played.map(Already::Played));
    }

    /// Takes in what is asked for under a number, where its tool has given this before the run was kept: it is not asked
    /// again.
    pub fn take_in_given(&mut self, number: u64, asked: Asked, output: Vec<u8>) {
        self.ledger.lock().take_in(number, asked, Some(Already::Given(Arc::new(output))));
    }

    /// Has the crew make a result of what the running model has read.
    pub fn make_read(&self, finished: &Finished, unread: Arc<Unread>, scores: Vec<f32>) -> Coming {
        let else_ = Aligned { unread: None, ..finished.aligned.clone() };
        begin(Coming::read(finished.asked.terms.clone(), unread, scores, else_), &self.crew)
    }

    /// Gives out what came of a call, once it is aligned; `None` where nobody has asked for it.
    pub fn give_out(&mut self, number: u64, outcome: CallOutcome) -> Poll<Option<Finished>> {
        let mut ledger = self.ledger.lock();
        let Some(held) = ledger.get_mut(number) else { return Poll::Ready(None) };
        // Most results were on their way before the kernel told of them.
        let outcome = held.outcome(outcome);
        let coming = match held.coming.clone().filter(|coming| coming.outcome == outcome) {
            Some(coming) => coming,
            None => begin(held.align(outcome), &self.crew),
        };
        drop(ledger);
        // It may have been given up before anybody has agreed.
        self.reception.withdraw(Matter::Consent(number));
        coming.poll().map(|aligned| {
            let held = self.ledger.lock().remove(number)?;
            Some(Finished { asked: held.asked, outcome: coming.outcome, aligned })
        })
    }

    /// The next request to an agent's memory, with the call.
    pub fn next_of_memory(&mut self) -> Option<(CallNumber, Asked, MemoryRequest)> {
        loop {
            let Served { call, arguments } = self.errands.memory.next()?;
            let asked = self.ledger.lock().get(call.0).map(|held| held.asked.clone());
            if let (Some(asked), Some(request)) = (asked, MemoryRequest::of(&arguments)) {
                return Some((call, asked, request));
            }
        }
    }

    /// Answers a request to an agent's memory.
    pub fn answer_of_memory(&mut self, call: CallNumber, outcome: Outcome) {
        self.errands.memory.answer(call, outcome);
    }

    /// The next request of an agent to another, with the call and the request.
    pub fn next_of_agents(&mut self) -> Option<(CallNumber, Asked, String)> {
        loop {
            let Served { call, arguments } = self.errands.agents.next()?;
            let asked = self.ledger.lock().get(call.0).map(|held| held.asked.clone());
            if let (Some(asked), Some(request)) = (asked, arguments["request"].as_str()) {
                return Some((call, asked, request.to_owned()));
            }
        }
    }

    /// Answers a request of an agent to another.
    pub fn answer_of_agent(&mut self, call: CallNumber, outcome: Outcome) {
        self.errands.agents.answer(call, outcome);
    }

    /// From now on calls that cannot be undone are noted here before they are begun. Those of `begun` were, and are
    /// not begun again.
    pub fn note_in(&mut self, journal: Journal, begun: Vec<Note>) {
        self.ledger.lock().note_in(journal, begun);
    }

    /// A checkpoint of the run is on the disk that has all calls which were begun.
    ///
    /// # Errors
    /// The system's.
    pub fn cover(&mut self, checkpoint: &Path, run: RunId) -> io::Result<()> {
        self.ledger.lock().cover(checkpoint, run)
    }

    /// Nobody asks any more for what an agent has called.
    pub fn forget(&mut self, member: usize) {
        self.ledger.lock().forget(member);
    }

    /// Whether somebody sits at the terminal.
    pub fn has_terminal(&self) -> bool {
        self.reception.has_terminal()
    }

    /// Asks when everybody is to go on.
    pub fn ask_to_go_on(&mut self) {
        self.reception.ask(Matter::Pause, Asking::Pause);
    }

    /// Whether somebody wants everybody to pause who is not at the terminal; it is asked then when they are to go
    /// on.
    pub fn pause_is_wanted(&mut self) -> bool {
        let wanted = self.reception.pause_is_wanted();
        if wanted {
            self.ask_to_go_on();
        }
        wanted
    }

    /// Ready when the person has said that everybody is to go on, with what they say to all; or when nobody is
    /// there any more to say so.
    pub fn may_go_on(&mut self) -> Poll<Option<String>> {
        match self.reception.asks(Matter::Pause) {
            true => self.reception.answer(Matter::Pause),
            false => Poll::Ready(None),
        }
    }

    /// Tells the person something.
    pub fn tell(&mut self, text: &str) {
        self.reception.tell(text);
    }

    /// What has become of questions to people since this was last asked.
    pub fn spoken(&mut self) -> Vec<Spoken> {
        self.reception.spoken()
    }

    /// Asks for consent, and looks whether it was given. `None` while it is not known.
    fn consent(&mut self, number: u64) -> Option<bool> {
        let mut ledger = self.ledger.lock();
        let held = ledger.get_mut(number)?;
        let matter = Matter::Consent(number);
        match held.consent {
            Consent::Given => return Some(true),
            Consent::Wanted => {
                if let Some(question) = &held.asked.question {
                    self.reception.ask(matter, question.clone());
                }
                held.consent = Consent::Awaited;
            }
            Consent::Awaited => (),
        }
        let Poll::Ready(answer) = self.reception.answer(matter) else { return None };
        let (agreed, reason) = match answer.as_deref() {
            Some("y" | "Y" | "yes" | "Yes") => (true, ""),
            Some(_) => (false, "a person was asked, and refused the call"),
            None => (false, "a person has to agree to the call, and nobody is there"),
        };
        if agreed {
            held.consent = Consent::Given;
        } else {
            let _ = embedded_io::Write::write_all(&mut held.output, reason.as_bytes());
        }
        Some(agreed)
    }

    /// [`Bus::poll`], before what came of it is aligned.
    fn progress(&mut self, number: u64) -> Poll<Result<(), PeripheralError>> {
        let mut ledger = self.ledger.lock();
        if ledger.get(number).is_none() {
            return Poll::Ready(Err(PeripheralError::NoCall));
        }
        ledger.look(number).unwrap_or(Poll::Ready(Err(PeripheralError::NoCall)))
    }

    /// Serves calls that ask a person.
    fn serve_people(&mut self) {
        let ledger = self.ledger.lock();
        let name = |number| ledger.get(number).map_or(String::new(), |held| held.asked.name.clone());
        self.reception.serve(&self.errands.person, name);
    }
}

/// Has the crew make what is on its way.
fn begin(coming: Coming, crew: &Crew) -> Coming {
    let made = coming.clone();
    crew.give(move || made.make());
    coming
}

impl Bus for Desk {
    fn start(&mut self, call: CallNumber) -> Result<(), PeripheralError> {
        let consent = self.ledger.lock().get(call.0).map(|held| held.consent);
        let agreed = match consent {
            None => return Err(PeripheralError::NoCall),
            Some(Consent::Given) => Some(true),
            Some(_) => self.consent(call.0),
        };
        let started = match agreed {
            // It has not begun: to the kernel the tool is busy until somebody has agreed.
            None => return Err(PeripheralError::Busy),
            Some(false) => Err(PeripheralError::Refused),
            Some(true) => self.ledger.lock().begin(call.0),
        };
        if !matches!(started, Ok(()) | Err(PeripheralError::Busy))
            && let Some(held) = self.ledger.lock().get_mut(call.0)
        {
            // No tool's thread aligns it. The kernel tells of it when the step is over that comes first.
            begin(held.align(outcome_of(started)), &self.crew);
        }
        started
    }

    fn poll(&mut self, call: CallNumber) -> Poll<Result<(), PeripheralError>> {
        let asks = |held: &Held| held.asked.terms.tool.descriptor.access == Access::Person;
        let asks = self.ledger.lock().get(call.0).is_some_and(asks);
        if asks {
            self.serve_people();
        }
        let polled = self.progress(call.0);
        if let (Poll::Ready(result), Some(held)) = (polled, self.ledger.lock().get_mut(call.0))
            && held.coming.is_none()
        {
            // Aligned from here on, not only when the kernel tells of it between two steps.
            begin(held.align(outcome_of(result)), &self.crew);
        }
        polled
    }

    fn cancel(&mut self, call: CallNumber) {
        self.reception.withdraw(Matter::Consent(call.0));
        self.reception.withdraw(Matter::Question(call.0));
        self.ledger.lock().cancel(call.0);
    }
}
