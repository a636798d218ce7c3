//! Commands: what they give, and that nothing of them is left.

#![cfg(target_os = "linux")]

mod rig;

use std::fs;
use std::path::Path;
use std::time::Duration;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_tools::grant::{Arguments, CommandGrant, Grant};
use agentos_tools::run::{RunLimits, Warden, run};
use agentos_tools::{Collected, Tool};
use rig::{call, pool, until};
use serde_json::json;
use tempfile::TempDir;

/// A shell, to have commands that do whatever a test needs. A grant of a shell grants everything.
fn shell(folder: &Path, limits: RunLimits) -> Tool {
    let shell = CommandGrant {
        name: "sh".to_owned(),
        program: "/bin/sh".into(),
        before: vec!["-c".to_owned()],
        arguments: Arguments::Any,
        folder: folder.to_owned(),
    };
    let grant = Grant { commands: vec![shell], ..Grant::default() };
    let warden = Warden { program: env!("CARGO_BIN_EXE_agentos-warden").into(), arguments: Vec::new() };
    run(grant, limits, warden, &pool()).unwrap()
}

fn ran(script: &str, limits: RunLimits) -> Result<String, (PeripheralError, String)> {
    let folder = tempfile::tempdir().unwrap();
    call(&mut shell(folder.path(), limits), &json!({ "command": "sh", "arguments": [script] }))
}

fn why(script: &str, limits: RunLimits) -> String {
    let (error, why) = ran(script, limits).unwrap_err();
    assert_eq!(error, PeripheralError::Failed);
    why
}

/// Whether a process is there; one that ended and was not reaped is not.
fn lives(process: u32) -> bool {
    let stat = fs::read(format!("/proc/{process}/stat")).unwrap_or_default();
    String::from_utf8_lossy(&stat)
        .rsplit_once(')')
        .is_some_and(|(_, behind)| !behind.trim_start().starts_with(['Z', 'X']))
}

/// The processes whose numbers a script wrote to files.
fn processes(folder: &TempDir, names: &[&str]) -> Vec<u32> {
    let number = |name: &&str| fs::read_to_string(folder.path().join(name)).ok()?.trim().parse().ok();
    names.iter().filter_map(number).collect()
}

/// Begets processes in every way to lose a parent, a group and a session, and sleeps. All ignore what asks
/// them to end.
const BEGETTING: &str = "trap '' TERM INT HUP
    echo $$ > self
    sleep 600 & echo $! > child
    setsid sh -c 'trap \"\" TERM HUP; echo $$ > session; sleep 600; sleep 600' &
    (setsid sh -c '(sleep 600 & echo $! > orphan); exit' &)
    (nohup sleep 600 >/dev/null 2>&1 & echo $! > nohup)
    env -i setsid setsid sh -c 'echo $$ > bare; exec sleep 600' &
    while [ ! -s session ] || [ ! -s orphan ] || [ ! -s bare ]; do sleep 0.01; done
    echo > ready
    sleep 600";
const BEGOTTEN: [&str; 6] = ["self", "child", "session", "orphan", "nohup", "bare"];

#[test]
fn what_a_command_writes_is_its_result() {
    let limits = RunLimits::default();
    assert_eq!(ran("echo one; echo two", limits).unwrap(), "one\ntwo\n");
    assert_eq!(ran("echo out; echo err >&2", limits).unwrap(), "out\n\n[errors]\nerr\n");
    assert_eq!(ran("true", limits).unwrap(), "");
    assert_eq!(ran("printf '\\377\\033[31m'", limits).unwrap(), "\u{fffd}\u{1b}[31m");
    assert_eq!(why("echo no; exit 3", limits), "sh ended with status 3\nno\n");
    assert_eq!(why("kill -9 $$", limits), "sh was ended by signal 9");
}

#[test]
fn a_command_finds_nothing_of_the_host() {
    let environment = ran("env | sort", RunLimits::default()).unwrap();
    let names = environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    // Some shells set variables of their own.
    let names: Vec<&str> = names.filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)).collect();
    assert_eq!(names, ["HOME", "LANG", "PATH"], "{environment}");
    assert_eq!(ran("cat; readlink /proc/self/fd/0", RunLimits::default()).unwrap(), "/dev/null\n");
    // Its standard streams, and the folder that `ls` reads.
    assert_eq!(ran("ls /proc/self/fd | wc -l", RunLimits::default()).unwrap().trim(), "4");
}

