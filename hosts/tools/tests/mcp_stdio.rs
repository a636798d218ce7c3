//! Servers of tools that are programs, honest ones and others.

mod mcp_rig;
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_tools::mcp::{Declaration, Hub, McpError, Reach, Server, Why};
use agentos_tools::{Access, Collected, Effect, Registry, Tool};
use serde_json::{Value, json};

use mcp_rig::{declaration, program};
use rig::{call, until, wait};

fn hub() -> Hub {
    Hub::new(|| ()).expect("a thread")
}

fn connected(hub: &Hub) -> Server {
    hub.connect(declaration(program("serves"))).expect("the rig starts")
}

fn tool<'s>(server: &'s mut Server, name: &str) -> &'s mut Tool {
    let name = format!("rig.{name}");
    server.tools.iter_mut().find(|tool| tool.descriptor.name == name).expect("a tool of the rig")
}

fn say(server: &mut Server, text: &str) -> Result<String, (PeripheralError, String)> {
    call(tool(server, "echo"), &json!({ "text": text }))
}

fn ask(server: &mut Server, name: &str) -> Result<String, (PeripheralError, String)> {
    call(tool(server, name), &json!({}))
}

#[test]
fn tools_are_described_as_their_server_describes_them() {
    let hub = hub();
    let mut server = connected(&hub);
    let echo = tool(&mut server, "echo").descriptor.clone();
    assert_eq!(echo.description, "Says it\\u{202e} again.");
    assert_eq!(echo.arguments["required"], json!(["text"]));
    assert_eq!((echo.access, echo.effect, echo.attempts), (Access::Server, Effect::None, 2));
    assert_eq!(tool(&mut server, "set").descriptor.effect, Effect::Idempotent);
    let fail = &tool(&mut server, "fail").descriptor;
    assert_eq!((fail.effect, fail.attempts), (Effect::Irreversible, 1));
    assert!(tool(&mut server, "typed").descriptor.output.is_some());
    let left_out: Vec<(&str, bool)> = server
        .left_out
        .iter()
        .map(|left_out| (left_out.name.as_str(), matches!(left_out.why, Why::Schema(_))))
        .collect();
    assert_eq!(left_out, [("no name", false), ("echo", false), ("endless", true), ("elsewhere", true)]);
    let mut registry = Registry::new();
    for tool in server.tools {
        registry.add(tool).expect("a sound description");
    }
    drop(hub);
}

#[test]
fn a_server_that_is_not_believed_has_only_irreversible_tools() {
    let hub = hub();
    let server =
        hub.connect(Declaration { trusted: false, ..declaration(program("serves")) }).expect("it starts");
    assert!(server.tools.iter().all(|tool| tool.descriptor.effect == Effect::Irreversible));
}

#[test]
fn calls_are_answered() {
    let rung = Arc::new(AtomicUsize::new(0));
    let bell = Arc::clone(&rung);
    let ring = move || {
        bell.fetch_add(1, Ordering::Relaxed);
    };
    let hub = Hub::new(ring).expect("a thread");
    let mut server = connected(&hub);
    assert_eq!(say(&mut server, "grüße\n<|im_start|>"), Ok("grüße\n<|im_start|>".to_owned()));
    assert_eq!(ask(&mut server, "typed"), Ok("{\"celsius\":3.5}".to_owned()));
    assert!(rung.load(Ordering::Relaxed) >= 2);
}

#[test]
fn arguments_that_do_not_fit_never_reach_the_server() {
    let hub = hub();
    let mut server = connected(&hub);
    for arguments in [json!({}), json!({ "text": 1 }), json!([]), json!(null)] {
        let (error, why) = call(tool(&mut server, "echo"), &arguments).expect_err("it does not fit");
        assert_eq!(error, PeripheralError::Refused, "{why}");
        assert!(why.contains("would fit"), "{why}");
    }
    let mut output = Collected::new(1000);
    let started = tool(&mut server, "echo").peripheral.start(CallNumber(1), b"{\xff", &mut output);
    assert_eq!(started, Err(PeripheralError::Refused), "{}", output.text());
}

#[test]
fn failures_are_told_as_what_they_are() {
    let hub = hub();
    let mut server = connected(&hub);
    let failed = |why: &str| Err((PeripheralError::Failed, why.to_owned()));
    assert_eq!(ask(&mut server, "fail"), failed("the disk is full"));
    assert_eq!(ask(&mut server, "refuse"), failed("the server refuses the call: not today (code -32602)"));
    assert_eq!(
        ask(&mut server, "wrong"),
        failed("the server answered with something else than a tool's result")
    );
    assert_eq!(ask(&mut server, "junk"), Ok("after the junk".to_owned()));
}

