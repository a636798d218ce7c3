//! What the default model takes while it runs. It has to be on this machine: `cargo xtask model`
//! brings it.
#![cfg(target_os = "linux")]

use std::process::Command;

use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};

/// What the process may have resident besides weights and page memory: its code, the tokenizer, the
/// device's scratch.
const SPARE_BYTES: u64 = 20_000_000 + UNOPTIMISED_BYTES;

/// The promise is about the program as it is shipped; code that is not optimised is larger.
const UNOPTIMISED_BYTES: u64 = if cfg!(debug_assertions) { 3_000_000 } else { 0 };

/// A context that is small, and filled: nothing hides behind page memory that is never touched.
const CONTEXT: &str = "128";

#[test]
fn weights_are_never_resident_twice() {
    let path = DEFAULT_MODEL.path(&Environment::from_process()).unwrap();
    assert!(path.is_file(), "the default model is not at {}; `cargo xtask model` brings it", path.display());
    let output = Command::new(env!("CARGO_BIN_EXE_agentos"))
        .args([
            "generate",
            "--json",
            "--ctx",
            CONTEXT,
            "--temperature",
            "1",
            "--raw",
            "--prompt",
            "Once",
            "--model",
        ])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes = |part: &str| report["memory"][part].as_u64().unwrap();
    let (peak, configured) = (bytes("peak_rss"), bytes("weights") + bytes("kv"));
    println!("{peak} bytes at most, {configured} of them for weights and page memory");
    assert!(peak <= configured + SPARE_BYTES, "{peak} bytes resident, {configured} configured");
    // Guards the test: the weights themselves have to be in the figure.
    assert!(peak > bytes("weights"), "{peak} bytes resident");
}
