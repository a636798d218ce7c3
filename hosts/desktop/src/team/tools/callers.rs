//! All agents that call tools or answer in a form, and what the kernel's guard says of them.
//!
//! A token that was said is taken at once: a call may be whole with it. What may come next a crew finds out from then on,
//! beside the calls that are made, the results that are returned and the step that is laid out, where there are
//! processors for it; what it has not found then, the run finds. A step begins without masks that can be found while
//! the device computes. No call waits for a mask of somebody else.

use std::sync::Arc;

use agentos_grammar::{Callable, Calls, Grammar, GrammarError, MatchError, Vocabulary};
use agentos_hal::LateMasks;
use agentos_kernel::agent::AgentId;
use agentos_kernel::guard::{Allowed, Guard};
use agentos_tools::Descriptor;
use serde_json::Value;

use super::caller::{Caller, Form, Stage, Written};
use super::crew::Crew;
use super::opening::begun;
use super::seat::Seat;
use super::words;
use crate::text::CallShape;

/// The forms that an agent's words may be held to.
struct Forms {
    /// For each of its tools, that of the arguments.
    arguments: Vec<Grammar>,
    /// That of a call which names its tool; `None` without tools.
    call: Option<Grammar>,
    /// That of such a call or else the answer; `None` without either.
    either: Option<Grammar>,
    /// That of its answer.
    answer: Option<Grammar>,
    /// The names of its tools.
    names: Vec<String>,
    /// How it writes calls.
    shape: CallShape,
}

impl Forms {
    fn new(
        vocabulary: &Vocabulary,
        (tools, shape): (&[Descriptor], &CallShape),
        answer: Option<&Value>,
    ) -> Result<Forms, FormError> {
        let ready = |tool: Option<String>, grammar: Result<Grammar, GrammarError>| match grammar {
            Ok(mut grammar) => {
                grammar.rehearse();
                Ok(grammar)
            }
            Err(error) => Err(FormError { tool, error }),
        };
        let arguments = |tool: &Descriptor| {
            ready(Some(tool.name.clone()), Grammar::json_schema(vocabulary, &tool.arguments))
        };
        let callables: Vec<Callable<'_>> =
            tools.iter().map(|tool| Callable { name: &tool.name, arguments: &tool.arguments }).collect();
        let names: Vec<String> = tools.iter().map(|tool| tool.name.clone()).collect();
        let (call, either) = match &callables[..] {
            [] => (None, None),
            callables => {
                let calls = calls(shape, callables);
                let call = ready(Some(names.join(", ")), Grammar::call(vocabulary, &calls))?;
                // A control token is in no grammar: such a call is not written where an answer is held to a form.
                let opens = shape.opens.text();
                let either = |(answer, opens)| {
                    ready(None, Grammar::call_or_answer(vocabulary, (opens, &calls), answer))
                };
                (Some(call), answer.zip(opens).map(either).transpose()?)
            }
        };
        Ok(Forms {
            arguments: tools.iter().map(arguments).collect::<Result<_, _>>()?,
            call,
            either,
            answer: answer.map(|schema| ready(None, Grammar::json_schema(vocabulary, schema))).transpose()?,
            names,
            shape: shape.clone(),
        })
    }

    /// The call that a text is; of one that was cut within the name, the first that it may be.
    fn named(&self, text: &str, (from, cut): (u32, Option<u32>)) -> Option<Written> {
        let calls = calls(&self.shape, &[]);
        let text = text.trim_start();
        let begins: Vec<String> =
            self.names.iter().map(|name| calls.begin(name).trim_start().to_owned()).collect();
        if cut.is_some() {
            let tool = begins.iter().position(|begin| text.starts_with(begin) || begin.starts_with(text))?;
            let arguments = text.strip_prefix(&begins[tool]).unwrap_or_default().to_owned();
            return Some(Written { tool, arguments, cut, from });
        }
        let written = |(tool, begin): (usize, &String)| {
            let arguments = text.strip_prefix(begin)?.strip_suffix(calls.after)?;
            let arguments: Value = serde_json::from_str(arguments).ok()?;
            Some(Written { tool, arguments: arguments.to_string(), cut, from })
        };
        begins.iter().enumerate().find_map(written)
    }
}

