//! The filter `tojson` of chat templates, as the `transformers` library has it: Python's `json.dumps` with
//! characters as they are. (The engine's own writes for HTML, with `<` as a number.)
//!
//! What comes from outside must not become a control token here either. What a string holds is told apart before
//! ([`super::guard`]); what is new are the characters that JSON writes for others, such as `\n`. Where a vocabulary
//! has control tokens that such characters could be a part of, they stand between marks.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Values within values; those of tools have a dozen.
const MOST_DEPTH: usize = 256;

/// Bytes that a unit of fuel pays for, as with other work.
const BYTES_A_UNIT: u64 = 64;

/// Writes a value as JSON. With a mark, what JSON writes for other characters stands between marks.
pub(crate) fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    options: Kwargs,
    mark: Option<char>,
) -> Result<String, Error> {
    let mut writer = Writer::new(&options, mark)?;
    options.assert_all_used()?;
    writer.write(value, 0, &mut |bytes| state.consume_fuel(bytes / BYTES_A_UNIT))?;
    Ok(writer.text)
}

/// A JSON string without its quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut writer = Writer::plain();
    text.chars().for_each(|c| writer.push(c));
    writer.text
}

struct Writer {
    text: String,
    mark: Option<char>,
    /// Spaces for each level, where every value has a line of its own.
    indent: Option<usize>,
    separator: String,
    colon: String,
    sort_keys: bool,
    ensure_ascii: bool,
}

/// Pays for so many bytes.
type Pay<'p> = &'p mut dyn FnMut(u64) -> Result<(), Error>;

impl Writer {
    fn plain() -> Writer {
        Writer {
            text: String::new(),
            mark: None,
            indent: None,
            separator: ", ".to_owned(),
            colon: ": ".to_owned(),
            sort_keys: false,
            ensure_ascii: false,
        }
    }

    fn new(options: &Kwargs, mark: Option<char>) -> Result<Writer, Error> {
        let truth = |name| options.get::<Option<bool>>(name).map(|truth| truth.unwrap_or(false));
        let indent = options.get::<Option<usize>>("indent")?;
        let separators = options.get::<Option<Vec<String>>>("separators")?;
        let separators = separators.filter(|separators| separators.len() == 2);
        let [separator, colon] = match separators.as_deref() {
            Some([separator, colon]) => [separator.clone(), colon.clone()],
            // As Python: what ends a line has no space behind it.
            _ => [if indent.is_some() { "," } else { ", " }, ": "].map(str::to_owned),
        };
        let (sort_keys, ensure_ascii) = (truth("sort_keys")?, truth("ensure_ascii")?);
        Ok(Writer { text: String::new(), mark, indent, separator, colon, sort_keys, ensure_ascii })
    }

    fn write(&mut self, value: &Value, depth: usize, pay: Pay<'_>) -> Result<(), Error> {
        if depth > MOST_DEPTH {
            return Err(refusal(format!("tojson: values within values, more than {MOST_DEPTH} levels")));
        }
        let before = self.text.len();
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self.text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.text.push_str(&value.to_string()),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.group(['[', ']'], &items, depth, pay, |writer, item, pay| {
                    writer.write(item, depth + 1, pay)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.group(['{', '}'], &keys, depth, pay, |writer, key, pay| {
                    match key.as_str() {
                        Some(name) => writer.string(name),
                        None => writer.string(&key.to_string()),
                    }
                    writer.text.push_str(&writer.colon.clone());
                    writer.write(&value.get_item(key)?, depth + 1, pay)
                })?;
            }
            kind => return Err(refusal(format!("tojson: a value of the kind {kind} is no JSON"))),
        }
        // What is within has been paid for; this counts it once more for each level, of which there are few.
        pay((self.text.len() - before) as u64)
    }

    fn group(
        &mut self,
        [open, close]: [char; 2],
        items: &[Value],
        depth: usize,
        pay: Pay<'_>,
        mut each: impl FnMut(&mut Writer, &Value, Pay<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.text.push(open);
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self.text.push_str(&self.separator.clone());
            }
            self.line(depth + 1);
            each(self, item, pay)?;
        }
        if !items.is_empty() {
            self.line(depth);
        }
        self.text.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', indent.min(16) * depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        text.chars().for_each(|c| self.push(c));
        self.text.push('"');
    }

    fn push(&mut self, c: char) {
        let short = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            c if c < ' ' || (self.ensure_ascii && !c.is_ascii() && !is_mark(c)) => {
                let mut units = [0; 2];
                let mut long = String::new();
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(long, "\\u{unit:04x}");
                }
                return self.push_instead(&long);
            }
            c => return self.text.push(c),
        };
        self.push_instead(short);
    }

    /// Writes characters that stand for another.
    fn push_instead(&mut self, characters: &str) {
        for c in characters.chars() {
            self.text.extend(self.mark);
            self.text.push(c);
        }
        self.text.extend(self.mark);
    }
}

/// A character that may be a mark: those are taken out again.
fn is_mark(c: char) -> bool {
    super::guard::NONCHARACTERS.contains(&c)
}

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