#[test]
fn outputs_are_bounded() {
    let hub = hub();
    let mut server = connected(&hub);
    let (error, kept) = ask(&mut server, "large").expect_err("more than is taken");
    assert_eq!((error, kept.len()), (PeripheralError::Output, 1 << 16));
    let (error, why) = ask(&mut server, "giant").expect_err("more than is read");
    assert_eq!(error, PeripheralError::Output);
    assert_eq!(why, "the server sent a message of more than 1048576 bytes, which is the most");
    assert_eq!(say(&mut server, "still here"), Ok("still here".to_owned()));
}

#[test]
fn a_call_that_hangs_can_be_given_up_and_the_server_is_told() {
    let hub = hub();
    let mut server = connected(&hub);
    let mut output = Collected::new(1000);
    for number in 0..7 {
        let hang = &mut tool(&mut server, "hang").peripheral;
        hang.start(CallNumber(number), b"{}", &mut output).expect("room for eight calls");
    }
    // Once this is answered, the server has had the others.
    let echo = &mut tool(&mut server, "echo").peripheral;
    echo.start(CallNumber(7), b"{\"text\":\"\"}", &mut output).expect("room for eight calls");
    assert_eq!(echo.start(CallNumber(8), b"{\"text\":\"\"}", &mut output), Err(PeripheralError::Busy));
    assert_eq!(wait(echo.as_mut(), CallNumber(7)).0, Ok(()));
    let hang = &mut tool(&mut server, "hang").peripheral;
    assert!(hang.poll(CallNumber(0), &mut output).is_pending());
    for number in 0..7 {
        hang.cancel(CallNumber(number));
        let (result, _) = wait(hang.as_mut(), CallNumber(number));
        assert_eq!(result, Err(PeripheralError::NoCall));
    }
    until("the server hears of it", || ask(&mut server, "cancelled") == Ok("7".to_owned()));
}

#[test]
fn a_call_that_hangs_fails_after_its_time() {
    let hub = hub();
    let timeout = Duration::from_millis(50);
    let mut server =
        hub.connect(Declaration { timeout, ..declaration(program("serves")) }).expect("it starts");
    let why = "no answer after 50 ms; whether it had an effect is not known".to_owned();
    assert_eq!(ask(&mut server, "hang"), Err((PeripheralError::Failed, why)));
}

#[test]
fn a_server_that_dies_fails_its_calls_and_is_started_again() {
    let hub = hub();
    let mut server = connected(&hub);
    let mut output = Collected::new(1000);
    tool(&mut server, "hang").peripheral.start(CallNumber(1), b"{}", &mut output).expect("it begins");
    let (error, why) = ask(&mut server, "die").expect_err("it ended");
    assert_eq!(error, PeripheralError::Gone);
    assert!(why.contains("exit status: 3") && why.contains("out of \\u{1b}[31mluck"), "{why}");
    let (other, _) = wait(tool(&mut server, "hang").peripheral.as_mut(), CallNumber(1));
    assert_eq!(other, Err(PeripheralError::Gone));
    // While it starts it is busy, and a call may be started again later.
    until("it is back", || match say(&mut server, "back") {
        Ok(text) => text == "back",
        Err((PeripheralError::Busy, _)) => false,
        Err(other) => panic!("{other:?}"),
    });
}

#[test]
fn a_server_that_always_dies_is_given_up() {
    let hub = hub();
    let mut server = connected(&hub);
    let mut ends = 0;
    until("it is given up", || match ask(&mut server, "die") {
        Err((PeripheralError::Gone, why)) if why.contains("started again 5 times") => true,
        Err((PeripheralError::Gone, _)) => {
            ends += 1;
            false
        }
        Err((PeripheralError::Busy, _)) => false,
        other => panic!("{other:?}"),
    });
    assert!((1..=6).contains(&ends), "{ends}");
    assert!(matches!(say(&mut server, "hello"), Err((PeripheralError::Gone, _))));
}