/// Calls of these in a shape, as grammars have it.
fn calls<'a>(shape: &'a CallShape, of: &'a [Callable<'a>]) -> Calls<'a> {
    Calls { before: &shape.before, between: &shape.between, after: &shape.after, of }
}

/// A form that cannot be had.
#[derive(Debug)]
pub struct FormError {
    /// Whose it is: a tool's name, or `None` for the answer's.
    pub tool: Option<String>,
    /// What is wrong with it.
    pub error: GrammarError,
}

impl std::fmt::Display for FormError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tool {
            Some(tool) => write!(f, "the arguments of the tool {tool}: {}", self.error),
            None => write!(f, "the form of the answer: {}", self.error),
        }
    }
}

impl std::error::Error for FormError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What an agent has come to with what it has said in a form.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// A call is whole, or was cut.
    Call(Written),
    /// Behind a call, another one begins.
    Another,
    /// Behind a call, it has ended.
    Closed,
}

/// All agents that call tools or answer in a form.
#[derive(Default)]
pub struct Callers {
    vocabulary: Option<Vocabulary>,
    forms: Vec<Option<Arc<Forms>>>,
    /// All forms, with what they were made of: agents with the same tools and the same answers share theirs.
    made: Vec<(Vec<Descriptor>, Option<Value>, Arc<Forms>)>,
    /// What comes behind a call: its end, and maybe the beginning of another one. `None` where nobody calls.
    closing: Option<Grammar>,
    /// The answers that are held to a form.
    seats: Vec<Option<Seat>>,
    /// Who has written a call, and closes it.
    closes: Vec<bool>,
    /// Who has said something since it was last found out what may come next.
    due: Vec<usize>,
    crew: Crew,
    /// Who lives in a slot of the kernel, by the index in the team.
    members: Vec<Option<(AgentId, usize)>>,
}

impl Callers {
    /// For a team of so many agents, on a model with these tokens.
    pub fn new(agents: usize, vocabulary: Vocabulary, crew: Crew) -> Callers {
        Callers {
            vocabulary: Some(vocabulary),
            forms: (0..agents).map(|_| None).collect(),
            made: Vec::new(),
            closing: None,
            seats: (0..agents).map(|_| None).collect(),
            closes: vec![false; agents],
            due: Vec::with_capacity(agents),
            crew,
            members: Vec::new(),
        }
    }

    /// Makes the forms of an agent ready: of its tools, which it calls in this shape, and of its answer.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn enrol<'d>(
        &mut self,
        member: usize,
        (tools, shape): (impl Iterator<Item = &'d Descriptor>, &CallShape),
        answer: Option<&Value>,
    ) -> Result<(), FormError> {
        let Some(vocabulary) = &self.vocabulary else { return Ok(()) };
        let tools: Vec<Descriptor> = tools.cloned().collect();
        if !tools.is_empty() && self.closing.is_none() {
            self.closing = Some(closing(vocabulary)?);
        }
        let same = |(of, form, forms): &&(Vec<Descriptor>, Option<Value>, Arc<Forms>)| {
            *of == tools && forms.shape == *shape && form.as_ref() == answer
        };
        let forms = match self.made.iter().find(same) {
            Some((.., forms)) => Arc::clone(forms),
            None => {
                let forms = Arc::new(Forms::new(vocabulary, (&tools, shape), answer)?);
                self.made.push((tools, answer.cloned(), Arc::clone(&forms)));
                forms
            }
        };
        self.forms[member] = Some(forms);
        Ok(())
    }

    /// An agent has a slot of the kernel from now on.
    pub fn settle(&mut self, agent: AgentId, member: usize) {
        let slot = usize::from(agent.index);
        if self.members.len() <= slot {
            self.members.resize(slot + 1, None);
        }
        self.members[slot] = Some((agent, member));
    }

    /// An agent is over: nothing is kept of the form that it was held to.
    pub fn leave(&mut self, member: usize) {
        if let Some(seat) = self.seats.get_mut(member) {
            *seat = None;
        }
    }

