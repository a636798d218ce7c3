//! How much work a schema asks for.
//!
//! A schema may refer to itself without ever coming to an end, and a few lines of one may ask for more checks
//! than there are atoms: each level that names the next one twice doubles them. The validator would run them all,
//! so they are counted first. A count remembers what it knows, and so takes time in proportion to the schema and
//! the value.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::provenance::quoted;

/// Checks that a schema may ask for where it does not go deeper into the value.
const MAX_STATIC: u64 = 4096;
/// Checks that a value may cost.
const MAX_VISITS: u64 = 4_000_000;
/// Schemas inside schemas while one value is checked, through all levels of it.
const MAX_NESTING: usize = 512;
/// Patterns in a schema.
const MAX_PATTERNS: usize = 64;

/// Why the work is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// It would not end.
    Endless,
    /// It would take more checks, more patterns or deeper nesting than is done.
    Large {
        /// What there is too much of.
        what: &'static str,
        /// How many would be done.
        limit: u64,
    },
    /// A reference leads elsewhere than to a place in the schema.
    Reference(String),
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooMuch::Endless => f.write_str("refers to itself without end"),
            TooMuch::Large { what, limit } => {
                write!(f, "asks for more than {limit} {what}, which is the most")
            }
            TooMuch::Reference(to) => {
                write!(f, "refers to {}; only places in it, such as #/$defs/name, are followed", quoted(to))
            }
        }
    }
}

/// Looks through a schema; and says whether it refers to itself, so that each value's work has to be counted.
///
/// # Errors
/// [`TooMuch`].
pub fn survey(root: &Value) -> Result<bool, TooMuch> {
    let counter = Counter { root, known: HashMap::new(), limit: MAX_STATIC };
    let mut survey = Survey { counter, refers: false, patterns: 0 };
    survey.look(root, true)?;
    Ok(survey.refers)
}

/// Counts the checks that a value costs.
///
/// # Errors
/// [`TooMuch::Endless`] and [`TooMuch::Large`].
pub fn count(root: &Value, value: &Value) -> Result<u64, TooMuch> {
    Counter { root, known: HashMap::new(), limit: MAX_VISITS }.visits(root, Some(value), 0)
}

struct Survey<'s> {
    counter: Counter<'s>,
    refers: bool,
    patterns: usize,
}

impl<'s> Survey<'s> {
    /// Looks at a schema, or at a list of them.
    fn look(&mut self, schema: &'s Value, is_root: bool) -> Result<(), TooMuch> {
        match schema {
            Value::Array(schemas) => schemas.iter().try_for_each(|schema| self.look(schema, false)),
            Value::Object(keywords) => {
                self.counter.visits(schema, None, 0)?;
                keywords.iter().try_for_each(|(keyword, sub)| self.keyword(keyword, sub, is_root))
            }
            _ => Ok(()),
        }
    }

    fn keyword(&mut self, keyword: &str, sub: &'s Value, is_root: bool) -> Result<(), TooMuch> {
        match (keyword, sub) {
            ("$ref" | "$recursiveRef", Value::String(reference)) => {
                self.refers = true;
                target(self.counter.root, reference).map(drop)
            }
            // Where these lead depends on more than the schema's own text.
            ("$dynamicRef", Value::String(reference)) => Err(TooMuch::Reference(reference.clone())),
            ("$id" | "id", Value::String(id)) if !is_root => Err(TooMuch::Reference(id.clone())),
            ("enum" | "const" | "default" | "examples", _) => Ok(()),
            ("pattern", Value::String(_)) => self.patterns(1),
            ("patternProperties", Value::Object(named)) => {
                self.patterns(named.len())?;
                named.values().try_for_each(|schema| self.look(schema, false))
            }
            // The names in these are no keywords.
            (
                "properties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies",
                Value::Object(named),
            ) => named.values().try_for_each(|schema| self.look(schema, false)),
            _ => self.look(sub, false),
        }
    }

    fn patterns(&mut self, more: usize) -> Result<(), TooMuch> {
        self.patterns += more;
        let large = TooMuch::Large { what: "patterns", limit: MAX_PATTERNS as u64 };
        if self.patterns > MAX_PATTERNS { Err(large) } else { Ok(()) }
    }
}

/// The place in the schema that a reference names.
fn target<'s>(root: &'s Value, reference: &str) -> Result<&'s Value, TooMuch> {
    let elsewhere = || TooMuch::Reference(reference.to_owned());
    let pointer = reference.strip_prefix('#').ok_or_else(elsewhere)?;
    root.pointer(&percent_decoded(pointer)).ok_or_else(elsewhere)
}

