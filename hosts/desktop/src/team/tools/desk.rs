//! The tools of all agents, behind the kernel's bus.
//!
//! The desk knows what was asked for under a number before the kernel names it, and keeps what came of it
//! until it is taken. Where a person has to agree, the call waits for that first: to the kernel it is under
//! way.

use std::collections::HashMap;
use std::task::Poll;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_kernel::tool::Bus;
use agentos_tools::mcp::Hub;
use agentos_tools::{Collected, Descriptor, Registry, ToolNumber};

use super::person::Person;

/// A call that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose it is, by its index in the team.
    pub member: usize,
    /// The tool, by its number in the registry of that agent.
    pub tool: usize,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// What a person is shown who has to agree; `None` where nobody has to.
    pub question: Option<String>,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was asked for.
    pub asked: Asked,
    /// What the tool gave, or the reason why it gave nothing.
    pub output: Vec<u8>,
}

struct Held {
    asked: Asked,
    output: Collected,
    consent: Consent,
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

/// What a person is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// Whether this call is to be made.
    Call(u64),
    /// When everybody is to go on.
    Pause,
}

/// Bytes of a reason why a call came to nothing.
const REASON_BYTES: usize = 4096;

/// The tools of all agents.
pub struct Desk {
    registries: Vec<Registry>,
    /// The registry of each agent, by the agent's index in the team.
    of: Vec<Option<usize>>,
    calls: HashMap<u64, Held>,
    person: Box<dyn Person>,
    /// What the person is being asked about.
    asking: Option<Asking>,
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
    ) -> Desk {
        Desk { registries, of, calls: HashMap::new(), person, asking: None, _servers: servers }
    }

    /// The registry of an agent.
    pub fn registry(&self, member: usize) -> Option<&Registry> {
        self.registries.get((*self.of.get(member)?)?)
    }

    /// What is known of an agent's tool.
    pub fn descriptor(&self, member: usize, tool: usize) -> Option<&Descriptor> {
        self.registry(member)?.descriptor(ToolNumber(tool))
    }

    /// Takes in what is asked for under a number.
    pub fn take_in(&mut self, number: u64, asked: Asked) {
        let room = self.descriptor(asked.member, asked.tool).map_or(0, |tool| tool.output_bytes);
        let consent = if asked.question.is_some() { Consent::Wanted } else { Consent::Given };
        let output = Collected::new(room.max(REASON_BYTES));
        self.calls.insert(number, Held { asked, output, consent });
    }

    /// Gives out what came of a call, once.
    pub fn give_out(&mut self, number: u64) -> Option<Finished> {
        let Held { asked, output, .. } = self.calls.remove(&number)?;
        Some(Finished { asked, output: output.into_bytes() })
    }

    /// Nobody asks any more for what an agent has called.
    pub fn forget(&mut self, member: usize) {
        self.calls.retain(|_, held| held.asked.member != member);
    }

    /// Asks the person when everybody is to go on. Returns whether somebody can be asked now.
    pub fn ask_to_go_on(&mut self) -> bool {
        let can = self.person.is_there() && self.asking.is_none();
        if can {
            self.person.ask("Paused. Enter goes on; Ctrl-C again ends the run.");
            self.asking = Some(Asking::Pause);
        }
        can
    }

    /// Whether the person has said that everybody is to go on, or nobody is there any more to say so.
    pub fn may_go_on(&mut self) -> bool {
        if self.asking != Some(Asking::Pause) {
            return true;
        }
        let answered = self.person.answer().is_ready();
        if answered {
            self.asking = None;
        }
        answered
    }

    fn begin(&mut self, number: u64) -> Result<(), PeripheralError> {
        let Some(held) = self.calls.get_mut(&number) else { return Err(PeripheralError::NoCall) };
        let registry = self.of.get(held.asked.member).copied().flatten();
        let Some(registry) = registry.and_then(|index| self.registries.get_mut(index)) else {
            return Err(PeripheralError::Gone);
        };
        held.output.clear();
        let (tool, arguments) = (ToolNumber(held.asked.tool), held.asked.arguments.as_bytes());
        registry.start(CallNumber(number), tool, arguments, &mut held.output)
    }

    /// Asks for consent, and looks whether it was given. `None` while it is not known.
    fn consent(&mut self, number: u64) -> Option<bool> {
        let held = self.calls.get_mut(&number)?;
        match held.consent {
            Consent::Given => return Some(true),
            Consent::Wanted if self.asking.is_none() => {
                self.person.ask(held.asked.question.as_deref().unwrap_or_default());
                self.asking = Some(Asking::Call(number));
                held.consent = Consent::Awaited;
            }
            _ => (),
        }
        if self.asking != Some(Asking::Call(number)) {
            return None;
        }
        let Poll::Ready(answer) = self.person.answer() else { return None };
        self.asking = None;
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
}

impl Bus for Desk {
    fn start(&mut self, call: CallNumber) -> Result<(), PeripheralError> {
        match self.calls.get(&call.0) {
            None => Err(PeripheralError::NoCall),
            // To the kernel it is under way; the tool begins when somebody has agreed.
            Some(held) if held.consent != Consent::Given => Ok(()),
            Some(_) => self.begin(call.0),
        }
    }

    fn poll(&mut self, call: CallNumber) -> Poll<Result<(), PeripheralError>> {
        let Some(held) = self.calls.get(&call.0) else { return Poll::Ready(Err(PeripheralError::NoCall)) };
        if held.consent != Consent::Given {
            return match self.consent(call.0) {
                None => Poll::Pending,
                Some(false) => Poll::Ready(Err(PeripheralError::Refused)),
                Some(true) => match self.begin(call.0) {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
            };
        }
        let registry = self.of.get(held.asked.member).copied().flatten();
        let Some(registry) = registry.and_then(|index| self.registries.get_mut(index)) else {
            return Poll::Ready(Err(PeripheralError::Gone));
        };
        let held = self.calls.get_mut(&call.0).expect("it was just there");
        registry.poll(call, &mut held.output)
    }

    fn cancel(&mut self, call: CallNumber) {
        if self.asking == Some(Asking::Call(call.0)) {
            self.asking = None;
        }
        let Some(held) = self.calls.get(&call.0) else { return };
        if let Some(registry) = self.of[held.asked.member].and_then(|index| self.registries.get_mut(index)) {
            registry.cancel(call);
        }
    }
}
