//! A person who is asked.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::Poll;

/// Somebody who can be asked. One question at a time.
pub trait Person {
    /// Whether anybody is there at all.
    fn is_there(&self) -> bool;

    /// Asks a question.
    fn ask(&mut self, question: &str);

    /// Says something that wants no answer.
    fn tell(&mut self, text: &str);

    /// What came of the question that was asked last; `None`: nobody answers, now or ever.
    fn answer(&mut self) -> Poll<Option<String>>;
}

/// Nobody is there.
pub struct Nobody;

impl Person for Nobody {
    fn is_there(&self) -> bool {
        false
    }

    fn ask(&mut self, _: &str) {}

    fn tell(&mut self, _: &str) {}

    fn answer(&mut self) -> Poll<Option<String>> {
        Poll::Ready(None)
    }
}

/// Whoever sits at the terminal of this process, or nobody where it has none.
pub fn person() -> Box<dyn Person> {
    match Terminal::open() {
        Some(terminal) => Box::new(terminal),
        None => Box::new(Nobody),
    }
}

/// Whoever sits at the terminal: questions go to the standard error, answers are lines of the standard
/// input. What was typed before a question was asked, be it half a line, does not answer it.
pub struct Terminal {
    lines: Receiver<String>,
}

/// Bytes of a line that are taken.
const LINE: u64 = 1 << 16;

impl Terminal {
    /// The terminal of this process; `None` where its input is none, or the system has no thread to read it.
    pub fn open() -> Option<Terminal> {
        std::io::stdin()
            .is_terminal()
            .then(|| Terminal::reading(std::io::BufReader::new(std::io::stdin())))
            .flatten()
    }

    /// Reads answers from `input`.
    fn reading(input: impl BufRead + Send + 'static) -> Option<Terminal> {
        let (sender, lines) = channel();
        std::thread::Builder::new().name("person".to_owned()).spawn(move || read(input, &sender)).ok()?;
        Some(Terminal { lines })
    }
}

fn read(mut input: impl BufRead, sender: &Sender<String>) {
    loop {
        let mut line = Vec::new();
        let read = std::io::Read::take(&mut input, LINE).read_until(b'\n', &mut line);
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if !matches!(read, Ok(1..)) || sender.send(text).is_err() {
            return;
        }
    }
}

/// What was typed at the terminal and not read yet is gone.
#[cfg(unix)]
fn forget_typed() {
    // Where the input is no terminal, nothing was typed.
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
}

#[cfg(not(unix))]
fn forget_typed() {}

impl Person for Terminal {
    fn is_there(&self) -> bool {
        true
    }

    fn ask(&mut self, question: &str) {
        forget_typed();
        while self.lines.try_recv().is_ok() {}
        // Where nobody can be shown a question, nobody answers it either.
        let _ = write!(std::io::stderr(), "\n{question} ");
    }

    fn tell(&mut self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn answer(&mut self) -> Poll<Option<String>> {
        match self.lines.try_recv() {
            Ok(line) => Poll::Ready(Some(line)),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_answers_and_the_end_of_them_is_nobody() {
        let mut person = Terminal::reading(std::io::Cursor::new("yes\n  no way \n")).expect("a thread");
        let mut next = || loop {
            if let Poll::Ready(answer) = person.answer() {
                return answer;
            }
            std::thread::yield_now();
        };
        assert_eq!(next().as_deref(), Some("yes"));
        assert_eq!(next().as_deref(), Some("no way"));
        assert_eq!(next(), None);
    }
}
