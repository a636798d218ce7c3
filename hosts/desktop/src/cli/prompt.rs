//! What `agentos generate` is to answer: where it comes from, and its tokens.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::error::CliError;
use super::options;
use crate::text::{Message, RenderOptions, Role, Special, Template, Tokenizer, Vocabulary, encode_chat};

/// Options about the prompt.
#[derive(Args, Debug)]
pub struct PromptOptions {
    /// The prompt; standard input without it and --prompt-file
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "prompt_file")]
    prompt: Option<String>,
    /// A file with the prompt
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Go on with the text as it is, instead of answering it in the model's chat format
    #[arg(long)]
    raw: bool,
    /// Control tokens that the text names become tokens; only for text that you trust
    #[arg(long, requires = "raw")]
    special: bool,
    /// The system message [default: the chat template's own]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "raw")]
    system: Option<String>,
}

impl PromptOptions {
    /// The text of the prompt; never empty.
    pub fn read(&self) -> Result<String, CliError> {
        let mut text = match (&self.prompt, &self.prompt_file) {
            (Some(text), _) => return nonempty(text.clone()),
            (None, Some(path)) => options::read_text_file(path)?,
            (None, None) => {
                let stdin = std::io::stdin();
                if stdin.is_terminal() {
                    return Err(CliError::NoPrompt);
                }
                options::read_text(stdin.lock(), Path::new("standard input"))?
            }
        };
        if !self.raw && text.ends_with('\n') {
            // Files of text end with a line end, which nobody meant to say.
            text.truncate(text.len() - "\n".len());
        }
        nonempty(text)
    }

    /// The tokens of the prompt.
    pub fn encode(
        &self,
        text: &str,
        tokenizer: &Tokenizer,
        vocabulary: &Vocabulary<'_>,
    ) -> Result<Vec<u32>, CliError> {
        if self.raw {
            let special = if self.special { Special::Parse } else { Special::AsText };
            let mut ids: Vec<u32> = tokenizer.leading_bos().into_iter().collect();
            ids.extend(tokenizer.encode(text, special)?);
            return Ok(ids);
        }
        let message = |role, text: &str| Message { role, content: text.to_owned() };
        let system = self.system.as_deref().map(|text| message(Role::System, text));
        let messages: Vec<Message> = system.into_iter().chain([message(Role::User, text)]).collect();
        let options = RenderOptions { add_generation_prompt: true, now_s: now_s() };
        Ok(encode_chat(&Template::of(vocabulary)?, tokenizer, &messages, &options)?)
    }
}

fn nonempty(text: String) -> Result<String, CliError> {
    if text.is_empty() { Err(CliError::EmptyPrompt) } else { Ok(text) }
}

/// Seconds since 1970 began.
pub fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