#[test]
fn a_command_that_forks_and_sleeps_is_gone_after_its_time() {
    // A slow machine takes its time to beget them all.
    let begotten = [1, 8, 64].into_iter().find_map(|seconds| {
        let folder = tempfile::tempdir().unwrap();
        let wall = Duration::from_secs(seconds);
        let mut tool = shell(folder.path(), RunLimits { wall, ..RunLimits::default() });
        let (_, why) = call(&mut tool, &json!({ "command": "sh", "arguments": [BEGETTING] })).unwrap_err();
        assert!(why.contains(&format!("sh took longer than {seconds}s, and was ended")), "{why}");
        let begotten = processes(&folder, &BEGOTTEN);
        assert!(!begotten.iter().any(|&process| lives(process)), "{begotten:?}");
        (begotten.len() == BEGOTTEN.len()).then_some(begotten)
    });
    assert!(begotten.is_some(), "they were never all there");
}

/// A process may give itself a name that is no text, and a session of its own.
#[test]
fn a_process_is_ended_and_counted_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let limits = RunLimits { wall: Duration::from_secs(2), processes: 8, ..RunLimits::default() };
    let mut tool = shell(folder.path(), limits);
    let mut why =
        |script: &str| call(&mut tool, &json!({ "command": "sh", "arguments": [script] })).unwrap_err().1;
    let hidden = "setsid sh -c 'printf \"\\377\\303\" > /proc/$$/comm; echo $$ > session
        sleep 600 & echo $! > child; wait' &
        sleep 600";
    let ended = why(hidden);
    assert!(ended.contains("sh took longer than 2s"), "{ended}");
    let left = processes(&folder, &["session", "child"]);
    assert_eq!(left.len(), 2, "{ended}");
    assert!(!left.iter().any(|&process| lives(process)));
    let many = why("printf '\\377\\303' > /proc/$$/comm
        for i in 1 2 3 4 5 6 7 8 9 10; do sleep 600 & done
        wait");
    assert!(many.contains("more than 8 processes"), "{many}");
}

#[test]
fn a_command_that_is_given_up_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let limits = RunLimits { wall: Duration::from_secs(600), ..RunLimits::default() };
    let mut tool = shell(folder.path(), limits);
    let arguments = json!({ "command": "sh", "arguments": [BEGETTING] }).to_string();
    let (number, mut output) = (CallNumber(1), Collected::new(1000));
    tool.peripheral.start(number, arguments.as_bytes(), &mut output).unwrap();
    until("processes", || folder.path().join("ready").exists());
    let begotten = processes(&folder, &BEGOTTEN);
    assert_eq!(begotten.len(), BEGOTTEN.len());
    assert!(begotten.iter().all(|&process| lives(process)));
    tool.peripheral.cancel(number);
    until("the end of all", || !begotten.iter().any(|&process| lives(process)));
}

#[test]
fn what_a_command_leaves_behind_is_gone_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut tool = shell(folder.path(), RunLimits::default());
    let script =
        "(setsid sleep 600 >/dev/null 2>&1 & echo $! > daemon); sleep 600 & echo $! > child; echo done";
    let text = call(&mut tool, &json!({ "command": "sh", "arguments": [script] })).unwrap();
    assert_eq!(text, "done\n");
    let left = processes(&folder, &["daemon", "child"]);
    assert_eq!(left.len(), 2);
    assert!(!left.iter().any(|&process| lives(process)));
}

/// It has the right to end the warden, and does so before anything else. Its own group ends with it.
#[test]
fn a_command_that_ends_its_warden_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut tool = shell(folder.path(), RunLimits::default());
    let script = "echo $$ > self; sleep 600 & echo $! > child; kill -9 $PPID; sleep 600";
    let (_, why) = call(&mut tool, &json!({ "command": "sh", "arguments": [script] })).unwrap_err();
    assert!(why.contains("its warden went away"), "{why}");
    let left = processes(&folder, &["self", "child"]);
    assert_eq!(left.len(), 2);
    until("the end of both", || !left.iter().any(|&process| lives(process)));
}