    /// Holds an agent to the form of its stage from here on: `said` are the tokens that it has said in it.
    ///
    /// # Errors
    /// [`MatchError`]: what it has said is not of the form.
    pub fn hold(&mut self, member: usize, stage: &Stage, said: &[u32]) -> Result<(), MatchError> {
        self.hold_behind(member, stage, "", said)
    }

    /// [`Callers::hold`], where the token before has the beginning of the form in it.
    ///
    /// # Errors
    /// As [`Callers::hold`].
    pub fn hold_behind(
        &mut self,
        member: usize,
        stage: &Stage,
        begun: &str,
        said: &[u32],
    ) -> Result<(), MatchError> {
        let forms = self.forms[member].as_ref();
        let grammar = match stage {
            Stage::Writing { tool: Some(tool), .. } => forms.and_then(|forms| forms.arguments.get(*tool)),
            Stage::Writing { tool: None, .. } => forms.and_then(|forms| forms.call.as_ref()),
            Stage::Deciding { .. } => forms.and_then(|forms| forms.either.as_ref()),
            Stage::Answering { .. } => forms.and_then(|forms| forms.answer.as_ref()),
            Stage::Closing { .. } => self.closing.as_ref(),
            Stage::Free | Stage::Calling(_) | Stage::Done => None,
        };
        self.closes[member] = matches!(stage, Stage::Closing { .. });
        self.seats[member] = None;
        let Some(grammar) = grammar else { return Ok(()) };
        let mut matcher = grammar.matcher();
        matcher.accept_text(begun)?;
        said.iter().try_for_each(|&token| matcher.accept(token))?;
        self.seats[member] = Some(Seat::begin(matcher, &self.crew));
        Ok(())
    }

    /// An agent has said a token, whose text is `text`; `from` is where its context goes on behind it, and a call that
    /// begins there may take `most` tokens. The stage goes on with what it says. Whether a call is whole with it, [`Callers::settled`] tells.
    ///
    /// # Errors
    /// [`MatchError`]: a form cannot be held to.
    pub fn said(
        &mut self,
        member: usize,
        caller: &mut Caller,
        (token, text): (u32, &str),
        (from, most): (u32, u32),
    ) -> Result<(), MatchError> {
        match caller.stage {
            Stage::Writing { .. }
            | Stage::Deciding { .. }
            | Stage::Closing { .. }
            | Stage::Answering { .. } => {
                if let Some(seat) = &mut self.seats[member] {
                    seat.say(token);
                    self.due.push(member);
                }
                Ok(())
            }
            Stage::Free => {
                let Some(forms) = self.forms[member].as_ref().map(Arc::clone) else { return Ok(()) };
                let Some(begun) = begun(&forms.shape.opens, &mut caller.tail, (token, text)) else {
                    return Ok(());
                };
                let stage = Stage::Writing { tool: None, from, most };
                match self.hold_behind(member, &stage, &begun, &[]) {
                    // What only begins like a call is said freely.
                    Err(MatchError::Token { .. }) => caller.tail = begun,
                    Err(error) => return Err(error),
                    Ok(()) => (caller.stage, caller.tail) = (stage, begun),
                }
                Ok(())
            }
            Stage::Calling(_) | Stage::Done => Ok(()),
        }
    }

