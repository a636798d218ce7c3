//! Which checks of the suite run. `examples/conformance.rs` takes the same options and shares this file.

use clap::Args;

/// Which checks run, and on which cases.
#[derive(Args, Clone, Debug)]
pub struct Selection {
    /// Only this backend, by its name in `--backend` of agentos.
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Which GPU: its number in `agentos devices`, or a part of its name.
    #[arg(long, value_name = "NAME|INDEX", requires = "backend")]
    pub adapter: Option<String>,
    /// Only the checks whose name and kind, as the table prints them, contain this: "MatMul Q4_1".
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Determines every case; a failure names the one that repeats it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Cases of each check.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    pub cases: u32,
}
