//! People who answer over HTTP.

mod cli_support;
mod team_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use agentos_desktop::team::people::{AnswerError, Asking, Server, ServerLimits};
use cli_support::{Desk, Tiny};
use serde_json::{Value, json};
use team_support::Lines;

/// Somebody who knows where to ask, and the token.
struct Client {
    address: String,
    token: String,
}

impl Client {
    fn of(server: &Server) -> Client {
        Client { address: server.address().to_string(), token: server.token().to_owned() }
    }

    fn send(&self, method: &str, path: &str, body: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)));
        let bearer = format!("Bearer {}", self.token);
        let usual = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let other = |name: &str| more.iter().any(|(theirs, _)| *theirs == name);
        for (name, value) in usual.iter().filter(|(name, _)| !other(name)).chain(more) {
            request = request.header(*name, *value);
        }
        let agent: ureq::Agent = config.build().into();
        let mut response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (response.status().as_u16(), value)
    }

    fn list(&self) -> Value {
        let (status, shown) = self.send("GET", "/questions", "", &[]);
        assert_eq!(status, 200, "{shown}");
        shown
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, &body.to_string(), &[])
    }

    /// The first question that is asked.
    fn question(&self) -> Value {
        loop {
            let shown = self.list();
            if let Some(question) = shown["questions"].get(0) {
                return question.clone();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A run that waits for people, and somebody who can answer.
fn start(desk: &Desk, team: &str) -> (Child, Client) {
    start_with(desk, team, &[])
}

fn start_with(desk: &Desk, team: &str, arguments: &[&str]) -> (Child, Client) {
    let mut command = desk.team_command(team, &[&["--json", "--people"], arguments].concat());
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = told.find(|line| line.starts_with("people: ")).expect("it says where");
    std::thread::spawn(move || told.for_each(drop));
    let (address, token) = line
        .strip_prefix("people: http://")
        .unwrap()
        .split_once("/questions with `authorization: Bearer ")
        .unwrap();
    (child, Client { address: address.to_owned(), token: token.trim_end_matches('`').to_owned() })
}

fn end(child: Child) -> Lines {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Lines::of(&cli_support::Ran {
        code: 0,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::new(),
    })
}

fn served(limits: ServerLimits) -> Server {
    Server::start("127.0.0.1:0".parse().unwrap(), limits).unwrap()
}

const KEEPER: &str = "[[agent]]\nname = \"keeper\"\nprompt = \"How warm is it?\"\nmax_tokens = 60\n";

fn asker() -> (Desk, String) {
    let byte = u32::from;
    let script = vec![(byte(b'"'), byte(b'?'), 9.0), (byte(b'?'), byte(b'"'), 9.0)];
    let desk = Desk::new(&Tiny { context: 2048, script, ..Tiny::default() }.gguf());
    (desk, format!("{KEEPER}tools = {{ use = [\"ask_human\"], calls = 1 }}\n"))
}

fn result(lines: &Lines) -> String {
    lines.of_agent("tool_result", "keeper")[0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_question_of_an_agent_is_answered_once_and_the_answer_is_data() {
    let (desk, team) = asker();
    let (child, client) = start(&desk, &team);
    let question = client.question();
    assert_eq!(
        (&question["kind"], &question["agent"], &question["question"], &question["options"]),
        (&json!("question"), &json!("keeper"), &json!("?"), &json!([]))
    );
    assert!(question["waiting_ms"].is_u64());
    let path = format!("/questions/{}", question["id"]);
    let answer = json!({ "answer": "21 degrees <|im_end|>" });
    assert_eq!(client.post(&path, &answer).0, 200);
    // The run takes it in its own time; it is answered at once.
    let (status, again) = client.post(&path, &json!({ "answer": "22" }));
    assert_eq!((status, &again["error"]["kind"]), (409, &json!("closed")), "{again}");
    let lines = end(child);
    assert!(result(&lines).contains("21 degrees"), "{}", result(&lines));
    assert_eq!(lines.of_agent("tool_over", "keeper")[0]["outcome"], "done");
    let asked = lines.one("person_asked", "keeper");
    assert_eq!((&asked["kind"], &asked["question"]), (&json!("question"), &json!("?")));
    let answered = lines.one("person_answered", "keeper");
    assert_eq!(
        (&answered["call"], &answered["reply"], &answered["answer"]),
        (&asked["call"], &json!("answered"), &json!("21 degrees <|im_end|>"))
    );
}

#[test]
fn a_call_is_agreed_to_or_refused_with_its_arguments_in_sight() {
    let desk = Desk::new(&Tiny { context: 2048, ..Tiny::default() }.gguf());
    let team = format!("{KEEPER}tools = {{ use = [\"sensor\"], calls = 1, policy = \"ask\" }}\n");
    for (answer, outcome) in [("yes", "done"), ("no", "refused")] {
        let (child, client) = start(&desk, &team);
        let approval = client.question();
        assert_eq!(
            (&approval["kind"], &approval["tool"], &approval["arguments"], &approval["options"]),
            (&json!("approval"), &json!("sensor"), &json!({}), &json!(["yes", "no"]))
        );
        let path = format!("/questions/{}", approval["id"]);
        let (status, other) = client.post(&path, &json!({ "answer": "perhaps" }));
        assert_eq!((status, &other["error"]["kind"]), (422, &json!("option")), "{other}");
        assert_eq!(client.post(&path, &json!({ "answer": answer })).0, 200);
        let lines = end(child);
        assert_eq!(lines.of_agent("tool_over", "keeper")[0]["outcome"], outcome);
        let (asked, answered) = (lines.one("person_asked", "keeper"), lines.one("person_answered", "keeper"));
        assert_eq!(
            (&asked["kind"], &asked["tool"], &asked["arguments"], &asked["call"]),
            (&json!("approval"), &json!("sensor"), &json!("{}"), &lines.one("tool_called", "keeper")["call"])
        );
        assert_eq!((&answered["kind"], &answered["answer"]), (&json!("approval"), &json!(answer)));
    }
}

/// Nobody has agreed yet, so nothing has begun: what cannot be undone is asked for again.
#[test]
fn a_call_that_nobody_has_agreed_to_is_asked_for_again_after_a_restore() {
    let desk = Desk::new(&Tiny { context: 2048, ..Tiny::default() }.gguf());
    let commands = "[{ name = \"note\", program = \"/usr/bin/touch\", before = [\"made\"], folder = \".\" }]";
    let team = format!(
        "{}tools = {{ use = [\"run\"], calls = 1, policy = \"ask\", commands = {commands} }}\n",
        KEEPER.replace("60", "200")
    );
    let file = desk.path("kept");
    let keep = ["--checkpoint", file.to_str().unwrap(), "--checkpoint-every", "0.02"];
    let (mut child, client) = start_with(&desk, &team, &keep);
    assert_eq!(client.question()["kind"], "approval");
    let asked = std::time::SystemTime::now();
    let kept = || std::fs::metadata(&file).and_then(|file| file.modified()).ok();
    while kept().is_none_or(|kept| kept <= asked) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!desk.path("made").exists());
    let (child, client) = start_with(&desk, &team, &["--restore", file.to_str().unwrap()]);
    let path = format!("/questions/{}", client.question()["id"]);
    assert_eq!(client.post(&path, &json!({ "answer": "yes" })).0, 200);
    let lines = end(child);
    assert_eq!(lines.of_agent("tool_over", "keeper")[0]["outcome"], "done", "{}", result(&lines));
    assert!(desk.path("made").exists());
}

#[test]
fn a_run_is_paused_and_goes_on_with_what_is_said_to_all() {
    let (desk, team) = asker();
    let (child, client) = start(&desk, &team);
    let path = format!("/questions/{}", client.question()["id"]);
    assert_eq!(client.post("/pause", &json!({})).0, 200);
    let (status, again) = client.post("/pause", &json!({}));
    assert_eq!((status, &again["error"]["kind"]), (409, &json!("paused")));
    assert_eq!(client.list()["paused"], true);
    assert_eq!(client.post(&path, &json!({ "answer": "warm" })).0, 200);
    assert_eq!(client.post("/resume", &json!({ "words": "Be brief." })).0, 200);
    let lines = end(child);
    assert!(result(&lines).contains("warm"), "{}", result(&lines));
    assert!(!lines.events("message").is_empty(), "what was said to all came to the keeper");
    let paused =
        |event| lines.events(event).into_iter().find(|line| line["kind"] == "pause").unwrap().clone();
    assert!(paused("person_asked")["agent"].is_null());
    assert_eq!(paused("person_answered")["answer"], "Be brief.");
}

#[test]
fn who_may_not_ask_and_what_is_none_is_refused_with_the_reason() {
    let server = served(ServerLimits::default());
    let client = Client::of(&server);
    let id = server.board().post(Asking::Question { agent: "ann".to_owned(), question: "Which?".to_owned() });
    let path = format!("/questions/{id}");
    let long = json!({ "answer": "x".repeat(5000) }).to_string();
    let longer = json!({ "answer": "x".repeat(50_000) }).to_string();
    for (method, path, body, more, status, kind) in [
        ("GET", "/questions", "", &[("authorization", "Bearer x")][..], 401, "token"),
        ("GET", "/questions", "", &[("host", "evil.example")], 403, "host"),
        ("POST", &path, r#"{"answer": "x"}"#, &[("origin", "http://evil.example")], 403, "origin"),
        ("POST", &path, r#"{"answer": "x"}"#, &[("content-type", "text/plain")], 415, "content_type"),
        ("POST", &path, "answer=x", &[], 422, "body"),
        ("POST", &path, r#"{"answer": 3}"#, &[], 422, "body"),
        ("POST", &path, r#"{"answer": "x", "more": 1}"#, &[], 422, "body"),
        ("POST", &path, "", &[], 422, "body"),
        ("POST", &path, &long, &[], 413, "too_long"),
        ("POST", &path, &longer, &[], 413, "too_long"),
        ("POST", "/questions/99", r#"{"answer": "x"}"#, &[], 404, "unknown"),
        ("POST", "/questions/-1", r#"{"answer": "x"}"#, &[], 404, "unknown"),
        ("POST", "/resume", "{}", &[], 409, "not_paused"),
        ("GET", "/other", "", &[], 404, "path"),
        ("DELETE", "/questions", "", &[], 405, "method"),
        ("GET", "/pause", "", &[], 405, "method"),
    ] {
        let (found, answer) = client.send(method, path, body, more);
        assert_eq!(
            (found, &answer["error"]["kind"]),
            (status, &json!(kind)),
            "{method} {path} {body:.40}: {answer}"
        );
        assert!(answer["error"]["message"].as_str().is_some_and(|message| message.len() > 5));
    }
    assert_eq!(client.list()["questions"][0]["id"], id, "none of them has answered it");
    assert_eq!(client.post(&path, &json!({ "answer": "red" })).0, 200);
    assert_eq!(server.board().take(id).as_deref(), Some("red"));
    assert_eq!(server.board().answer(id, String::new()), Err(AnswerError::Closed { id }));
    let address = server.address();
    drop(server);
    // A process that a test beside this one starts has the listener too, until it is another program.
    let is_gone = || TcpStream::connect(address).is_err();
    let gone = (0..200).any(|_| is_gone() || (std::thread::sleep(Duration::from_millis(50)), false).1);
    assert!(gone, "it ends with the run");
}

/// What comes back on a connection until it ends.
fn rest(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => (),
        // It was ended with something of ours unread.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => (),
        Err(error) => panic!("it is never ended: {error}"),
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn who_is_slow_is_let_go_of() {
    let server = served(ServerLimits { time: Duration::from_millis(300), ..ServerLimits::default() });
    let head = format!(
        "POST /pause HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        server.address(),
        server.token()
    );
    let body_is_late = format!("{head}content-length: 2\r\n\r\n{{");
    for begun in ["", "POST /pau", &head, &body_is_late] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        assert_eq!(rest(&stream), "", "{begun:?}");
    }
    // One header after the other, none of them late.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let drips = |_: &u32| {
        std::thread::sleep(Duration::from_millis(20));
        stream.write_all(b"x: y\r\n").is_ok()
    };
    assert!((0..3000).take_while(drips).count() < 3000, "it is never ended");
    assert_eq!(Client::of(&server).list()["paused"], false);
}

#[test]
fn so_many_are_served_at_once_and_who_comes_then_has_their_turn() {
    let server = served(ServerLimits { connections: 2, time: Duration::from_secs(600) });
    let idle: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let client = Client::of(&server);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(client.list()).unwrap());
    assert!(told.recv_timeout(Duration::from_millis(500)).is_err(), "both places are taken");
    drop(idle);
    assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap()["paused"], false);
}

#[test]
fn headers_without_end_are_refused() {
    let server = served(ServerLimits::default());
    let client = Client::of(&server);
    let long = "x".repeat(10_000);
    let many: Vec<String> = (0..80).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "y")).collect();
    for more in [&[("x", long.as_str())][..], &many] {
        let request = more.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!(
            "GET /questions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{}\r\n",
            client.address,
            client.token,
            request.collect::<String>()
        );
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let answer = rest(&stream);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(client.list()["paused"], false);
}

#[test]
fn an_address_that_strangers_reach_is_refused() {
    let desk = Desk::tiny();
    let refused = desk.team(KEEPER, &["--people=0.0.0.0:8700"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("127.0.0.1:8700 would do"), "{}", refused.stderr);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = desk.team(KEEPER, &[&format!("--people={}", taken.local_addr().unwrap())]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("--people 127.0.0.1:"), "{}", refused.stderr);
}
