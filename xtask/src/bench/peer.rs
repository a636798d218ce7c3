//! llama.cpp as a peer: its Python package in a scratch environment, driven through `peer.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Failure, Repository, output_of, succeed};

/// The package and the version that figures are compared with.
const PACKAGE: &str = "llama-cpp-python==0.3.36";

/// Python's option not to write compiled files beside the scripts.
const NO_CACHE: &str = "-B";

/// A peer that is ready to run.
pub struct Peer {
    python: PathBuf,
    script: PathBuf,
    variants: [Variant; 2],
}

/// A model file that the peer runs.
pub struct Variant {
    /// For the table.
    pub name: &'static str,
    model: PathBuf,
}

impl Peer {
    /// Installs the package into target/peer, if it is not there, and makes the peer's model files from
    /// ours. Building the package takes some minutes, once.
    ///
    /// # Errors
    /// When Python or the package cannot be had.
    pub fn install(repository: &Repository, model: &Path) -> Result<Peer, Failure> {
        let folder = repository.root.join("target/peer");
        let python = folder.join("venv/bin/python");
        let script = repository.root.join("xtask/src/bench/peer.py");
        let ready = python.exists()
            && output_of(Command::new(&python).arg(NO_CACHE).arg(&script).arg("version")).is_ok();
        if !ready {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", PACKAGE]);
            // For this machine's instruction set, as a user who wants speed builds it.
            succeed(install.env("CMAKE_ARGS", "-DGGML_NATIVE=ON"))?;
        }
        let models = folder.join("models");
        succeed(Command::new(&python).arg(NO_CACHE).arg(&script).arg("prepare").arg(model).arg(&models))?;
        let variants = [
            Variant { name: "Q4_1", model: model.to_owned() },
            Variant { name: "Q4_0", model: models.join("q4_0.gguf") },
        ];
        Ok(Peer { python, script, variants })
    }

    /// The model files: the default model itself, and the format that the peer is fastest at.
    pub fn variants(&self) -> &[Variant; 2] {
        &self.variants
    }

    /// Runs a work; returns its samples.
    ///
    /// # Errors
    /// When the script fails or answers with something else than a JSON object.
    pub fn samples(
        &self,
        variant: &Variant,
        work: &str,
        threads: u32,
        runs: &str,
    ) -> Result<Vec<f64>, Failure> {
        Ok(super::samples(&self.answer(variant, work, threads, runs)?))
    }

    /// Asks the questions of a file that `agentos eval knowledge --json` printed; returns the JSON object.
    ///
    /// # Errors
    /// When the script fails or answers with something else.
    pub fn ask(&self, variant: &Variant, threads: u32, asked: &Path, tokens: u32) -> Result<Value, Failure> {
        let mut command = Command::new(&self.python);
        command.arg(NO_CACHE).arg(&self.script).arg("ask").arg(&variant.model).arg(threads.to_string());
        command.arg(asked).arg(tokens.to_string());
        super::json(&mut command)
    }

    /// Runs a work; returns its JSON object.
    ///
    /// # Errors
    /// When the script fails or answers with something else.
    pub fn answer(&self, variant: &Variant, work: &str, threads: u32, runs: &str) -> Result<Value, Failure> {
        let mut command = Command::new(&self.python);
        command.arg(NO_CACHE).arg(&self.script).arg("run").arg(&variant.model);
        command.args([work, &threads.to_string(), runs]);
        super::json(&mut command)
    }
}
