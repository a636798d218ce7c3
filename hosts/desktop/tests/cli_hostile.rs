//! What cannot work is refused with a message that says what, where and what would fit; never with a
//! panic, and never with success.

mod cli_support;

use std::process::Stdio;

use cli_support::{Desk, Tiny};

const ASK: [&str; 4] = ["--prompt", "Hello", "--max-tokens", "2"];

#[track_caller]
fn refused(model: &[u8], parts: &[&str]) {
    let desk = Desk::new(model);
    desk.generate(&ASK, "").refuses(1, parts);
    desk.agentos(["inspect", "--model", desk.model().to_str().unwrap()]).refuses(1, parts);
}

#[test]
fn paths_that_are_no_model() {
    let desk = Desk::tiny();
    let generate = |path: &str| desk.agentos(["generate", "--prompt", "a", "--model", path]);
    generate("missing.gguf").refuses(1, &["missing.gguf"]);
    generate(".").refuses(1, &["is not a regular file; a GGUF file would fit"]);
    generate("/dev/null").refuses(1, &["/dev/null is not a regular file"]);
}

#[test]
fn a_file_cut_anywhere() {
    let whole = Tiny::default().gguf();
    refused(b"", &["model.gguf"]);
    for cut in [1, 4, 23, 24, 100, 5_000, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..cut], &["model.gguf", "byte"]);
    }
}

#[test]
fn bytes_that_mean_nothing() {
    let mut seed = 7u32;
    let mut random = |len: usize| -> Vec<u8> {
        let byte = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        std::iter::repeat_with(byte).take(len).collect()
    };
    refused(&random(10_000), &["not a GGUF file"]);
    // Damage behind the magic: refused, or harmless where it hits a weight or a name.
    let whole = Tiny::default().gguf();
    for _ in 0..30 {
        let mut damaged = whole.clone();
        let noise = random(3);
        let at = (usize::from(noise[0]) << 8 | usize::from(noise[1])) % 6_000 + 4;
        damaged[at] ^= noise[2] | 1;
        let ran = Desk::new(&damaged).generate(&ASK, "");
        assert!(ran.code == 0 || (ran.code == 1 && ran.stderr.starts_with("error: ")), "{}", ran.stderr);
    }
}

#[test]
fn models_that_contradict_themselves() {
    let model = |change: fn(&mut Tiny)| {
        let mut tiny = Tiny::default();
        change(&mut tiny);
        tiny.gguf()
    };
    refused(&model(|tiny| tiny.rows += 5), &["has 259 tokens and its embedding 264 rows"]);
    refused(&model(|tiny| tiny.rows -= 9), &["has 259 tokens and its embedding 250 rows"]);
    refused(&model(|tiny| tiny.types.truncate(3)), &["tokenizer.ggml.token_type"]);
    refused(&model(|tiny| tiny.tokens[3] = "a".to_owned()), &["vocabulary"]);
    refused(&model(|tiny| tiny.tokenizer = Some("wordpiece")), &["wordpiece"]);
    refused(&model(|tiny| tiny.tokenizer = None), &["tokenizer.ggml.model"]);
    refused(&model(|tiny| tiny.architecture = "mamba"), &["\"mamba\" is not supported; supported are llama"]);
    refused(&model(|tiny| tiny.context = 0), &["context is 0"]);
}

#[test]
fn weights_that_are_no_numbers() {
    let desk = Desk::new(&Tiny { poison: Some(f32::NAN), ..Tiny::default() }.gguf());
    for backend in ["cpu", "reference"] {
        // The poison is in the row of the first token of the vocabulary, which is the output's too.
        let ran = desk.generate(&[&ASK[..], &["--backend", backend]].concat(), "");
        ran.refuses(1, &["computed no number"]);
    }
}

#[test]
fn chat_templates_that_do_not_work() {
    let model = |template| Tiny { template: Some(template), ..Tiny::default() }.gguf();
    let ask = |template, parts: &[&str]| Desk::new(&model(template)).generate(&ASK, "").refuses(1, parts);
    ask("{% for %}", &["chat template"]);
    ask("{{ raise_exception('no user may ask') }}", &["refuses the conversation", "no user may ask"]);
    ask("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", &["--raw"]);
    let desk = Desk::new(&model("{% for %}"));
    desk.generate(&[&ASK[..], &["--raw"]].concat(), "").printed();
}

