//! Ways out of what was granted: each is refused, and the refusal says why and what would do.

#![cfg(unix)]

mod rig;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use agentos_hal::PeripheralError;
use agentos_tools::Tool;
use agentos_tools::files::{Roots, list_files, read_file, search_text};
use agentos_tools::grant::{Arguments, CommandGrant, Grant, RootGrant};
use agentos_tools::http::{HttpLimits, http_get};
use agentos_tools::run::{RunLimits, Warden, run};
use proptest::prelude::*;
use rig::{call, pool};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "the secret of the lighthouse";

/// A granted folder in one that is not, with links of every kind between them.
fn folders() -> (TempDir, Grant) {
    let around = tempfile::tempdir().unwrap();
    let outside = around.path().join("outside");
    let root = around.path().join("root");
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::create_dir(&outside).unwrap();
    // Its name begins as the root's does.
    fs::create_dir(around.path().join("root-other")).unwrap();
    for folder in [&outside, &around.path().join("root-other")] {
        fs::write(folder.join("secret.txt"), SECRET).unwrap();
    }
    fs::write(root.join("open.txt"), "all may read this\n").unwrap();
    fs::write(root.join("deep/er/file.txt"), "deep down\n").unwrap();
    fs::write(root.join("binary"), b"\x7fELF\0\0").unwrap();
    symlink(outside.join("secret.txt"), root.join("absolute-link")).unwrap();
    symlink("../outside/secret.txt", root.join("relative-link")).unwrap();
    symlink("../outside", root.join("folder-link")).unwrap();
    symlink("../../outside/secret.txt", root.join("deep/link")).unwrap();
    symlink("folder-link/secret.txt", root.join("link-to-link")).unwrap();
    symlink("/", root.join("top")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("/proc/self/root", root.join("proc")).unwrap();
    symlink("deep/er/file.txt", root.join("inner-link")).unwrap();
    let grant =
        Grant { roots: vec![RootGrant { name: "docs".to_owned(), folder: root }], ..Grant::default() };
    (around, grant)
}

fn refused(tool: &mut Tool, arguments: &Value) -> String {
    match call(tool, arguments) {
        Ok(text) => panic!("{arguments} gave {text:?}"),
        Err((PeripheralError::Refused | PeripheralError::Failed, why)) => why,
        Err((error, why)) => panic!("{arguments}: {error:?} {why}"),
    }
}

/// Paths, and a part of the reason for which they are refused.
const PATHS: [(&str, &str); 34] = [
    ("/etc/passwd", "absolute path"),
    ("//etc/passwd", "absolute path"),
    ("/docs/open.txt", "absolute path"),
    ("../outside/secret.txt", "leads upwards"),
    ("docs/../../outside/secret.txt", "leads upwards"),
    ("docs/deep/../open.txt", "leads upwards"),
    ("docs/..", "leads upwards"),
    ("docs/./../outside", "leads upwards"),
    ("docs//../outside", "leads upwards"),
    ("..", "leads upwards"),
    ("docs/deep/er/../../../outside/secret.txt", "leads upwards"),
    ("", "begins with no root"),
    (".", "begins with no root"),
    ("outside/secret.txt", "begins with no root"),
    ("root/open.txt", "begins with no root"),
    ("docs-other/secret.txt", "begins with no root"),
    ("~/secret.txt", "begins with no root"),
    ("DOCS/open.txt", "begins with no root"),
    ("docs\0/open.txt", "no path has it"),
    ("docs/open.txt\0.png", "no path has it"),
    ("docs/\n", "no path has it"),
    ("docs\\..\\outside", "no path has it"),
    ("C:/windows", "no path has it"),
    ("file:///etc/passwd", "no path has it"),
    ("docs/absolute-link", "leads out of its root"),
    ("docs/relative-link", "leads out of its root"),
    ("docs/folder-link/secret.txt", "leads out of its root"),
    ("docs/deep/link", "leads out of its root"),
    ("docs/link-to-link", "leads out of its root"),
    ("docs/top/etc/passwd", "leads out of its root"),
    ("docs/up/outside/secret.txt", "leads out of its root"),
    ("docs/proc/etc/passwd", "leads out of its root"),
    ("docs/loop", "cannot be opened"),
    ("docs/%2e%2e/outside/secret.txt", "there is no docs/%2e%2e"),
];

#[test]
fn no_path_leads_out() {
    let (_around, grant) = folders();
    let roots = Roots::open(&grant).unwrap();
    let pool = pool();
    let mut tools = [
        (read_file(roots.clone(), &pool).unwrap(), None),
        (list_files(roots.clone(), &pool).unwrap(), None),
        (search_text(roots, &pool).unwrap(), Some("secret")),
    ];
    for (path, reason) in PATHS {
        let told = grant.path(path).err().map(|refusal| refusal.to_string());
        if let Some(told) = &told {
            assert!(
                told.contains(reason) && told.ends_with("the root that is granted: docs"),
                "{path:?}: {told}"
            );
        }
        for (tool, pattern) in &mut tools {
            let mut arguments = json!({ "path": path });
            if let Some(pattern) = pattern {
                arguments["pattern"] = json!(pattern);
            }
            let why = refused(tool, &arguments);
            // What begins with no root does not fit the arguments either, which say the same.
            let unfit =
                told.is_some() && why.contains("at /path is the text") && why.contains("^(docs)(/|$)");
            assert!(why.contains(reason) || unfit, "{} {path:?}: {why}", tool.descriptor.name);
            assert!(!why.contains(SECRET), "{path:?}: {why}");
        }
    }
}

#[test]
fn what_is_inside_is_read_through_links_too() {
    let (_around, grant) = folders();
    let mut tool = read_file(Roots::open(&grant).unwrap(), &pool()).unwrap();
    for (path, text) in [
        ("docs/open.txt", "all may read this\n"),
        ("docs/./deep//er/file.txt", "deep down\n"),
        ("docs/inner-link", "deep down\n"),
    ] {
        assert_eq!(call(&mut tool, &json!({ "path": path })).unwrap(), text);
    }
}

#[test]
fn a_search_never_leaves_by_a_link() {
    let (_around, grant) = folders();
    let mut tool = search_text(Roots::open(&grant).unwrap(), &pool()).unwrap();
    let found = call(&mut tool, &json!({ "path": "docs", "pattern": "secret|root:|deep" })).unwrap();
    assert_eq!(found, "docs/deep/er/file.txt:1: deep down\n[not searched: binary files]\n");
}

/// Between the look and the opening, a folder becomes a link out: what opens is what decides.
#[test]
fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere() {
    let (around, grant) = folders();
    let mut tool = read_file(Roots::open(&grant).unwrap(), &pool()).unwrap();
    let (root, swapped) = (around.path().join("root"), around.path().join("root/swap"));
    fs::create_dir(around.path().join("honest")).unwrap();
    fs::write(around.path().join("honest/secret.txt"), "harmless").unwrap();
    let swaps = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while swaps.load(std::sync::atomic::Ordering::Relaxed) {
                fs::rename(around.path().join("honest"), &swapped).unwrap();
                fs::rename(&swapped, around.path().join("honest")).unwrap();
                symlink(around.path().join("outside"), &swapped).unwrap();
                fs::remove_file(&swapped).unwrap();
            }
        });
        for _ in 0..2000 {
            if let Ok(text) = call(&mut tool, &json!({ "path": "docs/swap/secret.txt" })) {
                assert_eq!(text, "harmless\n");
            }
        }
        swaps.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(root.exists());
}

