//! Those who can be asked, and all who want something of them.

use std::collections::VecDeque;
use std::task::Poll;

use agentos_hal::CallNumber;
use agentos_tools::{Requests, ToolFailure};

use super::person::{Nobody, Person};
use super::spoken::{Reply, Spoken};
use crate::team::people::{Asking, Board};

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

/// Keeps what people are asked. Whoever sits at the terminal is asked one thing after the other, those who answer
/// over HTTP see all of it; who answers first is heard.
pub struct Reception {
    person: Box<dyn Person>,
    board: Option<Board>,
    /// What is asked, in the order in which it is put to the person at the terminal.
    open: VecDeque<Put>,
    /// What that person is being asked about.
    asking: Option<Matter>,
    /// What has become of questions since it was last told.
    spoken: Vec<Spoken>,
}

/// Something that is asked.
struct Put {
    matter: Matter,
    asking: Asking,
    /// Its number on the board.
    posted: Option<u64>,
}

impl Reception {
    /// Before a person, and those who answer on a board.
    pub fn new(person: Box<dyn Person>, board: Option<Board>) -> Reception {
        Reception { person, board, open: VecDeque::new(), asking: None, spoken: Vec::new() }
    }

    /// Whether anybody is there at all.
    pub fn is_open(&self) -> bool {
        self.person.is_there() || self.board.is_some()
    }

    /// Whether somebody sits at the terminal.
    pub fn has_terminal(&self) -> bool {
        self.person.is_there()
    }

    /// Asks about a matter, unless that is asked already. A pause comes before all else.
    pub fn ask(&mut self, matter: Matter, asking: Asking) {
        if self.asks(matter) {
            return;
        }
        let posted = self.board.as_ref().map(|board| board.post(asking.clone()));
        self.spoken.push(Spoken { matter, asking: asking.clone(), reply: Reply::Awaited });
        let put = Put { matter, asking, posted };
        if matter == Matter::Pause {
            self.open.push_front(put);
            // What was being asked is asked again afterwards.
            self.asking = None;
        } else {
            self.open.push_back(put);
        }
        self.go_on();
    }

    /// What was answered; `None`: nobody answers, now or ever. What is not asked is not answered either.
    pub fn answer(&mut self, matter: Matter) -> Poll<Option<String>> {
        let Some(put) = self.open.iter().find(|put| put.matter == matter) else { return Poll::Pending };
        let on_board = put.posted.zip(self.board.as_ref()).and_then(|(id, board)| board.take(id));
        if let Some(answer) = on_board {
            if self.asking == Some(matter) {
                self.person.tell("(answered over HTTP)");
            }
            self.close(matter, Reply::Answered(answer.clone()));
            return Poll::Ready(Some(answer));
        }
        self.go_on();
        if self.asking == Some(matter)
            && let Poll::Ready(answer) = self.person.answer()
        {
            if let Some(answer) = answer {
                self.close(matter, Reply::Answered(answer.clone()));
                return Poll::Ready(Some(answer));
            }
            self.person = Box::new(Nobody);
            self.asking = None;
        }
        if self.is_open() {
            return Poll::Pending;
        }
        self.close(matter, Reply::Nobody);
        Poll::Ready(None)
    }

    /// Tells the person at the terminal something that is no question.
    pub fn tell(&mut self, text: &str) {
        self.person.tell(text);
    }

    /// Whether a matter is asked about.
    pub fn asks(&self, matter: Matter) -> bool {
        self.open.iter().any(|put| put.matter == matter)
    }

    /// Whether somebody has asked for a pause over HTTP.
    pub fn pause_is_wanted(&self) -> bool {
        self.board.as_ref().is_some_and(Board::wants_pause)
    }

    /// Answers the calls whose questions were answered, and asks those of further calls. `name` says who asks in a
    /// call.
    pub fn serve(&mut self, requests: &Requests, name: impl Fn(u64) -> String) {
        let asked = self.open.iter().filter_map(|put| match put.matter {
            Matter::Question(number) => Some(number),
            Matter::Consent(_) | Matter::Pause => None,
        });
        for number in asked.collect::<Vec<u64>>() {
            if let Poll::Ready(answer) = self.answer(Matter::Question(number)) {
                let gone = || ToolFailure::Refused("nobody is there any more to answer".to_owned());
                requests.answer(CallNumber(number), answer.map(String::into_bytes).ok_or_else(gone));
            }
        }
        while let Some(served) = requests.next() {
            let number = served.call.0;
            if self.is_open() {
                let question = served.arguments["question"].as_str().unwrap_or_default().to_owned();
                self.ask(Matter::Question(number), Asking::Question { agent: name(number), question });
            } else {
                let nobody = "nobody is there to be asked: this program has no terminal";
                requests.answer(served.call, Err(ToolFailure::Refused(nobody.to_owned())));
            }
        }
        self.go_on();
    }

