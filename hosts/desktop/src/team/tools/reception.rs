//! The one person, and all who want something of them: one at a time.

use std::collections::VecDeque;
use std::task::Poll;

use agentos_hal::CallNumber;
use agentos_tools::{Requests, ToolFailure};

use super::person::Person;
use super::words;

/// What a person is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// Whether a call is to be made.
    Consent(u64),
    /// What a call asks of them.
    Question(u64),
    /// When everybody is to go on.
    Pause,
}

/// Lets one matter at a time before the person.
pub struct Reception {
    person: Box<dyn Person>,
    /// What the person is being asked about.
    asking: Option<Matter>,
    /// What calls ask of them next.
    questions: VecDeque<(u64, String)>,
}

impl Reception {
    /// Before a person.
    pub fn new(person: Box<dyn Person>) -> Reception {
        Reception { person, asking: None, questions: VecDeque::new() }
    }

    /// Whether anybody is there at all.
    pub fn is_open(&self) -> bool {
        self.person.is_there()
    }

    /// Asks about a matter, unless the person is being asked about another. Returns whether it was asked.
    pub fn ask(&mut self, matter: Matter, question: &str) -> bool {
        if self.asking.is_some() {
            return false;
        }
        self.person.ask(question);
        self.asking = Some(matter);
        true
    }

    /// What the person has answered; `None`: nobody answers, now or ever. What is not being asked is not
    /// answered either.
    pub fn answer(&mut self, matter: Matter) -> Poll<Option<String>> {
        if self.asking != Some(matter) {
            return Poll::Pending;
        }
        let answer = self.person.answer();
        if answer.is_ready() {
            self.asking = None;
        }
        answer
    }

    /// Tells the person something that is no question.
    pub fn tell(&mut self, text: &str) {
        self.person.tell(text);
    }

    /// Whether the person is being asked about a matter.
    pub fn asks(&self, matter: Matter) -> bool {
        self.asking == Some(matter)
    }

    /// Puts the questions of calls to the person, one after the other, and answers the calls. `name` says who
    /// asks in a call.
    pub fn serve(&mut self, requests: &Requests, name: impl Fn(u64) -> String) {
        while let Some(served) = requests.next() {
            let number = served.call.0;
            if self.is_open() {
                let question = served.arguments["question"].as_str().unwrap_or_default();
                self.questions.push_back((number, words::asks(&name(number), question)));
            } else {
                let nobody = "nobody is there to be asked: this program has no terminal";
                requests.answer(served.call, Err(ToolFailure::Refused(nobody.to_owned())));
            }
        }
        if let Some(matter @ Matter::Question(number)) = self.asking
            && let Poll::Ready(answer) = self.answer(matter)
        {
            let gone = || ToolFailure::Refused("nobody is there any more to answer".to_owned());
            requests.answer(CallNumber(number), answer.map(String::into_bytes).ok_or_else(gone));
        }
        if self.asking.is_none()
            && let Some((number, question)) = self.questions.pop_front()
        {
            self.ask(Matter::Question(number), &question);
        }
    }

    /// Nobody wants to know any more.
    pub fn withdraw(&mut self, matter: Matter) {
        if let Matter::Question(number) = matter {
            self.questions.retain(|(waiting, _)| *waiting != number);
        }
        if self.asking == Some(matter) {
            self.asking = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use agentos_tools::person::ask_human;
    use agentos_tools::{Collected, Tool};

    use super::*;

    /// Says one line after the other, and notes what was asked.
    struct Scripted {
        lines: VecDeque<Option<&'static str>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Person for Scripted {
        fn is_there(&self) -> bool {
            true
        }

        fn ask(&mut self, question: &str) {
            self.asked.lock().unwrap().push(question.to_owned());
        }

        fn tell(&mut self, _: &str) {}

        fn answer(&mut self) -> Poll<Option<String>> {
            match self.lines.pop_front() {
                Some(line) => Poll::Ready(line.map(str::to_owned)),
                None => Poll::Pending,
            }
        }
    }

    struct Rig {
        reception: Reception,
        requests: Requests,
        tool: Tool,
        asked: Arc<Mutex<Vec<String>>>,
    }

    fn rig(lines: &[Option<&'static str>]) -> Rig {
        let asked = Arc::default();
        let person = Scripted { lines: lines.iter().copied().collect(), asked: Arc::clone(&asked) };
        let requests = Requests::default();
        let tool = ask_human(&requests).unwrap();
        Rig { reception: Reception::new(Box::new(person)), requests, tool, asked }
    }

    impl Rig {
        fn begin(&mut self, number: u64, question: &str) {
            let arguments = serde_json::json!({ "question": question }).to_string();
            let mut output = Collected::new(1000);
            self.tool.peripheral.start(CallNumber(number), arguments.as_bytes(), &mut output).unwrap();
        }

        fn serve(&mut self) {
            self.reception.serve(&self.requests, |number| format!("agent {number}"));
        }

        fn poll(&mut self, number: u64) -> Poll<(bool, String)> {
            let mut output = Collected::new(1000);
            let polled = self.tool.peripheral.poll(CallNumber(number), &mut output);
            polled.map(|result| (result.is_ok(), output.text()))
        }
    }

    #[test]
    fn questions_are_put_one_after_the_other() {
        let mut rig = rig(&[Some("red"), Some("seven"), None]);
        for (number, question) in [(1, "Which colour?"), (2, "How many?\u{1b}[2J"), (3, "Still there?")] {
            rig.begin(number, question);
        }
        rig.serve();
        assert_eq!(*rig.asked.lock().unwrap(), ["agent 1 asks: Which colour?"]);
        assert_eq!(rig.poll(1), Poll::Pending, "it was put, and not answered");
        rig.serve();
        assert_eq!(rig.poll(1), Poll::Ready((true, "red".to_owned())));
        assert!(!rig.asked.lock().unwrap()[1].contains('\u{1b}'), "nothing steers the terminal");
        rig.serve();
        rig.serve();
        assert_eq!(rig.poll(2), Poll::Ready((true, "seven".to_owned())));
        assert_eq!(rig.poll(3), Poll::Ready((false, "nobody is there any more to answer".to_owned())));
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_not_put() {
        let mut rig = rig(&[]);
        rig.begin(1, "Now?");
        rig.begin(2, "Later?");
        rig.serve();
        for number in [1, 2] {
            rig.tool.peripheral.cancel(CallNumber(number));
            rig.reception.withdraw(Matter::Question(number));
        }
        rig.serve();
        assert_eq!(rig.asked.lock().unwrap().len(), 1);
        assert!(rig.reception.ask(Matter::Pause, "Paused."), "the person is free again");
    }

    #[test]
    fn where_nobody_is_the_call_is_refused() {
        let requests = Requests::default();
        let mut tool = ask_human(&requests).unwrap();
        let mut output = Collected::new(1000);
        tool.peripheral.start(CallNumber(1), br#"{"question":"Who?"}"#, &mut output).unwrap();
        Reception::new(Box::new(crate::team::tools::Nobody)).serve(&requests, |_| String::new());
        let polled = tool.peripheral.poll(CallNumber(1), &mut output);
        assert_eq!(polled, Poll::Ready(Err(agentos_hal::PeripheralError::Refused)));
        assert!(output.text().starts_with("nobody is there to be asked"), "{}", output.text());
    }
}
