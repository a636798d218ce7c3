//! The tools that a grant names, built in one go.

#![cfg(unix)]

mod rig;

use std::sync::Arc;
use std::time::SystemTime;

use agentos_tools::grant::{Arguments, CommandGrant, Grant, GrantError, RootGrant};
use agentos_tools::http::HttpLimits;
use agentos_tools::run::{RunLimits, Warden};
use agentos_tools::toolbox::{Means, NAMES, ToolboxError, toolbox};
use agentos_tools::{Effect, Registry};
use rig::pool;

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