#[test]
fn prompts_that_are_none() {
    let desk = Desk::tiny();
    desk.generate(&["--prompt", ""], "").refuses(1, &["the prompt is empty"]);
    desk.generate(&[], "").refuses(1, &["the prompt is empty"]);
    desk.generate(&["--raw", "--prompt", ""], "").refuses(1, &["the prompt is empty"]);
    desk.generate(&["--prompt-file", "missing"], "").refuses(1, &["cannot read missing"]);
    desk.generate(&["--prompt-file", "."], "").refuses(1, &["cannot read ."]);
    desk.put("bytes", b"abc\xffdef");
    desk.generate(&["--prompt-file", "bytes"], "").refuses(1, &["bytes is not UTF-8 text: byte 3"]);
}

#[test]
fn a_prompt_longer_than_the_context() {
    let desk = Desk::tiny();
    let long = "x".repeat(300);
    let raw = |ctx: &str| desk.generate(&["--raw", "--ctx", ctx, "--prompt", &long], "");
    raw("200").refuses(1, &["has 300 tokens and the context holds 200", "--ctx"]);
    raw("257").refuses(1, &["a context of 257 tokens is longer", "--ctx 256 would fit"]);
    desk.generate(&["--raw"], &"y".repeat(100_000)).refuses(1, &["has 100000 tokens", "holds 256"]);
}

#[test]
fn texts_too_short_to_judge() {
    let desk = Desk::tiny();
    desk.put("short", b"a few letters");
    let model = desk.model();
    let judge = |arguments: &[&str]| {
        desk.agentos([&["perplexity", "--model", model.to_str().unwrap()], arguments].concat())
    };
    judge(&["short", "--ctx", "64"]).refuses(1, &["has 13 tokens and a window 64", "--ctx 13 would fit"]);
    judge(&["short", "--ctx", "512"]).refuses(1, &["--ctx 256 would fit"]);
    judge(&["missing"]).refuses(1, &["cannot read missing"]);
    assert_eq!(judge(&["short", "--ctx", "2"]).code, 2);
}

#[test]
fn command_lines_that_cannot_be_meant() {
    let desk = Desk::tiny();
    let lines: [&[&str]; 20] = [
        &[],
        &["frobnicate"],
        &["generate", "--prompt"],
        &["generate", "--prompt", "a", "--prompt-file", "b"],
        &["generate", "--prompt", "a", "--model", "a", "-hf", "b/c"],
        &["generate", "--prompt", "a", "--model", ""],
        &["generate", "--prompt", "a", "--threads", "0"],
        &["generate", "--prompt", "a", "--threads", "99999"],
        &["generate", "--prompt", "a", "--ctx", "0"],
        &["generate", "--prompt", "a", "--ctx", "-5"],
        &["generate", "--prompt", "a", "--max-tokens", "0"],
        &["generate", "--prompt", "a", "--temperature", "-1"],
        &["generate", "--prompt", "a", "--temperature", "NaN"],
        &["generate", "--prompt", "a", "--top-p", "1.5"],
        &["generate", "--prompt", "a", "--top-k", "1000"],
        &["generate", "--prompt", "a", "--json", "--top-logprobs", "1000"],
        &["generate", "--prompt", "a", "--repeat-penalty", "0"],
        &["generate", "--prompt", "a", "--special"],
        &["generate", "--prompt", "a", "--kv", "f8"],
        &["generate", "--prompt", "a", "--backend", "abacus"],
    ];
    for line in lines {
        let ran = desk.agentos(line);
        assert_eq!(ran.code, 2, "{line:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{line:?}");
    }
}

#[test]
fn models_that_cannot_be_fetched() {
    let desk = Desk::tiny();
    // The environment is empty: there is no home to put a model in.
    desk.agentos(["generate", "--prompt", "a"]).refuses(1, &["AGENTOS_HOME"]);
    desk.agentos(["model"]).refuses(1, &["AGENTOS_HOME"]);
    desk.agentos(["model", "-hf", "nonsense"]).refuses(1, &["nonsense"]);
    desk.agentos(["model", "--hf", "../..:x.gguf"]).refuses(1, &[]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output() {
    let desk = Desk::tiny();
    for arguments in [&["--json"][..], &[]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = desk.command(["generate", "--prompt", "a", "--max-tokens", "3", "--model"]);
        command.arg(desk.model()).args(arguments).stdin(Stdio::null()).stdout(full);
        let output = command.output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("error: cannot write to standard output"), "{message}");
    }
}

#[test]
fn a_reader_that_has_seen_enough() {
    let desk = Desk::tiny();
    let mut command = desk.command(["generate", "--prompt", "a", "--model"]);
    command.arg(desk.model()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
