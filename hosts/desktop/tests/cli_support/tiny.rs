//! A model of two layers with random weights and a vocabulary of bytes, written as a GGUF file.

/// What the file is to say. The default is a model that works.
pub struct Tiny {
    /// The text of each token.
    pub tokens: Vec<String>,
    /// The type of each token, as GGUF numbers them.
    pub types: Vec<u32>,
    /// Rows of the embedding.
    pub rows: u32,
    pub architecture: &'static str,
    pub context: u32,
    pub template: Option<&'static str>,
    /// The template for conversations with tools.
    pub tool_use: Option<&'static str>,
    /// What the tokenizer is called; none leaves all of it out.
    pub tokenizer: Option<&'static str>,
    /// Stands in one weight instead of a number.
    pub poison: Option<f32>,
    /// What it likes to say after a token, and how much; then it sees nothing else. Of all other tokens it likes
    /// the first that it may say.
    pub script: Vec<(u32, u32, f32)>,
}

const NORMAL: u32 = 1;
const CONTROL: u32 = 3;

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n\
    {{ message['content'] }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

impl Default for Tiny {
    fn default() -> Tiny {
        let mut tokens: Vec<String> = (0..=u8::MAX).map(|byte| spelled(byte).to_string()).collect();
        tokens.extend(["th", "<|im_start|>", "<|im_end|>"].map(String::from));
        let mut types = vec![NORMAL; 257];
        types.extend([CONTROL, CONTROL]);
        Tiny {
            rows: tokens.len() as u32,
            tokens,
            types,
            architecture: "llama",
            context: 256,
            template: Some(TEMPLATE),
            tool_use: None,
            tokenizer: Some("gpt2"),
            poison: None,
            script: Vec::new(),
        }
    }
}

/// The token that begins a message.
pub const IM_START: u64 = 257;

/// The token that ends one.
pub const IM_END: u64 = 258;

/// The character that stands for a byte in GPT-2's spelling.
fn spelled(byte: u8) -> char {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(&byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !printable(byte)).count();
    char::from_u32(0x100 + before as u32).unwrap()
}

const LAYERS: u32 = 2;
const WIDTH: u32 = 32;
const FFN: u32 = 48;
const KV_WIDTH: u32 = 16;

impl Tiny {
    /// The file.
    pub fn gguf(&self) -> Vec<u8> {
        let mut file = File::default();
        self.describe(&mut file);
        self.add_weights(&mut file);
        file.bytes()
    }

    fn describe(&self, file: &mut File) {
        let architecture = self.architecture;
        file.text("general.architecture", architecture);
        file.text("general.name", "Tiny \u{1b}[31mmodel");
        for (key, value) in [
            ("block_count", LAYERS),
            ("context_length", self.context),
            ("embedding_length", WIDTH),
            ("feed_forward_length", FFN),
            ("attention.head_count", WIDTH / 16),
            ("attention.head_count_kv", KV_WIDTH / 16),
        ] {
            file.number(&format!("{architecture}.{key}"), 4, &value.to_le_bytes());
        }
        let epsilon = format!("{architecture}.attention.layer_norm_rms_epsilon");
        file.number(&epsilon, 6, &1e-5f32.to_le_bytes());
        if let Some(tokenizer) = self.tokenizer {
            file.text("tokenizer.ggml.model", tokenizer);
            file.text("tokenizer.ggml.pre", "smollm");
            file.texts("tokenizer.ggml.tokens", &self.tokens);
            file.texts("tokenizer.ggml.merges", &["t h".to_owned()]);
            file.numbers("tokenizer.ggml.token_type", &self.types);
            file.number("tokenizer.ggml.eos_token_id", 4, &(IM_END as u32).to_le_bytes());
        }
        if let Some(template) = self.template {
            file.text("tokenizer.chat_template", template);
        }
        if let Some(template) = self.tool_use {
            file.texts("tokenizer.chat_templates", &["tool_use".to_owned()]);
            file.text("tokenizer.chat_template.tool_use", template);
        }
    }

    /// Weights of a model in which each token of the script has a number of its own in its hidden row, and what
    /// comes after it is read from there.
    fn add_script(&self, file: &mut File) {
        let mut from: Vec<u32> = self.script.iter().map(|&(token, _, _)| token).collect();
        from.dedup();
        assert!(from.len() <= WIDTH as usize, "a row has {WIDTH} numbers");
        let place = |token| from.iter().position(|&other| other == token).expect("it is one of these");
        let matrix = |entries: &mut dyn Iterator<Item = (u32, u32, f32)>| {
            let mut numbers = vec![0.0f32; (self.rows * WIDTH) as usize];
            for (row, token, weight) in entries {
                numbers[row as usize * WIDTH as usize + place(token)] = weight;
            }
            numbers
        };
        let embedding = matrix(&mut from.iter().map(|&token| (token, token, 1.0)));
        let output = matrix(&mut self.script.iter().map(|&(token, next, much)| (next, token, much)));
        file.tensor("token_embd.weight", self.rows, WIDTH, embedding);
        file.tensor("output.weight", self.rows, WIDTH, output);
    }

    fn add_weights(&self, file: &mut File) {
        let spoken = self.script.is_empty();
        let mut seed = 1u64;
        let mut add = |name: &str, rows: u32, cols: u32, mean: f32, spread: f32| {
            let mut number = |mean: f32, spread: f32| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                mean + spread * ((seed >> 40) as f32 / (1 << 23) as f32 - 1.0)
            };
            let spread = if spoken { spread } else { 0.0 };
            let mut number = || number(mean, spread);
            let numbers: Vec<f32> = (0..rows * cols).map(|_| number()).collect();
            file.tensor(name, rows, cols, numbers);
        };
        if spoken {
            add("token_embd.weight", self.rows, WIDTH, 0.0, 1.0);
        }
        for layer in 0..LAYERS {
            let mut of_layer = |name: &str, rows, cols, mean, spread| {
                add(&format!("blk.{layer}.{name}.weight"), rows, cols, mean, spread);
            };
            of_layer("attn_norm", 1, WIDTH, 1.0, 0.2);
            of_layer("attn_q", WIDTH, WIDTH, 0.0, 0.4);
            of_layer("attn_k", KV_WIDTH, WIDTH, 0.0, 0.4);
            of_layer("attn_v", KV_WIDTH, WIDTH, 0.0, 0.4);
            of_layer("attn_output", WIDTH, WIDTH, 0.0, 0.4);
            of_layer("ffn_norm", 1, WIDTH, 1.0, 0.2);
            of_layer("ffn_gate", FFN, WIDTH, 0.0, 0.4);
            of_layer("ffn_up", FFN, WIDTH, 0.0, 0.4);
            of_layer("ffn_down", WIDTH, FFN, 0.0, 0.4);
        }
        add("output_norm.weight", 1, WIDTH, 1.0, 0.2);
        if !spoken {
            self.add_script(file);
        }
        if let Some(poison) = self.poison {
            file.data[40..44].copy_from_slice(&poison.to_le_bytes());
        }
    }
}

