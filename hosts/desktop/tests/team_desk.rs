//! The desk at which calls are made, with tools that are busy and people who take their time.

mod cli_support;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::thread::ThreadId;
use std::time::Duration;

use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team::people::Asking;
use agentos_desktop::team::tools::{
    Aligner, Asked, Choose, Crew, Desk, Errands, Finished, Person, Place, Reception, Terms,
};
use agentos_hal::{CallNumber, Output, Peripheral, PeripheralError};
use agentos_kernel::tool::{Bus, CallOutcome};
use agentos_perception::ControlStrings;
use agentos_tools::{Access, Descriptor, Effect, Registry, Tool, Urgency};
use serde_json::json;

/// A tool that is busy so many times, and then does it.
struct Busy(u32);

impl Peripheral for Busy {
    fn start(&mut self, _: CallNumber, _: &[u8], _: &mut Output<'_>) -> Result<(), PeripheralError> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Err(PeripheralError::Busy)
            }
            None => Ok(()),
        }
    }

    fn poll(&mut self, _: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        Poll::Ready(output.write_all(b"It is done.").map_err(|_| PeripheralError::Output))
    }

    fn cancel(&mut self, _: CallNumber) {}
}

/// Somebody who says this at once.
struct Says(&'static str);

impl Person for Says {
    fn is_there(&self) -> bool {
        true
    }

    fn ask(&mut self, _: &str) {}

    fn tell(&mut self, _: &str) {}

    fn answer(&mut self) -> Poll<Option<String>> {
        Poll::Ready(Some(self.0.to_owned()))
    }
}

fn aligner() -> Arc<Aligner> {
    let desk = cli_support::Desk::tiny();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let tokenizer = Arc::new(model::tokenizer(&desk.model(), &vocabulary, file.model.shape.vocab).unwrap());
    let controls = ControlStrings::new(["<|im_end|>"]).unwrap();
    Arc::new(Aligner { tokenizer, controls, taken: String::new() })
}

/// A desk with one tool that is busy, and a call of it that a person has to agree to.
fn asked(busy: u32, says: &'static str, crew: Crew) -> Desk {
    let (agent, tool) = ("ann".to_owned(), "slow".to_owned());
    let asking = Asking::Approval { agent, tool, arguments: "{}".to_owned(), again: false };
    desk(Box::new(Busy(busy)), says, Some(asking), crew, Errands::default())
}

/// A desk with one tool and a call of it, of which a person is asked this.
fn desk(
    peripheral: Box<dyn Peripheral + Send>,
    says: &'static str,
    question: Option<Asking>,
    crew: Crew,
    errands: Errands,
) -> Desk {
    let descriptor = Descriptor {
        name: "slow".to_owned(),
        description: "Does it.".to_owned(),
        arguments: json!({ "type": "object" }),
        output: None,
        access: Access::None,
        effect: Effect::Irreversible,
        urgency: Urgency::High,
        timeout: Duration::from_secs(60),
        attempts: 1,
        output_bytes: 1000,
        output_tokens: 200,
        examples: Vec::new(),
    };
    let mut registry = Registry::new();
    registry.add(Tool { descriptor, peripheral }).unwrap();
    let reception = Reception::new(Box::new(Says(says)), None);
    let mut desk = Desk::new(vec![registry], vec![Some(0)], reception, None, errands, crew);
    let tool = desk.known(0, 0).unwrap().clone();
    let terms = Terms {
        aligner: aligner(),
        tool,
        source: "docs/a.txt".to_owned(),
        about: "x".to_owned(),
        reminder: "x".to_owned(),
        caller: Choose::Likeness,
        room: 200,
        reads: 0,
        repairable: false,
        nth: 0,
        place: Place::Only,
        then: None,
        format: None,
    };
    desk.take_in(
        1,
        Asked {
            member: 0,
            name: "ann".to_owned(),
            from: 0,
            tool: 0,
            arguments: "{}".to_owned(),
            question,
            nth: 0,
            refusal: None,
            terms,
        },
        None,
    );
    desk
}

fn finish(desk: &mut Desk) -> Result<(), PeripheralError> {
    for _ in 0..100 {
        match desk.start(CallNumber(1)) {
            Err(PeripheralError::Busy) => continue,
            started => started?,
        }
        if let Poll::Ready(result) = desk.poll(CallNumber(1)) {
            return result;
        }
    }
    panic!("it is never over");
}

fn given(desk: &mut Desk, outcome: CallOutcome) -> Finished {
    loop {
        match desk.give_out(1, outcome) {
            Poll::Ready(finished) => return finished.expect("it was asked for"),
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_call_that_was_agreed_to_waits_for_a_tool_that_is_busy() {
    for crew in [Crew::new(), Crew::default()] {
        let mut desk = asked(5, "y", crew);
        assert_eq!(finish(&mut desk), Ok(()));
        let finished = given(&mut desk, CallOutcome::Done);
        assert!(finished.aligned.text.ends_with("It is done."), "{}", finished.aligned.text);
        assert!(finished.aligned.text.contains("from \"docs/a.txt\""), "{}", finished.aligned.text);
        assert!(finished.aligned.next.contains(&finished.aligned.text));
        assert!(!finished.aligned.tokens.is_empty());
        assert!(matches!(desk.give_out(1, CallOutcome::Done), Poll::Ready(None)), "once");
    }
}

#[test]
fn what_is_aligned_is_what_the_kernel_says_came_of_it() {
    let mut desk = asked(0, "no", Crew::new());
    assert_eq!(finish(&mut desk), Err(PeripheralError::Refused));
    let finished = given(&mut desk, CallOutcome::Refused);
    assert!(finished.aligned.text.contains("a person was asked, and refused the call"));
    // The tool has done it, and the kernel gave it up: the agent reads that.
    let mut desk = asked(0, "y", Crew::new());
    assert_eq!(finish(&mut desk), Ok(()));
    let finished = given(&mut desk, CallOutcome::TimedOut);
    assert!(finished.aligned.text.contains("failed"), "{}", finished.aligned.text);
}

/// A tool that is done at once, and tells on which thread it is looked at.
struct Watched(Sender<ThreadId>);

impl Peripheral for Watched {
    fn start(&mut self, _: CallNumber, _: &[u8], _: &mut Output<'_>) -> Result<(), PeripheralError> {
        Ok(())
    }

    fn poll(&mut self, _: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        self.0.send(std::thread::current().id()).unwrap();
        Poll::Ready(output.write_all(b"It is done.").map_err(|_| PeripheralError::Output))
    }

    fn cancel(&mut self, _: CallNumber) {}
}

#[test]
fn what_a_tool_gave_is_taken_when_it_rings_and_not_only_when_the_kernel_looks() {
    let (looked, looks) = channel();
    let errands = Errands::default();
    let mut desk = desk(Box::new(Watched(looked)), "", None, Crew::new(), errands.clone());
    errands.bell.ring();
    desk.start(CallNumber(1)).unwrap();
    let rings = std::thread::spawn({
        let bell = errands.bell.clone();
        move || bell.ring()
    });
    let by = looks.recv_timeout(Duration::from_secs(60)).expect("it is looked at once it was begun");
    assert_eq!(by, rings.thread().id());
    rings.join().unwrap();
    assert_eq!(desk.poll(CallNumber(1)), Poll::Ready(Ok(())));
    let finished = given(&mut desk, CallOutcome::Done);
    assert!(finished.aligned.text.ends_with("It is done."), "{}", finished.aligned.text);
    assert!(looks.try_recv().is_err(), "once");
    // Nobody is there any more who hears it.
    drop(desk);
    errands.bell.ring();
}

#[test]
fn a_call_that_was_given_up_is_looked_at_no_more() {
    let (looked, looks) = channel();
    let errands = Errands::default();
    let mut desk = desk(Box::new(Watched(looked)), "", None, Crew::default(), errands.clone());
    desk.start(CallNumber(1)).unwrap();
    desk.cancel(CallNumber(1));
    errands.bell.ring();
    assert!(looks.try_recv().is_err());
    let finished = given(&mut desk, CallOutcome::TimedOut);
    assert!(finished.aligned.text.contains("no result within 60 s"), "{}", finished.aligned.text);
}

/// A tool that is never done, and tells which calls it is to give up.
struct Endless(Sender<CallNumber>);

impl Peripheral for Endless {
    fn start(&mut self, _: CallNumber, _: &[u8], _: &mut Output<'_>) -> Result<(), PeripheralError> {
        Ok(())
    }

    fn poll(&mut self, _: CallNumber, _: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        Poll::Pending
    }

    fn cancel(&mut self, call: CallNumber) {
        self.0.send(call).unwrap();
    }
}

#[test]
fn what_the_tools_have_of_an_agent_that_is_over_they_give_up() {
    let (given_up, gives_up) = channel();
    let mut desk = desk(Box::new(Endless(given_up)), "", None, Crew::default(), Errands::default());
    desk.start(CallNumber(1)).unwrap();
    desk.forget(1);
    assert!(gives_up.try_recv().is_err(), "it is the call of another agent");
    desk.forget(0);
    // The kernel names it later.
    desk.cancel(CallNumber(1));
    assert_eq!(gives_up.try_iter().collect::<Vec<_>>(), [CallNumber(1)]);
    assert!(matches!(desk.give_out(1, CallOutcome::Gone), Poll::Ready(None)));
}
