//! The tokens of the corpus are those that llama.cpp counts. `fixtures/text_tokens.py` made what is
//! expected.

mod text_support;

use agentos_desktop::text::{Special, Tokenizer};
use text_support::{corpus, default_model, fixture, read, tokenizer, with_vocabulary};

/// The lists of `text_smollm.ids`: for each text without and with special tokens parsed.
fn expected_ids() -> Vec<[Vec<u32>; 2]> {
    let bytes = read("text_smollm.ids");
    let mut numbers = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut lists = Vec::new();
    while let Some(count) = numbers.next() {
        let plain: Vec<u32> = numbers.by_ref().take(count.into()).map(u32::from).collect();
        let parsed = match numbers.next().expect("a second list") {
            u16::MAX => plain.clone(),
            count => numbers.by_ref().take(count.into()).map(u32::from).collect(),
        };
        lists.push([plain, parsed]);
    }
    lists
}

fn encode(tokenizer: &Tokenizer, text: &str) -> [Vec<u32>; 2] {
    [Special::AsText, Special::Parse].map(|special| tokenizer.encode(text, special).expect("tokens"))
}

#[test]
fn the_default_model_counts_as_llama_cpp() {
    let tokenizer = tokenizer(&default_model());
    let (texts, expected) = (corpus(), expected_ids());
    assert_eq!(texts.len(), expected.len());
    for (text, expected) in texts.iter().zip(&expected) {
        assert_eq!(&encode(&tokenizer, text), expected, "{text:?}");
        // The vocabulary has no tokens for some control characters: they get lost.
        if !text.chars().any(|char| char < '\u{20}' || char == '\u{7f}') {
            assert_eq!(tokenizer.decode(&expected[0]), *text);
        }
    }
}

/// FNV-1a as `text_tokens.py` computes it.
fn sum(ids: &[u32]) -> u32 {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    bytes.fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn check_small(name: &str) {
    let tokenizer = tokenizer(&read(&format!("text_{name}.gguf")));
    let sums = read(&format!("text_{name}.sums"));
    let sums: Vec<u32> =
        sums.chunks_exact(4).map(|sum| u32::from_le_bytes(sum.try_into().expect("four bytes"))).collect();
    let texts = corpus();
    assert_eq!(sums.len(), 2 * texts.len());
    for (text, expected) in texts.iter().zip(sums.chunks_exact(2)) {
        let [plain, parsed] = encode(&tokenizer, text);
        assert_eq!(sum(&parsed), expected[1], "{text:?}: {parsed:?}");
        // llama.cpp finds user-defined tokens in any text; here only where special tokens are asked for.
        if text.contains("<tool>") {
            let tool = tokenizer.encode("<tool>", Special::Parse).expect("tokens");
            assert!(tool.len() == 1 && !plain.contains(&tool[0]), "{text:?}: {plain:?}");
        } else {
            assert_eq!(sum(&plain), expected[0], "{text:?}: {plain:?}");
        }
    }
}

#[test]
fn a_llama_3_vocabulary_counts_as_llama_cpp() {
    check_small("llama-bpe");
}

#[test]
fn a_qwen_2_vocabulary_counts_as_llama_cpp() {
    check_small("qwen2");
}

#[test]
fn a_gpt_2_vocabulary_counts_as_llama_cpp() {
    check_small("gpt-2");
}

#[test]
fn a_vocabulary_of_no_stated_kind_counts_as_llama_cpp() {
    check_small("default");
}

#[test]
fn a_sentencepiece_vocabulary_counts_as_llama_cpp() {
    check_small("spm");
}

#[test]
fn sentencepiece_texts_come_back() {
    let tokenizer = tokenizer(&read("text_spm.gguf"));
    // After a token of its own, such as that of four spaces, a text begins with one more.
    for text in corpus().iter().filter(|text| !text.contains("    ")) {
        // U+2581 is how SentencePiece writes a space.
        let [plain, _] = encode(&tokenizer, text);
        assert_eq!(tokenizer.decode(&plain), text.replace('\u{2581}', " "));
    }
}

/// The `tokenizers` crate reads the same rules from a `tokenizer.json` and must come to the same tokens.
#[test]
fn a_tokenizer_json_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokenizer.json");
    let file = read("text_qwen2.gguf");
    with_vocabulary(&file, |vocabulary| {
        let normal = vocabulary.types.iter().take_while(|&&kind| kind == 1).count();
        let tokens: serde_json::Map<String, serde_json::Value> = vocabulary.tokens[..normal]
            .iter()
            .zip(0..)
            .map(|(&text, id)| (text.to_owned(), id.into()))
            .collect();
        let pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "post_processor": null, "decoder": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            ]},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "vocab": tokens, "merges": vocabulary.merges},
        });
        std::fs::write(&path, json.to_string()).expect("written");
        let (own, json) = (Tokenizer::new(vocabulary), Tokenizer::from_json_file(&path, vocabulary));
        let (own, json) = (own.expect("a tokenizer"), json.expect("a tokenizer"));
        for text in corpus() {
            // The two differ in letters that only Unicode's case folding makes an English one.
            if !text.contains('ſ') {
                assert_eq!(encode(&own, &text), encode(&json, &text), "{text:?}");
            }
        }
    });
    let other = read("text_gpt-2.gguf");
    let error = with_vocabulary(&other, |vocabulary| Tokenizer::from_json_file(&path, vocabulary).err());
    let message = error.expect("refused").to_string();
    assert!(message.contains("belongs to another model: its token"), "{message}");
    let error = with_vocabulary(&other, |vocabulary| {
        Tokenizer::from_json_file(&fixture("text_corpus.jsonl"), vocabulary).err()
    });
    assert!(error.expect("refused").to_string().contains("text_corpus.jsonl cannot be used"));
}