/// A GGUF file under way.
#[derive(Default)]
struct File {
    keys: u64,
    metadata: Vec<u8>,
    tensors: u64,
    records: Vec<u8>,
    data: Vec<u8>,
}

const ALIGNMENT: usize = 32;

impl File {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(self.tensors.to_le_bytes());
        bytes.extend(self.keys.to_le_bytes());
        bytes.extend(self.metadata);
        bytes.extend(self.records);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(self.data);
        bytes
    }

    fn key(&mut self, key: &str, kind: u32) {
        self.keys += 1;
        push_text(&mut self.metadata, key);
        self.metadata.extend(kind.to_le_bytes());
    }

    fn number(&mut self, key: &str, kind: u32, bytes: &[u8]) {
        self.key(key, kind);
        self.metadata.extend(bytes);
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key, 8);
        push_text(&mut self.metadata, text);
    }

    fn array(&mut self, key: &str, kind: u32, len: usize) {
        self.key(key, 9);
        self.metadata.extend(kind.to_le_bytes());
        self.metadata.extend((len as u64).to_le_bytes());
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        self.array(key, 8, texts.len());
        texts.iter().for_each(|text| push_text(&mut self.metadata, text));
    }

    fn numbers(&mut self, key: &str, numbers: &[u32]) {
        self.array(key, 4, numbers.len());
        self.metadata.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    fn tensor(&mut self, name: &str, rows: u32, cols: u32, numbers: Vec<f32>) {
        self.tensors += 1;
        push_text(&mut self.records, name);
        let dims: &[u32] = if rows == 1 { &[cols] } else { &[cols, rows] };
        self.records.extend((dims.len() as u32).to_le_bytes());
        self.records.extend(dims.iter().flat_map(|&dim| u64::from(dim).to_le_bytes()));
        self.records.extend(0u32.to_le_bytes());
        self.records.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
