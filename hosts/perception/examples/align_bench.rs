//! How long it takes to align a JSON document of a megabyte, beside a parse of it by `serde_json` alone.
//!
//! `cargo run --release -p agentos-perception --example align_bench`

use std::hint::black_box;
use std::time::{Duration, Instant};

use agentos_perception::{ControlStrings, Measures, Request, align};

const ROUNDS: usize = 200;
const BYTES: usize = 1 << 20;

fn main() {
    let controls = ControlStrings::new(["<|im_start|>", "<|im_end|>", "<|endoftext|>"]).expect("a small set");
    let request = Request {
        tool: "http_get",
        source: "http://localhost/orders",
        failed: false,
        taken: "2026-01-01T00:00:00Z",
        about: "Which orders of Ms Okafor are late?",
        charset: None,
        schema: None,
        controls: &controls,
        limit_bytes: 4 << 20,
        budget_tokens: 1000,
    };
    // About what a tokenizer makes of such text, in about the time that a fast one takes.
    let count = |text: &str| text.split(|c: char| !c.is_alphanumeric()).map(|word| 1 + word.len() / 5).sum();
    for (name, text) in [
        ("orders", orders()),
        ("orders, indented", indented(&orders())),
        ("nested", nested()),
        ("strings", strings()),
    ] {
        let bytes = text.as_bytes();
        let aligned = align(bytes, &request, Measures { count: &count, score: None }).expect("it fits");
        let alignment = times(|| {
            let aligned = align(black_box(bytes), &request, Measures { count: &count, score: None });
            black_box(aligned.is_ok());
        });
        let parse = times(|| {
            black_box(serde_json::from_slice::<serde_json::Value>(black_box(bytes)).is_ok());
        });
        println!(
            "{name:<17} {} bytes to {} tokens: align median {:.2} ms, p99 {:.2} ms; serde_json parse median {:.2} ms, p99 {:.2} ms",
            bytes.len(),
            aligned.tokens,
            ms(alignment[ROUNDS / 2]),
            ms(alignment[ROUNDS * 99 / 100]),
            ms(parse[ROUNDS / 2]),
            ms(parse[ROUNDS * 99 / 100]),
        );
    }
}

/// The times of all rounds, shortest first.
fn times(mut work: impl FnMut()) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Many alike records.
fn orders() -> String {
    let names = ["Okafor", "Lindqvist", "Haddad", "Ferreira", "Novak"];
    let mut rows = Vec::new();
    let mut bytes = 0;
    while bytes < BYTES {
        let at = rows.len();
        let row = format!(
            "{{\"id\":{at},\"customer\":\"{}\",\"total\":{}.{:02},\"paid\":{},\"lines\":[{{\"sku\":\"A-{}\",\"n\":{}}}],\"note\":\"Deliver to the \\\"back\\\" door.\"}}",
            names[at % names.len()],
            at * 7 % 900,
            at % 100,
            at % 3 == 0,
            at * 31 % 5000,
            at % 9 + 1,
        );
        bytes += row.len() + 1;
        rows.push(row);
    }
    format!("{{\"orders\":[{}],\"next\":null}}", rows.join(","))
}

fn indented(text: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).expect("our own JSON");
    serde_json::to_string_pretty(&value).expect("our own JSON")
}

/// Records in records.
fn nested() -> String {
    fn level(depth: usize, width: usize) -> String {
        if depth == 0 {
            return "\"a value of some length\"".to_owned();
        }
        let entries: Vec<String> =
            (0..width).map(|at| format!("\"key{at}\":{}", level(depth - 1, width))).collect();
        format!("{{{}}}", entries.join(","))
    }
    let one = level(6, 5);
    format!("[{}]", vec![one; 2].join(","))
}

/// Few long strings.
fn strings() -> String {
    let text = "The lamp was lit at dusk, and \\u00e9teint at dawn. ".repeat(BYTES / 8 / 52);
    let entries: Vec<String> = (0..8).map(|at| format!("\"chapter{at}\":\"{text}\"")).collect();
    format!("{{{}}}", entries.join(","))
}