    /// Nobody wants to know any more.
    pub fn withdraw(&mut self, matter: Matter) {
        self.close(matter, Reply::Withdrawn);
    }

    /// What has become of questions since this was last asked.
    pub fn spoken(&mut self) -> Vec<Spoken> {
        std::mem::take(&mut self.spoken)
    }

    fn close(&mut self, matter: Matter, reply: Reply) {
        let Some(at) = self.open.iter().position(|put| put.matter == matter) else { return };
        let Some(Put { asking, posted, .. }) = self.open.remove(at) else { return };
        if let Some((id, board)) = posted.zip(self.board.as_ref()) {
            board.close(id);
        }
        self.spoken.push(Spoken { matter, asking, reply });
        if self.asking == Some(matter) {
            self.asking = None;
        }
    }

    /// Puts the next thing to the person at the terminal, who is asked nothing.
    fn go_on(&mut self) {
        if self.asking.is_none()
            && self.person.is_there()
            && let Some(put) = self.open.front()
        {
            self.person.ask(&put.asking.text());
            self.asking = Some(put.matter);
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
        Rig { reception: Reception::new(Box::new(person), None), requests, tool, asked }
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
        rig.reception.ask(Matter::Pause, Asking::Pause);
        assert_eq!(rig.asked.lock().unwrap().len(), 2, "the person is free again");
    }

    #[test]
    fn where_nobody_is_the_call_is_refused() {
        let requests = Requests::default();
        let mut tool = ask_human(&requests).unwrap();
        let mut output = Collected::new(1000);
        tool.peripheral.start(CallNumber(1), br#"{"question":"Who?"}"#, &mut output).unwrap();
        Reception::new(Box::new(Nobody), None).serve(&requests, |_| String::new());
        let polled = tool.peripheral.poll(CallNumber(1), &mut output);
        assert_eq!(polled, Poll::Ready(Err(agentos_hal::PeripheralError::Refused)));
        assert!(output.text().starts_with("nobody is there to be asked"), "{}", output.text());
    }

    #[test]
    fn who_answers_first_is_heard() {
        let mut rig = rig(&[Some("from the terminal")]);
        let board = Board::default();
        rig.reception.board = Some(board.clone());
        rig.begin(1, "Which colour?");
        rig.begin(2, "How many?");
        rig.serve();
        let ids: Vec<u64> = board.shown()["questions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|question| question["id"].as_u64().unwrap())
            .collect();
        // The first is at the terminal, the second is answered meanwhile.
        board.answer(ids[1], "from afar".to_owned()).unwrap();
        rig.serve();
        assert_eq!(rig.poll(1), Poll::Ready((true, "from the terminal".to_owned())));
        assert_eq!(rig.poll(2), Poll::Ready((true, "from afar".to_owned())));
        assert!(board.answer(ids[0], "too late".to_owned()).is_err());
        assert_eq!(rig.asked.lock().unwrap().len(), 1, "the second was not put at the terminal");
    }

    #[test]
    fn who_answers_over_http_is_waited_for_when_the_terminal_is_gone() {
        let mut rig = rig(&[None]);
        let board = Board::default();
        rig.reception.board = Some(board.clone());
        rig.begin(1, "Which colour?");
        for _ in 0..3 {
            rig.serve();
            assert_eq!(rig.poll(1), Poll::Pending);
        }
        board.answer(1, "red".to_owned()).unwrap();
        rig.serve();
        assert_eq!(rig.poll(1), Poll::Ready((true, "red".to_owned())));
    }

    #[test]
    fn a_pause_comes_before_the_question_that_is_being_asked() {
        let mut rig = rig(&[]);
        rig.begin(1, "Which colour?");
        rig.serve();
        rig.reception.ask(Matter::Pause, Asking::Pause);
        rig.reception.withdraw(Matter::Pause);
        rig.serve();
        let asked = rig.asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        assert!(asked[1].starts_with("Paused") && asked[2] == asked[0], "{asked:?}");
    }
}
