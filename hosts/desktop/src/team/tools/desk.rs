//! The tools of all agents, behind the kernel's bus.
//!
//! The desk knows what was asked for under a number before the kernel names it, and keeps what came of it
//! until it is taken. Where a person has to agree, the call waits for that first: to the kernel it is under
//! way.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_kernel::tool::{Bus, CallOutcome};
use agentos_tools::mcp::Hub;
use agentos_tools::memory::MemoryRequest;
use agentos_tools::served::Outcome;
use agentos_tools::{Access, Collected, Descriptor, Registry, Served, ToolNumber};

use super::align::{Aligned, Coming, Known, Terms};
use super::crew::Crew;
use super::kit::Errands;
use super::person::Person;
use super::reception::{Matter, Reception};
use super::words;

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
    /// What a person is shown who has to agree; `None` where nobody has to.
    pub question: Option<String>,
    /// What its result is aligned for.
    pub terms: Terms,
}

/// What came of a call.
pub struct Finished {
    /// What was asked for.
    pub asked: Asked,
    /// What the agent reads of it.
    pub aligned: Aligned,
}

struct Held {
    asked: Asked,
    output: Collected,
    consent: Consent,
    /// The tool has it.
    begun: bool,
    /// What came of it, on its way.
    coming: Option<Coming>,
}

/// Whether a person has agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    /// Nobody has to, or somebody has.
    Given,
    /// It is to be asked for.
    Wanted,
    /// It was asked for.
    Awaited,
}

/// Bytes of a reason why a call came to nothing.
const REASON_BYTES: usize = 4096;

/// The tools of all agents.
pub struct Desk {
    registries: Vec<Registry>,
    /// What is known of the tools of each registry.
    known: Vec<Vec<Arc<Known>>>,
    /// The registry of each agent, by the agent's index in the team.
    of: Vec<Option<usize>>,
    calls: HashMap<u64, Held>,
    reception: Reception,
    errands: Errands,
    crew: Crew,
    /// What talks to servers of tools: they end with it.
    _servers: Option<Hub>,
}

impl Desk {
    /// Registries, and which agent has which.
    pub fn new(
        registries: Vec<Registry>,
        of: Vec<Option<usize>>,
        person: Box<dyn Person>,
        servers: Option<Hub>,
        errands: Errands,
        crew: Crew,
    ) -> Desk {
        let known = |registry: &Registry| {
            registry.descriptors().map(|descriptor| Arc::new(Known::new(descriptor.clone()))).collect()
        };
        Desk {
            known: registries.iter().map(known).collect(),
            registries,
            of,
            calls: HashMap::new(),
            reception: Reception::new(person),
            errands,
            crew,
            _servers: servers,
        }
    }

    /// An agent's tool, as its results are aligned.
    pub fn known(&self, member: usize, tool: usize) -> Option<&Arc<Known>> {
        self.known.get((*self.of.get(member)?)?)?.get(tool)
    }

    /// What is known of an agent's tool.
    pub fn descriptor(&self, member: usize, tool: usize) -> Option<&Descriptor> {
        self.known(member, tool).map(|known| &known.descriptor)
    }

    /// Takes in what is asked for under a number.
    pub fn take_in(&mut self, number: u64, asked: Asked) {
        let consent = if asked.question.is_some() { Consent::Wanted } else { Consent::Given };
        let output = room_for(&asked);
        self.calls.insert(number, Held { asked, output, consent, begun: false, coming: None });
    }

    /// Gives out what came of a call, once it is aligned; `None` where nobody has asked for it.
    pub fn give_out(&mut self, number: u64, outcome: CallOutcome) -> Poll<Option<Finished>> {
        let Some(held) = self.calls.get_mut(&number) else { return Poll::Ready(None) };
        // Most results were on their way before the kernel told of them.
        let coming = held.coming.take().filter(|coming| coming.outcome == outcome);
        let coming = coming.unwrap_or_else(|| held.align(outcome, &self.crew));
        match coming.poll() {
            Poll::Pending => {
                held.coming = Some(coming);
                Poll::Pending
            }
            Poll::Ready(aligned) => {
                let held = self.calls.remove(&number).expect("it was just there");
                Poll::Ready(Some(Finished { asked: held.asked, aligned }))
            }
        }
    }

    /// The next request to an agent's memory, with the call.
    pub fn next_of_memory(&mut self) -> Option<(CallNumber, Asked, MemoryRequest)> {
        loop {
            let Served { call, arguments } = self.errands.memory.next()?;
            if let (Some(held), Some(request)) = (self.calls.get(&call.0), MemoryRequest::of(&arguments)) {
                return Some((call, held.asked.clone(), request));
            }
        }
    }

    /// Answers a request to an agent's memory.
    pub fn answer_of_memory(&mut self, call: CallNumber, outcome: Outcome) {
        self.errands.memory.answer(call, outcome);
    }

