//! Options that several commands share.

use std::io::Read;
use std::path::{Path, PathBuf};

use agentos_hal::KvType;
use agentos_wgpu::Kernels;
use clap::{Args, ValueEnum};

use super::choose;
use super::error::CliError;
use crate::choice::Machine;
use crate::device::{Activations, Backend, DeviceOptions, IsaChoice};
use crate::fetch::{self, Choice, Environment, HubSpec, progress};
use crate::text::MAX_TEXT_BYTES;

/// Which model.
#[derive(Args, Debug)]
pub struct ModelOptions {
    /// A GGUF file on this machine
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// A model on the Hugging Face hub, fetched when it is not there (also -hf)
    #[arg(long, value_name = "OWNER/REPO[:FILE]", conflicts_with = "model")]
    hf: Option<String>,
}

impl ModelOptions {
    /// The path of the model: the default one when none is named. Fetches what is missing and shows the
    /// progress on standard error.
    pub fn path(&self) -> Result<PathBuf, CliError> {
        self.path_or(None)
    }

    /// [`ModelOptions::path`] where something else names a model that no option has named.
    pub fn path_or(&self, other: Option<&Path>) -> Result<PathBuf, CliError> {
        let choice = match (&self.model, &self.hf, other) {
            (Some(path), _, _) => Choice::Path(path.clone()),
            (None, Some(spec), _) => Choice::Hub(HubSpec::parse(spec).map_err(fetch::FetchError::from)?),
            (None, None, Some(path)) => Choice::Path(path.to_owned()),
            (None, None, None) => Choice::Default,
        };
        if let Choice::Path(path) = &choice
            && path.exists()
        {
            // A folder or a device is told from a file that is missing when it is opened.
            return Ok(path.clone());
        }
        let mut progress = progress::for_stderr();
        Ok(fetch::ensure(&choice, &Environment::from_process(), progress.as_mut())?)
    }
}

/// Which device computes.
#[derive(Args, Clone, Debug)]
pub struct ComputeOptions {
    /// What computes [default: the fastest, as `agentos devices` tells; wgpu with --adapter, and cpu with an
    /// option that only it has]
    #[arg(long, value_enum, env = "AGENTOS_BACKEND")]
    backend: Option<Backend>,
    /// Which GPU: its number in `agentos devices`, or a part of its name
    #[arg(long, value_name = "NAME|INDEX")]
    adapter: Option<String>,
    /// Threads that share the work [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Which of the CPU's kernels
    #[arg(long, value_enum, default_value = "auto")]
    isa: IsaChoice,
    /// Which of a GPU's kernels, by a name of `agentos devices`: rows or groups, with +subgroups and +halves, which
    /// change nothing but speed [default: those that pay], and +dot4 or +f16, which round what is multiplied with
    /// quantised weights to 8 bits or to half precision
    #[arg(long, value_name = "SET", env = "AGENTOS_KERNELS")]
    kernels: Option<Kernels>,
    /// What matrix products of quantised weights make of their inputs
    #[arg(long, value_enum, default_value = "int16")]
    activations: Activations,
}

impl ComputeOptions {
    /// Whether a driver for GPUs may be loaded for it.
    pub fn may_load_drivers(&self) -> bool {
        match (self.backend, &self.adapter) {
            (Some(backend), _) => backend == Backend::Wgpu,
            (None, Some(_)) => true,
            (None, None) => Machine::here().may_have_gpu,
        }
    }

    /// What a device is opened with. Where no option says which, the fastest is looked up or measured, and
    /// told on standard error.
    pub fn device(&self) -> DeviceOptions {
        let of_the_cpu =
            self.threads.is_some() || self.isa != IsaChoice::Auto || self.activations != Activations::Int16;
        let (backend, adapter) = match (self.backend, &self.adapter) {
            (Some(backend), adapter) => (backend, adapter.clone()),
            (None, Some(adapter)) => (Backend::Wgpu, Some(adapter.clone())),
            (None, None) if of_the_cpu => (Backend::Cpu, None),
            (None, None) => {
                let chosen = choose::fastest();
                (chosen.backend, chosen.adapter)
            }
        };
        DeviceOptions {
            backend,
            adapter,
            threads: self.threads.map(usize::from),
            isa: self.isa,
            kernels: self.kernels,
            activations: self.activations,
            timestamps: false,
        }
    }
}

/// How keys and values are kept.
#[derive(Args, Clone, Copy, Debug)]
pub struct KvOptions {
    /// How keys and values are kept
    #[arg(long, value_enum, default_value = "f16")]
    kv: Kv,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kv {
    /// Half precision.
    F16,
    /// Single precision: twice the memory.
    F32,
}

impl KvOptions {
    /// The element type of page memory.
    pub fn kv(&self) -> KvType {
        match self.kv {
            Kv::F16 => KvType::F16,
            Kv::F32 => KvType::F32,
        }
    }
}

/// Reads a text from a stream that `name` tells of in messages.
pub fn read_text(stream: impl Read, name: &Path) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    stream
        .take(MAX_TEXT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| CliError::Read { path: name.to_owned(), source })?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(CliError::TextTooLong { path: name.to_owned(), limit: MAX_TEXT_BYTES });
    }
    String::from_utf8(bytes)
        .map_err(|error| CliError::NotText { path: name.to_owned(), at: error.utf8_error().valid_up_to() })
}

/// Reads a file of text.
pub fn read_text_file(path: &Path) -> Result<String, CliError> {
    let file =
        std::fs::File::open(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    read_text(file, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        compute: ComputeOptions,
    }

    #[test]
    fn an_option_of_one_backend_names_it() {
        let of = |line: &[&str]| {
            let options = <Line as clap::Parser>::parse_from([&["_"], line].concat()).compute.device();
            (options.backend, options.adapter)
        };
        assert_eq!(of(&["--adapter", "0"]), (Backend::Wgpu, Some("0".to_owned())));
        assert_eq!(of(&["--threads", "2"]), (Backend::Cpu, None));
        assert_eq!(of(&["--isa", "portable"]), (Backend::Cpu, None));
        assert_eq!(of(&["--activations", "f32"]), (Backend::Cpu, None));
        assert_eq!(of(&["--threads", "2", "--backend", "reference"]), (Backend::Reference, None));
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        let error = read_text(&b"abc\xff"[..], Path::new("f")).unwrap_err();
        assert_eq!(error.to_string(), "f is not UTF-8 text: byte 3 begins no character");
        let error = read_text(std::io::repeat(b'a'), Path::new("f")).unwrap_err();
        assert_eq!(error.to_string(), "f has more than the 16777216 bytes that would fit");
    }
}
