//! A person at a terminal: questions, and Ctrl-C once and twice.
#![cfg(target_os = "linux")]

mod cli_support;
mod team_support;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

use cli_support::{Desk, Ran, Tiny};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use team_support::Lines;

/// A run at a terminal, and who sits there.
struct Seat {
    child: Child,
    keyboard: File,
    errors: ChildStderr,
    /// What was told there so far.
    told: String,
}

impl Seat {
    fn start(desk: &Desk, arguments: &[&str]) -> Seat {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let mut command = desk.team_command(TEAM, &[&["--json"], arguments].concat());
        command.stdin(Stdio::from(terminal)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let errors = child.stderr.take().unwrap();
        Seat { child, keyboard: File::from(master), errors, told: String::new() }
    }

    /// Waits until something is told that was not told before.
    fn until(&mut self, words: &str) {
        let mut byte = [0];
        let from = self.told.len();
        while !self.told[from..].contains(words) {
            assert_eq!(self.errors.read(&mut byte).unwrap(), 1, "it never came: {}", self.told);
            self.told.push(char::from(byte[0]));
        }
    }

    fn enter(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What a terminal sends for Ctrl-C.
    fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn end(mut self) -> (Option<i32>, Lines, String) {
        let output = self.child.wait_with_output().unwrap();
        self.errors.read_to_string(&mut self.told).unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), Lines::of(&Ran { code: 0, stdout, stderr: self.told.clone() }), self.told)
    }
}

/// Its keeper asks a person, and does nothing until somebody answers.
const TEAM: &str = "[[agent]]\nname = \"keeper\"\nprompt = \"How warm is it?\"\nmax_tokens = 60\n\
                    tools = { use = [\"ask_human\"], calls = 1 }\n";

fn desk() -> Desk {
    let byte = u32::from;
    let script = vec![(byte(b'"'), byte(b'?'), 9.0), (byte(b'?'), byte(b'"'), 9.0)];
    Desk::new(&Tiny { context: 2048, script, ..Tiny::default() }.gguf())
}

fn result(lines: &Lines) -> String {
    lines.one("tool_result", "keeper")["text"].as_str().unwrap().to_owned()
}

#[test]
fn an_interruption_pauses_until_the_person_goes_on() {
    let desk = desk();
    let mut seat = Seat::start(&desk, &[]);
    seat.until("keeper asks: ?");
    seat.interrupt();
    seat.until("Paused.");
    seat.enter("Be brief.");
    // It was being asked, and is asked again.
    seat.until("keeper asks: ?");
    seat.enter("warm");
    let (code, lines, told) = seat.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(result(&lines).contains("warm"), "{}", result(&lines));
    assert!(!lines.events("message").is_empty(), "what was said to all came to the keeper");
}

#[test]
fn a_line_that_was_begun_for_one_question_answers_no_other() {
    let desk = desk();
    let mut seat = Seat::start(&desk, &[]);
    seat.until("keeper asks: ?");
    seat.keyboard.write_all(b"cold").unwrap();
    seat.interrupt();
    seat.until("Paused.");
    // Nothing is said to all.
    seat.enter("");
    seat.until("keeper asks: ?");
    seat.enter("warm");
    let (code, lines, told) = seat.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(lines.events("message").is_empty(), "what was meant for the keeper was said to all");
    assert!(result(&lines).contains("warm") && !result(&lines).contains("cold"), "{}", result(&lines));
}

#[test]
fn a_second_interruption_ends_the_run_with_a_checkpoint_that_goes_on() {
    let desk = desk();
    let file = desk.path("kept");
    let file = file.to_str().unwrap();
    let mut seat = Seat::start(&desk, &["--checkpoint", file, "--checkpoint-every", "100000"]);
    seat.until("keeper asks: ?");
    seat.interrupt();
    seat.until("Paused.");
    seat.interrupt();
    let (code, lines, told) = seat.end();
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains("goes on"), "{told}");
    assert_eq!(lines.agent("keeper")["reason"], "unfinished");
    let mut seat = Seat::start(&desk, &["--restore", file]);
    seat.until("keeper asks: ?");
    seat.enter("warm");
    let (code, lines, told) = seat.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(result(&lines).contains("warm"), "{}", result(&lines));
}