/// A root is what it was when it was granted, wherever its name points later.
#[test]
fn a_root_that_is_replaced_is_still_the_old_one() {
    let (around, grant) = folders();
    let mut tool = read_file(Roots::open(&grant).unwrap(), &pool()).unwrap();
    fs::rename(around.path().join("root"), around.path().join("moved")).unwrap();
    symlink(around.path().join("outside"), around.path().join("root")).unwrap();
    assert!(refused(&mut tool, &json!({ "path": "docs/secret.txt" })).contains("there is no"));
    assert_eq!(call(&mut tool, &json!({ "path": "docs/open.txt" })).unwrap(), "all may read this\n");
}

fn commands(folder: &Path) -> Grant {
    let granted = |name: &str, program: &str, arguments| CommandGrant {
        name: name.to_owned(),
        program: program.into(),
        before: Vec::new(),
        arguments,
        folder: folder.to_owned(),
    };
    let options =
        |names: &[&str]| Arguments::Plain { options: names.iter().map(|&name| name.to_owned()).collect() };
    Grant {
        commands: vec![
            granted("cat", "/bin/cat", options(&[])),
            granted("ls", "/bin/ls", options(&["-l", "--sort"])),
            granted("dd", "/bin/dd", options(&[])),
            granted("find", "/usr/bin/find", options(&["-name"])),
        ],
        ..Grant::default()
    }
}