#[test]
fn only_what_is_listed_of_the_environment_is_passed_on() {
    let hub = hub();
    let Reach::Command { program, arguments, folder, .. } = program("serves") else { unreachable!() };
    let environment = vec!["CARGO_PKG_NAME".to_owned(), "NO_SUCH_VARIABLE".to_owned()];
    let reach = Reach::Command { program, arguments, environment, folder };
    let mut server = hub.connect(declaration(reach)).expect("it starts");
    let names = ask(&mut server, "environment").expect("names");
    let mut names: Vec<&str> = names.split(' ').collect();
    names.sort_unstable();
    assert_eq!(names, ["CARGO_PKG_NAME", "PATH"]);
}

#[cfg(unix)]
#[test]
fn nothing_of_a_server_outlives_the_hub() {
    let hub = hub();
    let mut server = connected(&hub);
    let left = ask(&mut server, "leave").expect("a process");
    let alive = || {
        let state = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
        state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    };
    assert!(alive());
    drop(hub);
    until("it is gone", || !alive());
    assert!(matches!(say(&mut server, "hello"), Err((PeripheralError::Gone, _))));
}

fn refused(declared: Declaration) -> McpError {
    match hub().connect(declared) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[test]
fn servers_that_do_not_start_are_told() {
    let missing = Reach::Command {
        program: "no-such-program-of-ours".into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        folder: None,
    };
    assert!(matches!(refused(declaration(missing)), McpError::Spawn { .. }));
    let start = Duration::from_millis(300);
    let slow = refused(Declaration { start, ..declaration(program("hangs")) });
    assert!(matches!(slow, McpError::Slow { .. }), "{slow}");
    let flood = refused(Declaration { start, ..declaration(program("floods")) });
    assert!(matches!(flood, McpError::Protocol { .. } | McpError::Slow { .. }), "{flood}");
    let ends = refused(declaration(program("ends")));
    let McpError::Protocol { last_words, .. } = &ends else { panic!("{ends}") };
    assert!(last_words.contains("no configuration"), "{ends}");
    let pages = refused(declaration(program("pages_without_end")));
    assert!(pages.to_string().contains("more than 16 pages"), "{pages}");
    let many = refused(declaration(program("has_too_many")));
    assert_eq!(many, McpError::ManyTools { limit: 128 });
    let lies = refused(declaration(program("answers_nonsense")));
    assert!(matches!(lies, McpError::Protocol { .. }), "{lies}");
    assert!(lies.to_string().len() < 1000, "{lies}");
}

// What follows are the servers, for processes of their own.

#[test]
#[ignore = "a server for the other tests"]
fn serves() {
    mcp_rig::serve();
}

#[test]
#[ignore = "a server for the other tests"]
fn hangs() {
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
#[ignore = "a server for the other tests"]
fn floods() {
    let line = vec![b'x'; 1 << 16];
    // Ends when nobody reads.
    while std::io::Write::write_all(&mut std::io::stdout(), &line).is_ok() {}
    std::process::exit(1);
}

#[test]
#[ignore = "a server for the other tests"]
fn ends() {
    eprintln!("no configuration");
    std::process::exit(2);
}

/// Answers each message with what `result` makes of it.
fn answer_with(result: impl Fn(&Value) -> Value) {
    for line in std::io::stdin().lines() {
        let message: Value = serde_json::from_str(&line.expect("a line")).expect("a message");
        if let Some(id) = message.get("id") {
            let answer = if message["method"] == "initialize" {
                mcp_rig::answer(&message, &mut 0).expect("an answer")
            } else {
                json!({ "jsonrpc": "2.0", "id": id, "result": result(&message) })
            };
            mcp_rig::say(&answer.to_string());
        }
    }
}

#[test]
#[ignore = "a server for the other tests"]
fn pages_without_end() {
    answer_with(|_| json!({ "tools": [], "nextCursor": "more" }));
}

#[test]
#[ignore = "a server for the other tests"]
fn has_too_many() {
    let tools: Vec<Value> =
        (0..200).map(|at| json!({ "name": format!("t{at}"), "inputSchema": { "type": "object" } })).collect();
    answer_with(move |_| json!({ "tools": tools }));
}

#[test]
#[ignore = "a server for the other tests"]
fn answers_nonsense() {
    for line in std::io::stdin().lines() {
        let message: Value = serde_json::from_str(&line.expect("a line")).expect("a message");
        let nonsense = "<|im_start|>".repeat(10_000);
        mcp_rig::say(
            &json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "x": nonsense } }).to_string(),
        );
    }
}
