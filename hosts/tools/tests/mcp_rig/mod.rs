//! A server of tools that does what servers should not, to be run in a process of its own: the protocol by hand,
//! so that it can be broken.

#![allow(dead_code)]

use std::io::{BufRead, Write};
use std::time::Duration;

use agentos_tools::Urgency;
use agentos_tools::mcp::{Declaration, Reach};
use serde_json::{Value, json};

/// How a tested server is declared.
pub fn declaration(reach: Reach) -> Declaration {
    Declaration {
        name: "rig".to_owned(),
        reach,
        start: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        urgency: Urgency::High,
        message_bytes: 1 << 20,
        calls: 8,
        output_bytes: 1 << 16,
        output_tokens: 1000,
        examples: Vec::new(),
        trusted: true,
    }
}

/// This very test program, as a server: it runs one of its tests that are ignored otherwise. What the test
/// runner prints before is the first that the client has to pass over.
pub fn program(test: &str) -> Reach {
    Reach::Command {
        program: std::env::current_exe().expect("a test program"),
        arguments: ["--exact", test, "--ignored", "--nocapture"].map(str::to_owned).to_vec(),
        environment: Vec::new(),
        folder: None,
    }
}

/// The tools of the rig, good ones and others.
pub fn tools() -> Value {
    let text =
        json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
    let none = json!({ "type": "object" });
    let reads = json!({ "readOnlyHint": true });
    json!([
        { "name": "echo", "description": "Says it\u{202e} again.", "inputSchema": text, "annotations": reads },
        { "name": "set", "inputSchema": text, "annotations": { "idempotentHint": true } },
        { "name": "fail", "inputSchema": none },
        { "name": "refuse", "inputSchema": none },
        { "name": "wrong", "inputSchema": none },
        { "name": "junk", "inputSchema": none },
        { "name": "giant", "inputSchema": none },
        { "name": "large", "inputSchema": none },
        { "name": "hang", "inputSchema": none },
        { "name": "cancelled", "inputSchema": none },
        { "name": "die", "inputSchema": none },
        { "name": "environment", "inputSchema": none },
        { "name": "leave", "inputSchema": none },
        { "name": "typed", "inputSchema": none, "outputSchema": { "type": "object" } },
        { "name": "no name", "inputSchema": none },
        { "name": "echo", "inputSchema": none },
        { "name": "endless", "inputSchema": { "$ref": "#" } },
        { "name": "elsewhere", "inputSchema": { "$ref": "http://localhost:1/schema" } },
    ])
}

/// What the server answers to a message; none for what needs no answer.
pub fn answer(message: &Value, cancelled: &mut u64) -> Option<Value> {
    let id = message.get("id").cloned();
    let result = match message["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "rig", "version": "1" },
        }),
        "tools/list" => json!({ "tools": tools() }),
        "tools/call" => match call(&message["params"], *cancelled) {
            Ok(result) => result?,
            Err(error) => return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error })),
        },
        "notifications/cancelled" => {
            *cancelled += 1;
            return None;
        }
        _ => return None,
    };
    Some(json!({ "jsonrpc": "2.0", "id": id?, "result": result }))
}

/// The result of a call, or none where there is no answer; or an error of the protocol.
fn call(params: &Value, cancelled: u64) -> Result<Option<Value>, Value> {
    let text = |text: &str| json!({ "content": [{ "type": "text", "text": text }] });
    Ok(Some(match params["name"].as_str().unwrap_or_default() {
        "echo" | "set" => text(params["arguments"]["text"].as_str().unwrap_or("no text")),
        "fail" => json!({ "content": [{ "type": "text", "text": "the disk is full" }], "isError": true }),
        "refuse" => return Err(json!({ "code": -32602, "message": "not today" })),
        "wrong" => json!({ "tools": [] }),
        "junk" => {
            let mut out = std::io::stdout().lock();
            for _ in 0..1000 {
                out.write_all(b"DEBUG: \xff\xfe not JSON\n{\"jsonrpc\":\"2.0\"\n[]\n\n").expect("a pipe");
            }
            text("after the junk")
        }
        "giant" => text(&"x".repeat(3 << 20)),
        "large" => text(&"x".repeat(1 << 17)),
        "cancelled" => text(&cancelled.to_string()),
        "environment" => {
            let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            text(&names.join(" "))
        }
        "leave" => {
            #[expect(clippy::zombie_processes, reason = "it is left behind on purpose")]
            let left = std::process::Command::new("sleep").arg("600").spawn().expect("a process");
            text(&left.id().to_string())
        }
        "typed" => json!({ "content": [], "structuredContent": { "celsius": 3.5 } }),
        "die" => {
            eprintln!("out of \u{1b}[31mluck");
            std::process::exit(3)
        }
        _ => return Ok(None),
    }))
}

/// Speaks over standard input and output until nobody does.
pub fn serve() {
    let mut cancelled = 0;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(answer) = answer(&message, &mut cancelled) {
            say(&answer.to_string());
        }
    }
}

/// Writes a line of the protocol.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .expect("a pipe");
}
