//! A JSON schema from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentos_grammar::Grammar;
use serde_json::Value;

use super::error::CliError;
use super::options;
use crate::constraint::{self, Constraint};
use crate::text::Tokenizer;

/// A schema, and the file that it is from.
pub struct Schema {
    path: PathBuf,
    schema: Value,
}

/// Reads a schema.
pub fn read(path: &Path) -> Result<Schema, CliError> {
    let text = options::read_text_file(path)?;
    let schema = serde_json::from_str(&text)
        .map_err(|error| CliError::NotJson { path: path.to_owned(), reason: error.to_string() })?;
    Ok(Schema { path: path.to_owned(), schema })
}

impl Schema {
    /// What holds an answer to it.
    pub fn constraint(&self, tokenizer: &Arc<Tokenizer>) -> Result<Constraint, CliError> {
        let vocabulary = constraint::vocabulary(tokenizer)?;
        let mut grammar = Grammar::json_schema(&vocabulary, &self.schema)
            .map_err(|error| CliError::Grammar { path: self.path.clone(), error })?;
        // Takes a few milliseconds here, and spares half a one at each text of the answer.
        grammar.rehearse();
        Ok(Constraint::new(&grammar, &vocabulary))
    }
}