/// Commands with their arguments, and a part of the reason for which they are refused.
const COMMANDS: [(&str, &[&str], &str); 24] = [
    ("sh", &["-c", "id"], "the command \"sh\" is not granted"),
    ("bash", &[], "is not granted"),
    ("/bin/cat", &["open.txt"], "is not granted"),
    ("./cat", &[], "is not granted"),
    ("../bin/cat", &[], "is not granted"),
    ("cat ", &[], "is not granted"),
    (" cat", &[], "is not granted"),
    ("CAT", &[], "is not granted"),
    ("cat open.txt; id", &[], "is not granted"),
    ("cat\0", &[], "is not granted"),
    ("cat\nid", &[], "is not granted"),
    ("cat", &["/etc/passwd"], "leads out of its folder"),
    ("cat", &["../outside/secret.txt"], "leads out of its folder"),
    ("cat", &["deep/../../outside/secret.txt"], "leads out of its folder"),
    ("cat", &["~/secret.txt"], "leads out of its folder"),
    ("cat", &["open.txt\0"], "the character NUL"),
    ("cat", &["-v", "open.txt"], "the option \"-v\" of `cat` is not granted"),
    ("cat", &["--", "/etc/passwd"], "is not granted"),
    (
        "ls",
        &["-l", "-a"],
        "the option \"-a\" of `ls` is not granted; the options that are granted: -l, --sort",
    ),
    ("ls", &["-la"], "is not granted"),
    ("ls", &["--sort=/etc"], "leads out of its folder"),
    ("dd", &["if=/etc/passwd"], "leads out of its folder"),
    ("find", &[".", "-exec", "id", ";"], "the option \"-exec\" of `find` is not granted"),
    ("find", &[".", "-delete"], "is not granted"),
];

