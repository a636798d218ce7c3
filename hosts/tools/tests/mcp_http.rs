//! Servers of tools that answer over streamable HTTP, honest ones and others.

mod mcp_rig;
mod rig;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentos_hal::PeripheralError;
use agentos_tools::Tool;
use agentos_tools::mcp::{Declaration, Hub, McpError, Reach, Server, Token};
use serde_json::{Value, json};

use mcp_rig::declaration;
use rig::call;

/// How a server answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// With a JSON body.
    Json,
    /// With a stream of events.
    Events,
    /// Elsewhere, it says.
    Moved,
    /// With a body that does not end.
    Endless,
    /// Not at all.
    Silent,
    /// With a page for people.
    Page,
}

/// What the server heard: the headers of all requests.
type Heard = Arc<Mutex<Vec<String>>>;

/// Serves on a port of this machine for as long as the test runs; and the address.
fn serve(manner: Manner) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let heard = Heard::default();
    let hears = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let heard = Arc::clone(&hears);
            std::thread::spawn(move || answer(stream, manner, &heard));
        }
    });
    (url, heard)
}

fn answer(mut stream: TcpStream, manner: Manner, heard: &Heard) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    heard.lock().unwrap().push(head.clone());
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let mut reply = |status: &str, kind: &str, body: &str| {
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .ok()
    };
    if !head.starts_with("POST") {
        return reply("405 Method Not Allowed", "text/plain", "");
    }
    let message: Value = serde_json::from_slice(&body).ok()?;
    match manner {
        Manner::Moved => {
            return write!(stream, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").ok();
        }
        Manner::Silent => {
            std::thread::sleep(Duration::from_secs(600));
            return None;
        }
        Manner::Page => return reply("200 OK", "text/html", "<html>Please log in.</html>"),
        Manner::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n").ok()?;
            // Ends when nobody reads.
            while stream.write_all(&[b' '; 1 << 16]).is_ok() {}
            return None;
        }
        Manner::Json | Manner::Events => (),
    }
    match mcp_rig::answer(&message, &mut 0) {
        None if message["method"] == "tools/call" => {
            std::thread::sleep(Duration::from_secs(600));
            None
        }
        None => reply("202 Accepted", "text/plain", ""),
        Some(answer) if manner == Manner::Json => reply("200 OK", "application/json", &answer.to_string()),
        Some(answer) => reply("200 OK", "text/event-stream", &format!("event: message\ndata: {answer}\n\n")),
    }
}

fn at(url: &str) -> Declaration {
    declaration(Reach::Http { url: url.to_owned(), token: Some(Token::Text("secret".to_owned())) })
}

fn tool<'s>(server: &'s mut Server, name: &str) -> &'s mut Tool {
    let name = format!("rig.{name}");
    server.tools.iter_mut().find(|tool| tool.descriptor.name == name).expect("a tool of the rig")
}

#[test]
fn calls_are_answered_with_json_and_with_events() {
    let hub = Hub::new(|| ()).expect("a thread");
    for manner in [Manner::Json, Manner::Events] {
        let (url, heard) = serve(manner);
        let mut server = hub.connect(at(&url)).expect("it answers");
        let said = call(tool(&mut server, "echo"), &json!({ "text": "hello" }));
        assert_eq!(said, Ok("hello".to_owned()));
        let failed = call(tool(&mut server, "fail"), &json!({}));
        assert_eq!(failed, Err((PeripheralError::Failed, "the disk is full".to_owned())));
        let heard = heard.lock().unwrap();
        let all = heard.iter().all(|head| head.to_ascii_lowercase().contains("authorization: bearer secret"));
        assert!(all, "{heard:?}");
    }
}

#[test]
fn answers_are_bounded() {
    let hub = Hub::new(|| ()).expect("a thread");
    for manner in [Manner::Json, Manner::Events] {
        let (url, _) = serve(manner);
        let timeout = Duration::from_secs(5);
        let mut server = hub.connect(Declaration { timeout, ..at(&url) }).expect("it answers");
        let (error, why) = call(tool(&mut server, "giant"), &json!({})).expect_err("more than is read");
        assert!(matches!(error, PeripheralError::Gone | PeripheralError::Failed), "{error:?}: {why}");
        let said = call(tool(&mut server, "echo"), &json!({ "text": "still here" }));
        assert_eq!(said, Ok("still here".to_owned()));
    }
}

#[test]
fn a_call_that_hangs_fails_after_its_time() {
    let hub = Hub::new(|| ()).expect("a thread");
    let (url, _) = serve(Manner::Json);
    let timeout = Duration::from_millis(200);
    let mut server = hub.connect(Declaration { timeout, ..at(&url) }).expect("it answers");
    let (error, why) = call(tool(&mut server, "hang"), &json!({})).expect_err("no answer");
    assert_eq!((error, why.starts_with("no answer after 200 ms")), (PeripheralError::Failed, true), "{why}");
}

#[test]
fn servers_that_do_not_answer_are_told() {
    let hub = Hub::new(|| ()).expect("a thread");
    let refused = |declared: Declaration| match hub.connect(declared) {
        Ok(_) => panic!("it answered"),
        Err(error) => error,
    };
    for (manner, start) in [
        (Manner::Moved, Duration::from_secs(60)),
        (Manner::Endless, Duration::from_secs(60)),
        (Manner::Page, Duration::from_secs(60)),
    ] {
        let error = refused(Declaration { start, ..at(&serve(manner).0) });
        assert!(matches!(error, McpError::Protocol { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let start = Duration::from_millis(300);
    let error = refused(Declaration { start, ..at(&serve(Manner::Silent).0) });
    assert_eq!(error, McpError::Slow { limit: start, last_words: String::new() });
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let error = refused(at(&format!("http://{nobody}/")));
    assert!(matches!(error, McpError::Protocol { .. }), "{error}");
    for url in ["", "no address", "http://", "\u{0}"] {
        let error = refused(at(url));
        assert!(matches!(error, McpError::Address { .. }), "{error}");
    }
    assert!(!format!("{:?}", at("http://localhost/")).contains("secret"));
}