    /// What an agent has come to with the token that it has said last, or with those that it is held with: a call that
    /// is whole, or has all the tokens that it may take; or what comes behind one. `begun` is what of the call the token
    /// before it has, `log` is its context, and `decode` makes text of tokens.
    ///
    /// # Errors
    /// [`MatchError`], from a guard that was not asked.
    pub fn settled(
        &mut self,
        member: usize,
        (stage, begun): (&Stage, &str),
        log: &[u32],
        decode: &dyn Fn(&[u32]) -> String,
    ) -> Result<Option<Settled>, MatchError> {
        let Some(seat) = &self.seats[member] else { return Ok(None) };
        let whole = seat.taken()?;
        if let Stage::Closing { from } = *stage {
            if !seat.is_over() {
                return Ok(None);
            }
            self.seats[member] = None;
            let said = decode(&log[(from as usize).min(log.len())..]);
            return Ok(Some(if said.contains(words::OPENS) { Settled::Another } else { Settled::Closed }));
        }
        let (Stage::Writing { from, most, .. } | Stage::Deciding { from, most }) = *stage else {
            return Ok(None);
        };
        let said = &log[(from as usize).min(log.len())..];
        let cut = (!whole).then_some(most);
        if cut.is_some() && said.len() < most as usize {
            return Ok(None);
        }
        let decides = matches!(stage, Stage::Deciding { .. });
        let Some(forms) = &self.forms[member] else { return Ok(None) };
        let opens = forms.shape.opens.text().filter(|_| decides).unwrap_or_default();
        // What does not open a call there is its answer, however long it is.
        if !decode(&said[..said.len().min(opens.len())]).starts_with(opens) {
            return Ok(None);
        }
        let text = [begun, &decode(said)].concat();
        let written = match *stage {
            Stage::Writing { tool: Some(tool), .. } => Some(Written { tool, arguments: text, cut, from }),
            _ => forms.named(text.strip_prefix(opens).unwrap_or(&text), (from, cut)),
        };
        self.seats[member] = None;
        Ok(written.map(Settled::Call))
    }

    /// What has become of what an agent has said in a form, in the stage in which it ends.
    pub fn form(&self, member: usize, stage: &Stage) -> Option<Form> {
        match stage {
            Stage::Writing { .. } | Stage::Closing { .. } => Some(Form::Unfinished),
            Stage::Deciding { .. } | Stage::Answering { .. } => {
                let whole = self.seats[member].as_ref().is_some_and(|seat| seat.taken() == Ok(true));
                Some(if whole { Form::Whole } else { Form::Unfinished })
            }
            Stage::Free | Stage::Calling(_) | Stage::Done => None,
        }
    }

    /// Has the crew find out what those may say next who have said something: the last first, as the run itself comes
    /// from the other end.
    pub fn find_next(&mut self) {
        for member in self.due.drain(..).rev() {
            if let Some(seat) = &self.seats[member] {
                seat.find_next(&self.crew);
            }
        }
    }

    /// Whether masks can be found while the device computes: by the run where that has nothing to do with it, else by
    /// the crew.
    fn can_find(&self, late: LateMasks) -> bool {
        match late {
            LateMasks::Refused => false,
            LateMasks::InPoll => self.crew.has_processors(),
            LateMasks::Beside => true,
        }
    }
}

/// What comes behind a call in words. A model that wants no other one ends there.
fn closing(vocabulary: &Vocabulary) -> Result<Grammar, FormError> {
    let another = ["", "\n"].map(|between| [words::CLOSES, between, words::OPENS].concat());
    let choices = [words::CLOSES, &another[0], &another[1]];
    let mut grammar =
        Grammar::choice(vocabulary, &choices).map_err(|error| FormError { tool: None, error })?;
    grammar.rehearse();
    Ok(grammar)
}

impl Callers {
    /// The form that an agent of the kernel is held to, and whose it is.
    fn seat(&self, agent: AgentId) -> Option<(usize, &Seat)> {
        let (id, member) = (*self.members.get(usize::from(agent.index))?)?;
        self.seats[member].as_ref().filter(|_| id == agent).map(|seat| (member, seat))
    }
}

impl Guard for Callers {
    fn ends(&self, agent: AgentId) -> bool {
        // Behind a call, the token that ends what it says is taken as such by who makes the call.
        !self.seat(agent).is_some_and(|(member, _)| self.closes[member])
    }

    fn next(&mut self, agent: AgentId, mask: &mut [u32], late: LateMasks) -> Allowed {
        let Some((_, seat)) = self.seat(agent) else { return Allowed::Anything };
        let found = if self.can_find(late) { seat.found(mask) } else { Some(seat.mask(mask)) };
        match found {
            None => Allowed::Later,
            Some(Ok(())) => Allowed::Masked,
            // What fails here fails again with the next token, where it is told.
            Some(Err(_)) => Allowed::Anything,
        }
    }
}