fn percent_decoded(pointer: &str) -> String {
    let bytes = pointer.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let pair = pointer.get(at + 1..at + 3).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let (byte, length) = match (byte, pair) {
            (b'%', Some(value)) => (value, 3),
            _ => (byte, 1),
        };
        decoded.push(byte);
        at += length;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A schema and a value, by where they are in memory.
type Pair = (usize, usize);

struct Counter<'s> {
    root: &'s Value,
    /// The checks of a schema on a value; none while they are being counted.
    known: HashMap<Pair, Option<u64>>,
    limit: u64,
}

impl<'s> Counter<'s> {
    /// Checks of a schema on a value. Without a value, those that any value costs by itself.
    fn visits(&mut self, schema: &'s Value, value: Option<&Value>, nesting: usize) -> Result<u64, TooMuch> {
        let Value::Object(keywords) = schema else {
            return Ok(1);
        };
        if nesting > MAX_NESTING {
            return Err(TooMuch::Large { what: "schemas inside schemas", limit: MAX_NESTING as u64 });
        }
        let place = |value: &Value| std::ptr::from_ref(value) as usize;
        let pair = (place(schema), value.map_or(0, place));
        match self.known.get(&pair) {
            Some(Some(visits)) => return Ok(*visits),
            Some(None) => return Err(TooMuch::Endless),
            None => self.known.insert(pair, None),
        };
        let mut visits = 1_u64;
        for (keyword, sub) in keywords {
            visits = visits.saturating_add(self.keyword(keyword, sub, value, nesting + 1)?);
            if visits > self.limit {
                return Err(TooMuch::Large { what: "checks", limit: self.limit });
            }
        }
        self.known.insert(pair, Some(visits));
        Ok(visits)
    }

    fn keyword(
        &mut self,
        keyword: &str,
        sub: &'s Value,
        value: Option<&Value>,
        nesting: usize,
    ) -> Result<u64, TooMuch> {
        match (keyword, sub) {
            ("$ref" | "$recursiveRef", Value::String(reference)) => {
                let target = target(self.root, reference)?;
                self.visits(target, value, nesting)
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => self.sum(schemas, value, nesting),
            ("not" | "if" | "then" | "else", _) => self.visits(sub, value, nesting),
            ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                self.sum(schemas.values(), value, nesting)
            }
            _ => match value {
                Some(Value::Object(entries)) => self.entries(keyword, sub, entries, nesting),
                Some(Value::Array(items)) => self.items(keyword, sub, items, nesting),
                _ => Ok(0),
            },
        }
    }

    fn entries(
        &mut self,
        keyword: &str,
        sub: &'s Value,
        entries: &Map<String, Value>,
        nesting: usize,
    ) -> Result<u64, TooMuch> {
        match (keyword, sub) {
            ("properties", Value::Object(schemas)) => {
                let named = schemas.iter().filter_map(|(name, schema)| Some((schema, entries.get(name)?)));
                self.pairs(named, nesting)
            }
            // Which ones match is not known here: as if each did.
            ("patternProperties", Value::Object(schemas)) => {
                let pairs =
                    schemas.values().flat_map(|schema| entries.values().map(move |value| (schema, value)));
                self.pairs(pairs, nesting)
            }
            ("additionalProperties" | "unevaluatedProperties", _) => {
                self.pairs(entries.values().map(|value| (sub, value)), nesting)
            }
            ("propertyNames", _) => Ok(self.visits(sub, None, nesting)?.saturating_mul(entries.len() as u64)),
            _ => Ok(0),
        }
    }

    fn items(
        &mut self,
        keyword: &str,
        sub: &'s Value,
        items: &[Value],
        nesting: usize,
    ) -> Result<u64, TooMuch> {
        match (keyword, sub) {
            ("items" | "prefixItems", Value::Array(schemas)) => {
                self.pairs(schemas.iter().zip(items), nesting)
            }
            ("items" | "additionalItems" | "unevaluatedItems" | "contains", _) => {
                self.pairs(items.iter().map(|value| (sub, value)), nesting)
            }
            _ => Ok(0),
        }
    }

    fn sum(
        &mut self,
        schemas: impl IntoIterator<Item = &'s Value>,
        value: Option<&Value>,
        nesting: usize,
    ) -> Result<u64, TooMuch> {
        schemas
            .into_iter()
            .try_fold(0_u64, |sum, schema| Ok(sum.saturating_add(self.visits(schema, value, nesting)?)))
    }

    fn pairs<'v>(
        &mut self,
        pairs: impl Iterator<Item = (&'s Value, &'v Value)>,
        nesting: usize,
    ) -> Result<u64, TooMuch> {
        let mut sum = 0_u64;
        for (schema, value) in pairs {
            sum = sum.saturating_add(self.visits(schema, Some(value), nesting)?);
        }
        Ok(sum)
    }
}
