//! Chat templates of the shapes that models in use have, each with a vocabulary of bytes and of its own control tokens.

use std::sync::Arc;

use agentos_desktop::text::{CallFormat, Template, Tokenizer, Vocabulary};

/// A template and the tokens that it steers a model with.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub name: &'static str,
    pub source: &'static str,
    /// Tokens that are no part of texts.
    pub control: &'static [&'static str],
    /// Tokens beside them that files call user-defined.
    pub defined: &'static [&'static str],
    pub bos: &'static str,
    pub eos: &'static str,
    /// It takes tools.
    pub calls: bool,
}

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] \
    + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// One of each shape.
pub const SHAPES: [Shape; 5] = [
    Shape {
        name: "chatml",
        source: CHATML,
        control: &["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        defined: &[],
        bos: "<|endoftext|>",
        eos: "<|im_end|>",
        calls: false,
    },
    Shape {
        name: "hermes",
        source: include_str!("../fixtures/tools_hermes.jinja"),
        control: &["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        defined: &[
            "<tool_call>",
            "</tool_call>",
            "<tool_response>",
            "</tool_response>",
            "<think>",
            "</think>",
        ],
        bos: "<|endoftext|>",
        eos: "<|im_end|>",
        calls: true,
    },
    Shape {
        name: "hermes without tokens for calls",
        source: include_str!("../fixtures/tools_hermes.jinja"),
        control: &["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        defined: &[],
        bos: "<|endoftext|>",
        eos: "<|im_end|>",
        calls: true,
    },
    Shape {
        name: "llama3",
        source: include_str!("../fixtures/tools_llama3.jinja"),
        control: &[
            "<|begin_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|python_tag|>",
        ],
        defined: &[],
        bos: "<|begin_of_text|>",
        eos: "<|eot_id|>",
        calls: true,
    },
    Shape {
        name: "mistral",
        source: include_str!("../fixtures/tools_mistral.jinja"),
        control: &[
            "<s>",
            "</s>",
            "[INST]",
            "[/INST]",
            "[TOOL_CALLS]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
        ],
        defined: &[],
        bos: "<s>",
        eos: "</s>",
        calls: true,
    },
];

/// A shape, ready for use.
pub struct Ready {
    pub shape: Shape,
    pub template: Template,
    pub tokenizer: Arc<Tokenizer>,
    pub format: Option<Arc<CallFormat>>,
}

impl Shape {
    pub fn named(name: &str) -> Shape {
        SHAPES.into_iter().find(|shape| shape.name == name).expect("a shape")
    }

    /// All strings that steer it.
    pub fn strings(&self) -> impl Iterator<Item = &'static str> {
        self.control.iter().chain(self.defined).copied()
    }

    pub fn ready(self) -> Ready {
        let template = Template::new(self.source, self.bos, self.eos).expect("a template");
        let tokenizer = Arc::new(self.tokenizer());
        let format = CallFormat::of(&template, &tokenizer, 0).map(Arc::new);
        Ready { shape: self, template, tokenizer, format }
    }

    fn tokenizer(&self) -> Tokenizer {
        let bytes: Vec<String> = (0..=u8::MAX).map(|byte| spelled(byte).to_string()).collect();
        let mut tokens: Vec<&str> = bytes.iter().map(String::as_str).collect();
        tokens.extend(["th", "\":", "<|", "|>", "}\u{10a}"]);
        let mut types = vec![1; tokens.len()];
        tokens.extend(self.control);
        types.resize(tokens.len(), 3);
        tokens.extend(self.defined);
        types.resize(tokens.len(), 4);
        let id = |text: &str| tokens.iter().position(|token| *token == text).map(|id| id as u32);
        let vocabulary = Vocabulary {
            model: "gpt2",
            pre: Some("gpt-2"),
            bos: id(self.bos),
            eos: id(self.eos),
            merges: vec!["t h", "\" :", "< |", "| >", "} \u{10a}"],
            types,
            tokens,
            ..Vocabulary::default()
        };
        Tokenizer::new(&vocabulary).expect("a tokenizer")
    }
}

/// The character that stands for a byte in GPT-2's spelling.
fn spelled(byte: u8) -> char {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(&byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !printable(byte)).count();
    char::from_u32(0x100 + before as u32).expect("a character")
}

/// The text of tokens, control tokens by their names.
pub fn spelled_out(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.piece(id)).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The tokens of a list that are more than text.
pub fn steering(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|&id| !tokenizer.is_text(id)).collect()
}