    /// Nobody asks any more for what an agent has called.
    pub fn forget(&mut self, member: usize) {
        self.calls.retain(|_, held| held.asked.member != member);
    }

    /// Asks the person when everybody is to go on. Returns whether somebody can be asked now.
    pub fn ask_to_go_on(&mut self) -> bool {
        self.reception.is_open() && self.reception.ask(Matter::Pause, words::PAUSED)
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

    /// Has a tool begin a call.
    fn begin(&mut self, number: u64) -> Result<(), PeripheralError> {
        let Some(held) = self.calls.get_mut(&number) else { return Err(PeripheralError::NoCall) };
        let registry = self.of.get(held.asked.member).copied().flatten();
        let Some(registry) = registry.and_then(|index| self.registries.get_mut(index)) else {
            return Err(PeripheralError::Gone);
        };
        held.output.clear();
        held.coming = None;
        let (tool, arguments) = (ToolNumber(held.asked.tool), held.asked.arguments.as_bytes());
        registry.start(CallNumber(number), tool, arguments, &mut held.output)?;
        held.begun = true;
        Ok(())
    }

    /// What the tool says of a call that it has.
    fn look(&mut self, number: u64) -> Poll<Result<(), PeripheralError>> {
        let Some(held) = self.calls.get_mut(&number) else {
            return Poll::Ready(Err(PeripheralError::NoCall));
        };
        let registry = self.of.get(held.asked.member).copied().flatten();
        match registry.and_then(|index| self.registries.get_mut(index)) {
            Some(registry) => registry.poll(CallNumber(number), &mut held.output),
            None => Poll::Ready(Err(PeripheralError::Gone)),
        }
    }

    /// Asks for consent, and looks whether it was given. `None` while it is not known.
    fn consent(&mut self, number: u64) -> Option<bool> {
        let held = self.calls.get_mut(&number)?;
        let matter = Matter::Consent(number);
        match held.consent {
            Consent::Given => return Some(true),
            Consent::Wanted => {
                let question = held.asked.question.as_deref().unwrap_or_default();
                if !self.reception.ask(matter, question) {
                    return None;
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
        match self.calls.get(&number) {
            None => return Poll::Ready(Err(PeripheralError::NoCall)),
            Some(held) if held.begun => return self.look(number),
            Some(_) => (),
        }
        match self.consent(number) {
            None => Poll::Pending,
            Some(false) => Poll::Ready(Err(PeripheralError::Refused)),
            Some(true) => match self.begin(number) {
                // A tool that is busy is asked again, as if the kernel had asked.
                Ok(()) | Err(PeripheralError::Busy) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

/// Where the output of a call goes, or the reason why there is none.
fn room_for(asked: &Asked) -> Collected {
    Collected::new(asked.terms.tool.descriptor.output_bytes.max(REASON_BYTES))
}

impl Held {
    /// Has what was collected aligned, beside the run.
    fn align(&mut self, outcome: CallOutcome, crew: &Crew) -> Coming {
        let output = std::mem::replace(&mut self.output, room_for(&self.asked)).into_bytes();
        Coming::begin(self.asked.terms.clone(), outcome, output, crew)
    }
}

impl Bus for Desk {
    fn start(&mut self, call: CallNumber) -> Result<(), PeripheralError> {
        match self.calls.get_mut(&call.0) {
            None => Err(PeripheralError::NoCall),
            // To the kernel it is under way; the tool begins when somebody has agreed.
            Some(held) if held.consent != Consent::Given => Ok(()),
            Some(held) => {
                held.begun = false;
                self.begin(call.0)
            }
        }
    }

    fn poll(&mut self, call: CallNumber) -> Poll<Result<(), PeripheralError>> {
        let asks = |held: &Held| held.asked.terms.tool.descriptor.access == Access::Person;
        if self.calls.get(&call.0).is_some_and(asks) {
            let name = |number| self.calls.get(&number).map_or(String::new(), |held| held.asked.name.clone());
            self.reception.serve(&self.errands.person, name);
        }
        let polled = self.progress(call.0);
        if let (Poll::Ready(result), Some(held)) = (&polled, self.calls.get_mut(&call.0)) {
            // Aligned from here on, not only when the kernel tells of it between two steps.
            let outcome = result.map_or_else(CallOutcome::of, |()| CallOutcome::Done);
            held.coming = Some(held.align(outcome, &self.crew));
        }
        polled
    }

    fn cancel(&mut self, call: CallNumber) {
        self.reception.withdraw(Matter::Consent(call.0));
        self.reception.withdraw(Matter::Question(call.0));
        let Some(held) = self.calls.get(&call.0) else { return };
        if let Some(registry) = self.of[held.asked.member].and_then(|index| self.registries.get_mut(index)) {
            registry.cancel(call);
        }
    }
}