#[test]
fn output_without_end_ends() {
    let limits = RunLimits { output_bytes: 1000, ..RunLimits::default() };
    for script in ["yes", "yes >&2", "head -c 1001 /dev/zero"] {
        let why = why(script, limits);
        assert!(why.starts_with("sh wrote more than 1000 bytes, and was ended\n"), "{script}: {why:.80}");
        assert!(why.len() < 4000, "{script}: {}", why.len());
    }
    assert_eq!(ran("head -c 1000 /dev/zero | tr '\\0' x", limits).unwrap().len(), 1000);
}

#[test]
fn limits_hold() {
    let limits = RunLimits {
        processor_s: 1,
        memory_bytes: 128 << 20,
        file_bytes: 1 << 20,
        processes: 8,
        wall: Duration::from_secs(100),
        ..RunLimits::default()
    };
    let why = |script: &str| why(script, limits);
    assert!(why("while :; do :; done").contains("more than 1 s of processor time"));
    assert!(why("exec head -c 2000000 /dev/zero > big").contains("a file of more than 1048576 bytes"));
    let memory = why("head -c 200000000 /dev/zero | tail -c 199999999 | wc -c; exit 1");
    assert!(memory.contains("memory") && !memory.contains("199999999"), "{memory}");
    let many = why("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 600 & done; wait");
    assert!(many.contains("more than 8 processes"), "{many}");
    assert!(ran("ulimit -c", limits).unwrap().starts_with('0'));
    // More than it was given, no process gives itself.
    assert!(ran("ulimit -v unlimited 2>&1; ulimit -v", limits).unwrap().contains("131072"));
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = CommandGrant {
        name: "missing".to_owned(),
        program: "/nowhere/missing".into(),
        before: Vec::new(),
        arguments: Arguments::Any,
        folder: folder.path().to_owned(),
    };
    let grant = Grant { commands: vec![missing], ..Grant::default() };
    let warden = |program: &str| Warden { program: program.into(), arguments: Vec::new() };
    let mut tool =
        run(grant.clone(), RunLimits::default(), warden(env!("CARGO_BIN_EXE_agentos-warden")), &pool())
            .unwrap();
    let (_, why) = call(&mut tool, &json!({ "command": "missing" })).unwrap_err();
    assert!(why.starts_with("missing cannot be started: No such file"), "{why}");
    let mut tool = run(grant.clone(), RunLimits::default(), warden("/nowhere/warden"), &pool()).unwrap();
    let (_, why) = call(&mut tool, &json!({ "command": "missing" })).unwrap_err();
    assert!(why.contains("the warden cannot be started"), "{why}");
    // A program that is no warden.
    let mut tool = run(grant, RunLimits::default(), warden("/bin/true"), &pool()).unwrap();
    call(&mut tool, &json!({ "command": "missing" })).unwrap_err();
}

/// The host dies without a word: what it ran ends.
#[test]
fn a_command_ends_with_its_host() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let mut warden = Command::new(env!("CARGO_BIN_EXE_agentos-warden"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let limits = RunLimits { wall: Duration::from_secs(600), ..RunLimits::default() };
    let spec = json!({ "guard": {
        "program": "/bin/sh", "arguments": ["-c", BEGETTING], "folder": folder.path(),
        "environment": [["PATH", "/usr/bin:/bin"]], "limits": limits,
    } });
    // With the answer to the number that it will tell.
    writeln!(warden.stdin.as_mut().unwrap(), "{spec}\n").unwrap();
    until("processes", || folder.path().join("ready").exists());
    let begotten = processes(&folder, &BEGOTTEN);
    // Its end of the pipe is closed with the host.
    drop(warden.stdin.take());
    assert!(warden.wait().unwrap().success());
    assert_eq!(begotten.len(), BEGOTTEN.len());
    assert!(!begotten.iter().any(|&process| lives(process)));
}

#[test]
fn a_warden_that_gets_nonsense_ends() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    for nonsense in ["", "\n", "{}\n", "[1, 2]\n", "no json", "{\"program\": 5}\n"] {
        let mut warden = Command::new(env!("CARGO_BIN_EXE_agentos-warden"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        warden.stdin.take().unwrap().write_all(nonsense.as_bytes()).unwrap();
        let output = warden.wait_with_output().unwrap();
        assert!(!output.status.success());
        assert!(output.stdout.is_empty(), "{nonsense}");
    }
}
