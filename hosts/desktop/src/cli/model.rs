//! `agentos model`: have a model on this machine.

use clap::Args;

use super::error::CliError;
use super::options::ModelOptions;
use super::output;
use crate::host::StdConsole;

/// `agentos model`.
#[derive(Args, Debug)]
pub struct Fetch {
    #[command(flatten)]
    model: ModelOptions,
}

impl Fetch {
    pub fn run(&self) -> Result<(), CliError> {
        let path = self.model.path()?;
        let mut console = StdConsole(std::io::stdout().lock());
        output::write_all(&mut console, &format!("{}\n", path.display()))
    }
}
