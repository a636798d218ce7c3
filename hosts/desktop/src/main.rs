//! The `agentos` program. Everything it does is in the library, where tests reach it.

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    // Taken first, so that what is told as "from process start" misses the system's loader only.
    let start = Instant::now();
    agentos_desktop::cli::run(std::env::args_os(), start)
}
