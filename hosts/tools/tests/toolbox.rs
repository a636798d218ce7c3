//! The tools that a grant names, built in one go.

#![cfg(unix)]

mod rig;

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use agentos_hal::{CallNumber, PeripheralError};
use agentos_tools::grant::{Arguments, CommandGrant, Grant, GrantError, RootGrant};
use agentos_tools::http::HttpLimits;
use agentos_tools::run::{RunLimits, Warden};
use agentos_tools::toolbox::{Means, NAMES, ToolboxError, toolbox};
use agentos_tools::{CallLimits, Collected, Effect, Registry};
use rig::{pool, until};
use serde_json::{Value, json};

fn means() -> Means {
    Means {
        pool: pool(),
        now: Arc::new(SystemTime::now),
        http: HttpLimits::default(),
        run: RunLimits::default(),
        warden: Warden { program: env!("CARGO_BIN_EXE_agentos-warden").into(), arguments: Vec::new() },
    }
}

fn names(registry: &Registry) -> Vec<&str> {
    registry.descriptors().map(|descriptor| descriptor.name.as_str()).collect()
}

#[test]
fn every_tool_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let grant = Grant {
        tools: NAMES.map(str::to_owned).to_vec(),
        roots: vec![RootGrant { name: "docs".to_owned(), folder: folder.path().to_owned() }],
        commands: vec![CommandGrant {
            name: "date".to_owned(),
            program: "/bin/date".into(),
            before: Vec::new(),
            arguments: Arguments::Any,
            folder: folder.path().to_owned(),
        }],
        hosts: vec!["example.org".parse().unwrap()],
        ..Grant::default()
    };
    let registry = toolbox(&grant, &means()).unwrap();
    assert_eq!(names(&registry), NAMES);
    for descriptor in registry.descriptors() {
        assert!(descriptor.examples.len() >= 3, "{}", descriptor.name);
        assert!(descriptor.attempts == 1 || descriptor.effect != Effect::Irreversible, "{}", descriptor.name);
        assert!(!descriptor.timeout.is_zero() && descriptor.output_bytes > 0, "{}", descriptor.name);
    }
}

#[test]
fn only_what_is_granted_is_built() {
    let grant = Grant { tools: vec!["clock".to_owned(), "memory".to_owned()], ..Grant::default() };
    assert_eq!(names(&toolbox(&grant, &means()).unwrap()), ["clock"]);
    assert_eq!(names(&toolbox(&Grant::default(), &means()).unwrap()), [""; 0]);
    let twice = Grant { tools: vec!["clock".to_owned(), "clock".to_owned()], ..Grant::default() };
    assert!(matches!(
        toolbox(&twice, &means()),
        Err(ToolboxError::Grant(GrantError::Twice { kind: "tool", .. }))
    ));
    let root = RootGrant { name: "docs".to_owned(), folder: "/nowhere/at/all".into() };
    let nowhere = Grant { roots: vec![root], ..Grant::default() };
    assert!(matches!(toolbox(&nowhere, &means()), Err(ToolboxError::Root(_))));
}

/// What an agent's calls may take is the less of what its grant says and what the tool would take by itself.
#[test]
fn calls_are_held_to_the_limits_of_their_grant() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long"), "0123456789abcde\n".repeat(1 << 10)).unwrap();
    let shell = CommandGrant {
        name: "sh".to_owned(),
        program: "/bin/sh".into(),
        before: vec!["-c".to_owned()],
        arguments: Arguments::Any,
        folder: folder.path().to_owned(),
    };
    let limited = |limits| {
        let grant = Grant {
            tools: ["clock", "http_get", "read_file", "run"].map(str::to_owned).to_vec(),
            roots: vec![RootGrant { name: "docs".to_owned(), folder: folder.path().to_owned() }],
            commands: vec![shell.clone()],
            hosts: vec!["example.org".parse().unwrap()],
            limits,
            ..Grant::default()
        };
        toolbox(&grant, &means()).unwrap()
    };
    let own = limited(CallLimits::NONE);
    let time = Duration::from_secs(2);
    let limits = CallLimits { time, output_bytes: 1 << 12, processes: 3, ..CallLimits::NONE };
    let mut held = limited(limits);
    for (own, held) in own.descriptors().zip(held.descriptors()) {
        assert_eq!(held.output_bytes, own.output_bytes.min(limits.output_bytes), "{}", held.name);
        // A command has this time, and its warden a while longer.
        assert!(held.timeout < own.timeout || held.name == "clock", "{}", held.name);
        assert!(held.timeout <= time || held.name == "run", "{}", held.name);
    }
    let mut call = |tool: &str, arguments: Value| {
        let number = held.find(tool).unwrap();
        let mut output = Collected::new(held.descriptor(number).unwrap().output_bytes);
        held.start(CallNumber(1), number, arguments.to_string().as_bytes(), &mut output).unwrap();
        let mut over = None;
        until(tool, || {
            over = match held.poll(CallNumber(1), &mut output) {
                Poll::Ready(result) => Some(result),
                Poll::Pending => None,
            };
            over.is_some()
        });
        (over.unwrap(), output.text())
    };
    let (result, text) = call("read_file", json!({ "path": "docs/long" }));
    assert_eq!((result, text.len()), (Err(PeripheralError::Output), 1 << 12));
    let mut script = |script: &str| {
        let (result, text) = call("run", json!({ "command": "sh", "arguments": [script] }));
        assert_eq!(result, Err(PeripheralError::Failed), "{text}");
        text
    };
    assert!(script("sleep 60").starts_with("sh took longer than 2s"));
    assert!(script("cat long").starts_with("sh wrote more than 4096 bytes"));
    assert!(
        script("for n in 1 2 3 4 5 6; do sleep 60 & done; wait").starts_with("sh had more than 3 processes")
    );
}

#[test]
fn a_grant_that_means_nothing_is_told() {
    let root = |name: &str, folder: &str| RootGrant { name: name.to_owned(), folder: folder.into() };
    let roots = |roots: &[RootGrant]| Grant { roots: roots.to_vec(), ..Grant::default() }.check();
    assert_eq!(roots(&[root("docs", "/a"), root("more docs", "/b")]), Ok(()));
    for name in ["", ".", "..", "a/b", "/", "a/", "a\\b", "a:", "a\n"] {
        assert_eq!(
            roots(&[root(name, "/a")]),
            Err(GrantError::RootName { name: name.to_owned() }),
            "{name:?}"
        );
    }
    let twice = Err(GrantError::Twice { kind: "root", name: "a".to_owned() });
    assert_eq!(roots(&[root("a", "/a"), root("a", "/b")]), twice);
    assert!(matches!(roots(&[root("a", "docs")]), Err(GrantError::Relative { .. })));
    let command = |program: &str, folder: &str| CommandGrant {
        name: "cat".to_owned(),
        program: program.into(),
        before: Vec::new(),
        arguments: Arguments::Any,
        folder: folder.into(),
    };
    let commands =
        |commands: &[CommandGrant]| Grant { commands: commands.to_vec(), ..Grant::default() }.check();
    assert_eq!(commands(&[command("/bin/cat", "/a")]), Ok(()));
    assert!(matches!(commands(&[command("cat", "/a")]), Err(GrantError::Relative { .. })));
    assert!(matches!(commands(&[command("/bin/cat", "a")]), Err(GrantError::Relative { .. })));
}
