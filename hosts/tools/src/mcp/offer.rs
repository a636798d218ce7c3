//! What a server says of its tools, and what is made of it.

use std::fmt;

use crate::schema::{Schema, SchemaError};
use agentos_perception::text::visible;
use rmcp::model::{Tool as Offered, ToolAnnotations};
use serde_json::Value;

use super::declaration::Declaration;
use crate::descriptor::{Access, Descriptor, Effect};

/// Characters of a tool's name, with its server's: models take no more.
const NAME_CHARS: usize = 64;
/// Characters of a tool's description that are kept.
const DESCRIPTION_CHARS: usize = 1024;
/// Times that a call of a tool without lasting effect is made in all.
const ATTEMPTS: u8 = 2;

/// A tool that is not taken from its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The name that the server has for it, shortened.
    pub name: String,
    /// Why.
    pub why: Why,
}

/// Why a tool is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its name is none.
    Name,
    /// There is another of its name.
    Doubled,
    /// The schema of its arguments or of its output is none.
    Schema(SchemaError),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tool {:?} is left out: ", self.name)?;
        match &self.why {
            Why::Name => write!(
                f,
                "with its server's its name is to have 1 to {NAME_CHARS} ASCII letters, digits, `_`, `-` and `.`"
            ),
            Why::Doubled => f.write_str("there is another of its name"),
            Why::Schema(error) => error.fmt(f),
        }
    }
}

/// A tool that is taken.
pub(super) struct Taken {
    pub(super) descriptor: Descriptor,
    /// Its name, as the server knows it.
    pub(super) name: String,
    /// What its arguments are held to.
    pub(super) schema: Schema,
}

/// Takes the tools that can be described.
pub(super) fn take(declaration: &Declaration, offered: Vec<Offered>) -> (Vec<Taken>, Vec<LeftOut>) {
    let (mut taken, mut left_out) = (Vec::<Taken>::new(), Vec::new());
    for tool in offered {
        let name = clipped(&tool.name, NAME_CHARS);
        let doubled = taken.iter().any(|other| other.name == tool.name);
        let made = if doubled { Err(Why::Doubled) } else { describe(declaration, tool) };
        match made {
            Ok(tool) => taken.push(tool),
            Err(why) => left_out.push(LeftOut { name, why }),
        }
    }
    (taken, left_out)
}

fn describe(declaration: &Declaration, offered: Offered) -> Result<Taken, Why> {
    let name = format!("{}.{}", declaration.name, offered.name);
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if offered.name.is_empty() || name.len() > NAME_CHARS || !name.chars().all(is_fine) {
        return Err(Why::Name);
    }
    let arguments = Value::Object((*offered.input_schema).clone());
    let schema = Schema::new(&arguments).map_err(Why::Schema)?;
    let output = offered.output_schema.map(|schema| Value::Object((*schema).clone()));
    if let Some(output) = &output {
        Schema::new(output).map_err(Why::Schema)?;
    }
    let effect = effect(declaration.trusted, offered.annotations.as_ref());
    let description = offered.description.as_deref().or(offered.title.as_deref()).unwrap_or_default();
    let of_it = declaration.examples.iter().filter(|(tool, _)| *tool == offered.name);
    let examples = of_it.map(|(_, example)| example.clone()).collect();
    let descriptor = Descriptor {
        name,
        description: clipped(description, DESCRIPTION_CHARS),
        arguments,
        output,
        access: Access::Server,
        effect,
        urgency: declaration.urgency,
        timeout: declaration.timeout,
        attempts: if effect == Effect::Irreversible { 1 } else { ATTEMPTS },
        output_bytes: declaration.output_bytes,
        output_tokens: declaration.output_tokens,
        examples,
    };
    Ok(Taken { descriptor, name: offered.name.into_owned(), schema })
}

/// What a call does to the world: the worst, unless a server that is believed says otherwise.
fn effect(trusted: bool, annotations: Option<&ToolAnnotations>) -> Effect {
    let Some(annotations) = annotations.filter(|_| trusted) else {
        return Effect::Irreversible;
    };
    if annotations.read_only_hint == Some(true) {
        Effect::None
    } else if annotations.idempotent_hint == Some(true) {
        Effect::Idempotent
    } else {
        Effect::Irreversible
    }
}

/// A stranger's text up to a length, with nothing in it hidden.
fn clipped(text: &str, chars: usize) -> String {
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    let (mut shown, _) = visible(&text[..end]);
    if end < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_believed_server_says_that_calls_leave_nothing() {
        let reads = ToolAnnotations::new().read_only(true);
        let repeats = ToolAnnotations::new().idempotent(true);
        assert_eq!(effect(true, Some(&reads)), Effect::None);
        assert_eq!(effect(true, Some(&repeats)), Effect::Idempotent);
        assert_eq!(effect(true, Some(&ToolAnnotations::new())), Effect::Irreversible);
        assert_eq!(effect(true, None), Effect::Irreversible);
        assert_eq!(effect(false, Some(&reads)), Effect::Irreversible);
    }

    #[test]
    fn descriptions_are_short_and_hide_nothing() {
        assert_eq!(clipped("a\u{202e}b", 10), "a\\u{202e}b");
        assert_eq!(clipped("ééé", 2), "éé…");
    }
}
