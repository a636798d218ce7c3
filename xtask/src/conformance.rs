//! `cargo xtask conformance`: every backend against the suite, as the backend is shipped.

use crate::Outcome;
use crate::process::{Repository, succeed};

/// Prints the table of `agentos-conformance` for all backends or for one. The list of backends is in
/// `examples/conformance.rs`; it is built with optimisation, and only here.
///
/// # Errors
/// [`crate::process::Failure::Exit`] when a check fails or the backend is not in the list.
pub fn conformance(repository: &Repository, backend: Option<&str>) -> Outcome {
    let args = ["run", "--quiet", "--release", "--package", "xtask", "--example", "conformance", "--"];
    let mut cargo = repository.cargo(&args);
    cargo.args(backend);
    succeed(&mut cargo)
}
