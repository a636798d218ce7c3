//! Ctrl-C while `agentos generate` works.
#![cfg(unix)]

mod cli_support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};

use cli_support::{Desk, Tiny};

/// A model that goes on for minutes.
fn desk() -> Desk {
    Desk::new(&Tiny { context: 1 << 20, ..Tiny::default() }.gguf())
}

fn start(desk: &Desk, more: &[&str]) -> Child {
    let mut command = desk.command(["generate", "--raw", "--prompt", "x", "--ctx", "200000"]);
    command.args(["--max-tokens", "200000", "--backend", "reference", "--model"]);
    command.arg(desk.model()).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// How it ended, and what it told on standard error.
fn end(mut child: Child) -> (ExitStatus, String) {
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (child.wait().unwrap(), errors)
}

#[test]
fn an_interrupted_text_ends_with_its_line() {
    let desk = desk();
    let mut child = start(&desk, &[]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let first = output.fill_buf().unwrap().to_vec();
    assert!(!first.is_empty(), "the text comes token by token");
    interrupt(&child);
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    let (status, errors) = end(child);
    assert_eq!(status.code(), Some(130), "{errors}");
    assert_eq!(errors, "");
    assert_eq!(text.last(), Some(&b'\n'));
    // What was printed is whole.
    assert!(String::from_utf8(text).is_ok());
}

/// Whether it takes the signal instead of being ended by it.
#[cfg(target_os = "linux")]
fn is_listening(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    // Bit 0 is signal 1.
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << 1 != 0
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_object_is_not_printed() {
    let desk = desk();
    let mut child = start(&desk, &["--json"]);
    while !is_listening(&child) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    interrupt(&child);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let (status, errors) = end(child);
    assert_eq!(status.code(), Some(130), "{errors}");
    assert_eq!((text.as_str(), errors.as_str()), ("", ""));
}