#[test]
fn no_command_but_those_that_are_granted() {
    let (around, _) = folders();
    let grant = commands(&around.path().join("root"));
    let mut tool = run(grant.clone(), RunLimits::default(), warden(), &pool()).unwrap();
    for (command, arguments, reason) in COMMANDS {
        let told = grant.command(command, arguments).unwrap_err().to_string();
        assert!(told.contains(reason), "{command:?} {arguments:?}: {told}");
        let (error, why) =
            call(&mut tool, &json!({ "command": command, "arguments": arguments })).unwrap_err();
        assert_eq!(error, PeripheralError::Refused, "{command:?} {arguments:?}: {why}");
        // What is no command does not fit the arguments either, which say the same.
        let unfit = why.contains("at /command is the text")
            && why.contains(r#"one of "cat", "ls", "dd", "find" would fit"#);
        assert!(why.contains(reason) || unfit, "{command:?} {arguments:?}: {why}");
    }
    let long = json!({ "command": "cat", "arguments": vec!["x".repeat(4000); 20] });
    assert!(refused(&mut tool, &long).contains("longer than 65536 bytes"));
    // What a shell would read into an argument is an argument.
    for literal in ["$(id)", "`id`", "a;id", "a|id", "a&&id", "*", "$HOME", ">x", "a\nid"] {
        let why = refused(&mut tool, &json!({ "command": "cat", "arguments": [literal] }));
        assert!(why.contains("No such file"), "{literal:?}: {why}");
        assert!(!why.contains("uid="), "{literal:?}: {why}");
    }
    assert_eq!(
        call(&mut tool, &json!({ "command": "cat", "arguments": ["open.txt"] })).unwrap(),
        "all may read this\n"
    );
}

fn warden() -> Warden {
    Warden { program: env!("CARGO_BIN_EXE_agentos-warden").into(), arguments: Vec::new() }
}

/// URLs, and a part of the reason for which they are refused.
const URLS: [(&str, &str); 37] = [
    (
        "http://evil.example/",
        "the host evil.example:80 is not granted; the hosts that are granted: example.org",
    ),
    ("https://example.org.evil.example/", "is not granted"),
    ("https://evil-example.org/", "is not granted"),
    ("https://sub.example.org/", "is not granted"),
    ("https://example.org./", "is not granted"),
    ("https://example.org:8443/", "the host example.org:8443 is not granted"),
    ("http://example.org:22/", "is not granted"),
    ("http://api.example.net/", "is not granted"),
    ("http://api.example.net:8081/", "is not granted"),
    ("https://example.org@evil.example/", "has a user"),
    ("https://user:pass@example.org/", "has a user"),
    ("https://@example.org/", "has a user"),
    ("https://evil.example#@example.org/", "is not granted"),
    ("https://evil.example?@example.org/", "is not granted"),
    ("https://evil.example\\@example.org/", "is no URL"),
    ("https://example.org\\.evil.example/", "is no URL"),
    ("https://example.org%2eevil.example/", "is no"),
    ("https://example.org\t.evil.example/", "is no URL"),
    ("https://example.org\r\nHost: evil.example/", "is no URL"),
    (" https://example.org/", "is no URL"),
    ("file:///etc/passwd", "\"file\" is not asked for"),
    ("ftp://example.org/", "\"ftp\" is not asked for"),
    ("gopher://example.org/", "is not asked for"),
    ("data:text/plain,hello", "is not asked for"),
    ("javascript:alert(1)", "is not asked for"),
    ("example.org/page", "is no URL"),
    ("//example.org/", "is no URL"),
    ("http:/example.org/", "is no URL"),
    ("http:///etc/passwd", "is no"),
    ("http://127.0.0.1/", "is not granted"),
    ("http://localhost/", "is not granted"),
    ("http://[::1]/", "the host [::1]:80 is not granted"),
    ("http://[::ffff:127.0.0.1]/", "is not granted"),
    ("http://2130706433/", "is not granted"),
    ("http://0x7f.1/", "is not granted"),
    ("http://169.254.169.254/latest/meta-data/", "is not granted"),
    ("http://example.org:99999/", "is no URL"),
];

#[test]
fn no_host_but_those_that_are_granted() {
    let hosts = ["example.org", "api.example.net:8080"].map(|host| host.parse().unwrap());
    let grant = Grant { hosts: hosts.to_vec(), ..Grant::default() };
    let mut tool = http_get(grant, HttpLimits::default(), &pool()).unwrap();
    for (url, reason) in URLS {
        let (error, why) = call(&mut tool, &json!({ "url": url })).unwrap_err();
        assert_eq!(error, PeripheralError::Refused, "{url:?}: {why}");
        assert!(why.contains(reason), "{url:?}: {why}");
    }
}

#[test]
fn an_empty_grant_grants_nothing() {
    let (pool, grant) = (pool(), Grant::default());
    let roots = Roots::open(&grant).unwrap();
    let mut read = read_file(roots, &pool).unwrap();
    assert!(refused(&mut read, &json!({ "path": "docs/open.txt" })).ends_with("no root is granted"));
    let mut get = http_get(grant.clone(), HttpLimits::default(), &pool).unwrap();
    assert!(refused(&mut get, &json!({ "url": "http://example.org/" })).ends_with("no host is granted"));
    let mut run = run(grant.clone(), RunLimits::default(), warden(), &pool).unwrap();
    assert!(refused(&mut run, &json!({ "command": "cat" })).ends_with("no command is granted"));
    let why = grant.tool("calculator").unwrap_err().to_string();
    assert_eq!(why, "the tool `calculator` is not granted; no tool is granted");
}

proptest! {
    /// Whatever parts a path is made of, it is refused, or stays in its root.
    #[test]
    fn a_path_is_refused_or_stays(parts in prop::collection::vec("(docs|\\.|\\.\\.|/|a|~|\\\\|:|\\PC)", 0..8)) {
        let grant = Grant {
            roots: vec![RootGrant { name: "docs".to_owned(), folder: "/nowhere".into() }],
            ..Grant::default()
        };
        let path = parts.join("/");
        if let Ok(located) = grant.path(&path) {
            prop_assert_eq!(located.root, 0);
            for part in &located.parts {
                prop_assert!(!part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\\', '\0']));
            }
            prop_assert!(!path.starts_with('/'));
        }
    }
}
