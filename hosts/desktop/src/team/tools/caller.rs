//! How far an agent is with its calls: plain data, apart from the kernel, that a run can be stopped and
//! gone on with.

use serde::{Deserialize, Serialize};

use crate::team::prompt::Frame;
use crate::text::Message;

/// What an agent that may call tools is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// It says what it likes; a call may begin in it.
    Free,
    /// It writes a call, or its arguments, within a form, from an address of its context on.
    Writing {
        /// The tool, by its number at the desk; `None` where the call names it.
        tool: Option<usize>,
        /// The first address.
        from: u32,
        /// Tokens that it may take.
        most: u32,
    },
    /// It writes a call or else an answer of a declared form, from an address of its context on.
    Deciding {
        /// The first address.
        from: u32,
        /// Tokens that a call may take.
        most: u32,
    },
    /// It has written a call: behind what closes it, it writes another one or ends, from an address of its context on.
    Closing {
        /// The first address.
        from: u32,
    },
    /// It writes an answer of a declared form.
    Answering {
        /// The first address.
        from: u32,
    },
    /// It waits for the results of its calls, which come in this order.
    Calling(Vec<Open>),
    /// It has called and answers; no further call is offered.
    Done,
}

/// A call that an agent has written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The tool, by its number at the desk.
    pub tool: usize,
    /// Its arguments, as JSON; not to their end where it was cut.
    pub arguments: String,
    /// It was not whole when it had all the tokens that it may take: so many.
    pub cut: Option<u32>,
    /// The address of its context at which it begins.
    pub from: u32,
}

/// Which of the results of one turn a result is. They stand in one message, so that what begins and ends that stands
/// around all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The only one.
    Only,
    /// The first of several.
    First,
    /// One between others.
    Between,
    /// The last of several.
    Last,
}

impl Place {
    /// That of one among so many.
    pub const fn of(number: usize, count: usize) -> Place {
        match (number == 0, number + 1 == count) {
            (true, true) => Place::Only,
            (true, false) => Place::First,
            (false, false) => Place::Between,
            (false, true) => Place::Last,
        }
    }

    /// Whether the message begins with it.
    pub const fn begins(self) -> bool {
        matches!(self, Place::Only | Place::First)
    }

    /// Whether the message ends with it.
    pub const fn ends(self) -> bool {
        matches!(self, Place::Only | Place::Last)
    }
}

/// A call that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The kernel's number.
    pub number: u64,
    /// The tool, by its number at the desk.
    pub tool: usize,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// Calls that its agent had made before.
    pub nth: u32,
    /// Which result of its turn it will have.
    pub place: Place,
    /// Why its tool is not asked, where it is not.
    pub refusal: Option<String>,
    /// What the agent has answered that it asks, until that is read.
    pub answer: Option<String>,
    /// What its tool has given, where the run was kept while the model was to read that.
    pub given: Option<Vec<u8>>,
}

/// What became of words that were to keep to a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// They are of it.
    Whole,
    /// They end within it.
    Unfinished,
}

impl Form {
    /// The name in machine-readable output.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Whole => "whole",
            Form::Unfinished => "unfinished",
        }
    }
}

/// Tokens that a call may take of those that its agent may still say: a quarter is for its answer. One that goes on
/// without end would leave nothing of it.
pub const fn most_of_call(left: u32) -> u32 {
    match left - left.div_ceil(4) {
        0 => 1,
        most => most,
    }
}

/// Tokens that an agent needs to have left to write a further call behind one that is whole: to close that one, to end,
/// and to answer.
pub const ANOTHER_TOKENS: u32 = 64;

/// Tokens that stand around what an agent is told of its calls. They are the same whatever it calls, and counted before
/// it calls anything: when it does, its tool waits for none of that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Around {
    /// Around a result.
    pub result: u32,
    /// Around why an output was not of its form and another call is asked for, whichever of its tools it came from.
    pub repair: u32,
    /// Around a result with which the next call of its chain is asked for, by the calls before.
    pub next: Vec<u32>,
}

impl Around {
    /// The most that may stand around what comes of a call that may be asked for once more, and behind which another
    /// one of a chain is, as the call of that number.
    pub fn most(&self, is_repairable: bool, next: Option<usize>) -> u32 {
        let repair = if is_repairable { self.repair } else { 0 };
        let next = next.and_then(|number| self.next.get(number)).copied().unwrap_or(0);
        self.result.max(repair).max(next)
    }
}

/// How far an agent is with its calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caller {
    /// What it is doing.
    pub stage: Stage,
    /// The conversation before what it is saying now.
    pub said: Vec<Message>,
    /// What stands around what it is told next, where that is always the same.
    pub frame: Option<Frame>,
    /// What it was asked.
    pub request: String,
    /// What it is told again of that with each result.
    pub reminder: String,
    /// Tokens that stand around its results.
    pub around: Around,
    /// What it says freely, as long as a call may begin in it.
    pub tail: String,
    /// Calls of this turn that it has written and not made, in that order.
    pub written: Vec<Written>,
    /// It has closed its calls, and said the token that ends what it says.
    pub closed: bool,
    /// Calls of its chain that it has made, where its tools are chosen for it.
    pub step: u32,
    /// Calls that it has made.
    pub made: u32,
    /// Times that an output of a wrong form was told back.
    pub repairs: u8,
}

impl Caller {
    /// One that has said nothing yet.
    pub fn new(stage: Stage, said: Vec<Message>, frame: Option<Frame>, request: &str) -> Caller {
        let (reminder, tail) = (request.to_owned(), String::new());
        Caller {
            stage,
            said,
            frame,
            request: request.to_owned(),
            reminder,
            around: Around::default(),
            tail,
            written: Vec::new(),
            closed: false,
            step: 0,
            made: 0,
            repairs: 0,
        }
    }

    /// It is over: of what it was told nothing is needed any more.
    pub fn end(&mut self) {
        let (made, step, repairs) = (self.made, self.step, self.repairs);
        *self = Caller { made, step, repairs, ..Caller::new(Stage::Done, Vec::new(), None, "") };
    }
}

#[cfg(test)]
mod tests {
    use super::{Around, Place};

    #[test]
    fn around_a_result_stands_what_may_have_to_be_said_with_it() {
        let around = Around { result: 20, repair: 30, next: vec![40, 10] };
        assert_eq!([None, Some(0), Some(1), Some(2)].map(|next| around.most(false, next)), [20, 40, 20, 20]);
        assert_eq!([None, Some(0), Some(1)].map(|next| around.most(true, next)), [30, 40, 30]);
    }

    #[test]
    fn a_message_begins_and_ends_with_one_result_each() {
        for count in 1..5 {
            let places: Vec<Place> = (0..count).map(|number| Place::of(number, count)).collect();
            assert_eq!(places.iter().filter(|place| place.begins()).count(), 1);
            assert_eq!(places.iter().filter(|place| place.ends()).count(), 1);
            assert!(places[0].begins() && places[count - 1].ends());
        }
    }
}
