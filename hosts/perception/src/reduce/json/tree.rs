//! JSON as it was written: keys in their order, doubled ones too, and numbers with all their digits.

use std::borrow::Cow;

use jiter::{Jiter, JiterError, Peek};

/// Values inside values that are read as JSON.
pub const MAX_DEPTH: usize = 64;

/// A value, and the bytes that it takes when it is written on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'t> {
    /// The value.
    pub node: Node<'t>,
    /// The bytes.
    pub size: usize,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'t> {
    /// `null`, `true`, `false`, or a number as it was written.
    Literal(&'t str),
    /// A string.
    Text(Cow<'t, str>),
    /// An array.
    List(Vec<Item<'t>>),
    /// An object.
    Record(Vec<(Cow<'t, str>, Item<'t>)>),
}

/// Why a text is not read as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoJson {
    /// It is none.
    Syntax,
    /// It is nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl From<JiterError> for NoJson {
    fn from(_: JiterError) -> NoJson {
        NoJson::Syntax
    }
}

/// Reads one value that fills the whole text.
///
/// # Errors
/// [`NoJson`].
pub fn read(text: &str) -> Result<Item<'_>, NoJson> {
    let mut reader = Reader { json: Jiter::new(text.as_bytes()), text };
    let peek = reader.json.peek()?;
    let item = reader.value(peek, 0)?;
    reader.json.finish()?;
    Ok(item)
}

struct Reader<'t> {
    json: Jiter<'t>,
    text: &'t str,
}

impl<'t> Reader<'t> {
    fn value(&mut self, peek: Peek, depth: usize) -> Result<Item<'t>, NoJson> {
        if depth > MAX_DEPTH {
            return Err(NoJson::TooDeep);
        }
        let start = self.json.current_index();
        match peek {
            Peek::Null => self.json.known_null()?,
            Peek::True | Peek::False => {
                self.json.known_bool(peek)?;
            }
            Peek::String => return self.string(start),
            Peek::Array => return self.list(depth),
            Peek::Object => return self.record(depth),
            _ => {
                self.json.known_number_bytes(peek)?;
            }
        }
        let literal = self.text.get(start..self.json.current_index()).ok_or(NoJson::Syntax)?;
        Ok(Item { node: Node::Literal(literal), size: literal.len() })
    }

    fn string(&mut self, start: usize) -> Result<Item<'t>, NoJson> {
        let text = self.text;
        let cooked = self.json.known_str()?;
        // A string without escapes lies in the text as it is, behind its quote.
        let raw = text.get(start + 1..start + 1 + cooked.len());
        let string = match raw {
            Some(raw) if raw == cooked => Cow::Borrowed(raw),
            _ => Cow::Owned(cooked.to_owned()),
        };
        let size = written(&string);
        Ok(Item { node: Node::Text(string), size })
    }

    fn list(&mut self, depth: usize) -> Result<Item<'t>, NoJson> {
        let (mut items, mut size) = (Vec::new(), 2);
        let mut peek = self.json.known_array()?;
        while let Some(next) = peek {
            let item = self.value(next, depth + 1)?;
            size += item.size + 1;
            items.push(item);
            peek = self.json.array_step()?;
        }
        Ok(Item { node: Node::List(items), size })
    }

    fn record(&mut self, depth: usize) -> Result<Item<'t>, NoJson> {
        let (mut entries, mut size) = (Vec::new(), 2);
        let mut key = self.json.known_object()?.map(str::to_owned);
        while let Some(name) = key {
            let peek = self.json.peek()?;
            let item = self.value(peek, depth + 1)?;
            size += written(&name) + item.size + 2;
            entries.push((Cow::Owned(name), item));
            key = self.json.next_key()?.map(str::to_owned);
        }
        Ok(Item { node: Node::Record(entries), size })
    }
}

/// Bytes of a string with its quotes and escapes.
fn written(string: &str) -> usize {
    2 + string.len() + string.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).count()
}
