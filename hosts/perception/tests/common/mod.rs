//! What several tests need: control strings of well-known models, a stand-in for a tokenizer, requests.

#![allow(dead_code)]

use agentos_perception::text::hidden;
use agentos_perception::{Aligned, ControlStrings, Measures, Misfit, Request, align};

/// Control strings of ChatML, Llama, Qwen, Mistral and Gemma.
pub const CONTROLS: [&str; 16] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<tool_call>",
    "</tool_call>",
    "[TOOL_RESULTS]",
    "<start_of_turn>",
    "<end_of_turn>",
];

pub fn controls() -> ControlStrings {
    ControlStrings::new(CONTROLS).expect("a small set")
}

/// Tokens as a tokenizer might make them: a word, a number or a sign each, long words in pieces of four
/// letters, and a character of another script each.
pub fn tokens(text: &str) -> usize {
    let (mut count, mut run) = (0, 0);
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            count += usize::from(run % 4 == 0);
            run += 1;
        } else {
            run = 0;
            count += usize::from(c != ' ');
        }
    }
    count
}

pub fn request<'a>(controls: &'a ControlStrings, budget_tokens: usize) -> Request<'a> {
    Request {
        tool: "read_file",
        source: "notes.txt",
        failed: false,
        taken: "",
        about: "",
        charset: None,
        schema: None,
        controls,
        limit_bytes: 16 << 20,
        budget_tokens,
    }
}

pub fn aligned(bytes: &[u8], budget_tokens: usize) -> Result<Aligned, Misfit> {
    let controls = controls();
    align(bytes, &request(&controls, budget_tokens), Measures { count: &tokens, score: None })
}

/// The text below the header.
pub fn body(aligned: &Aligned) -> &str {
    aligned.text.split_once('\n').map_or("", |(_, body)| body)
}

/// What every result promises, whatever it was made of.
pub fn hold_promises(what: &str, aligned: &Aligned, controls: &[&str], budget: usize) {
    let text = &aligned.text;
    assert!(aligned.tokens <= budget, "{what}: {} tokens, and the budget is {budget}", aligned.tokens);
    assert_eq!(aligned.tokens, tokens(text), "{what}: the tokens told are not those of the text");
    for control in controls {
        assert!(!text.contains(control), "{what}: {control} is in {text:?}");
    }
    let headers = text.lines().filter(|line| line.trim_start().starts_with("[tool ")).count();
    assert_eq!(headers, 1, "{what}: headers in {text:?}");
    assert!(text.starts_with("[tool \""), "{what}: {text:?}");
    let chars: Vec<char> = text.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let why = hidden(before, c, chars.get(at + 1).copied());
        assert_eq!(why, None, "{what}: {c:?} at {at} of {text:?}");
        assert!(!matches!(c, '\r' | '\u{2028}' | '\u{2029}'), "{what}: {c:?} in {text:?}");
    }
}
