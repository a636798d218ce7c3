//! How much work a schema asks for.
//!
//! A schema may refer to itself without ever coming to an end, and a few lines of one may ask for more checks
//! than there are atoms: each level that names the next one twice doubles them. The validator would run them all,
//! so they are counted first. A count remembers what a reference came to, and ends as soon as there are too many
//! checks; so it takes less time than they would, and room for no more than are allowed.

use std::collections::{HashMap, HashSet};
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

/// A schema whose own work is known, to count that for a value.
#[derive(Debug)]
pub struct Work {
    schema: Value,
    /// Schemas in it, where none refers to another. Each of them meets each value once at most.
    separate: Option<u64>,
}

impl Work {
    /// Looks through a schema, and all that it refers to.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn survey(schema: &Value) -> Result<Work, TooMuch> {
        let mut survey = Survey::new(schema);
        survey.look(schema, true)?;
        let separate = survey.targets.is_empty().then_some(survey.schemas);
        // A reference may lead to where no schema was looked for, such as into a default.
        while let Some(target) = survey.targets.pop() {
            if !survey.seen.contains(&place(target)) {
                survey.look(target, false)?;
            }
        }
        Ok(Work { schema: schema.clone(), separate })
    }

    /// Counts the checks that a value costs, as far as it has to.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn bound(&self, value: &Value) -> Result<(), TooMuch> {
        match self.separate {
            Some(schemas) if schemas.saturating_mul(values(value)) <= MAX_VISITS => Ok(()),
            _ => Counter::new(&self.schema, MAX_VISITS).visit(&self.schema, Some(value), 0),
        }
    }
}

/// A value and all that are in it.
fn values(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(entries) => entries.values().map(values).sum(),
        _ => 0,
    }
}

struct Survey<'s> {
    counter: Counter<'s>,
    /// Schemas that were looked at.
    seen: HashSet<usize>,
    /// What references lead to.
    targets: Vec<&'s Value>,
    schemas: u64,
    patterns: usize,
}

impl<'s> Survey<'s> {
    fn new(root: &'s Value) -> Survey<'s> {
        let (counter, seen) = (Counter::new(root, MAX_STATIC), HashSet::new());
        Survey { counter, seen, targets: Vec::new(), schemas: 0, patterns: 0 }
    }

    /// Looks at a schema, or at a list of them.
    fn look(&mut self, schema: &'s Value, is_root: bool) -> Result<(), TooMuch> {
        self.schemas += u64::from(matches!(schema, Value::Bool(_) | Value::Array(_) | Value::Object(_)));
        match schema {
            Value::Array(schemas) => schemas.iter().try_for_each(|schema| self.look(schema, false)),
            Value::Object(keywords) => {
                self.seen.insert(place(schema));
                // The most is for each by itself.
                self.counter.visits = 0;
                self.counter.visit(schema, None, 0)?;
                keywords.iter().try_for_each(|(keyword, sub)| self.keyword(keyword, sub, is_root))
            }
            _ => Ok(()),
        }
    }

    fn keyword(&mut self, keyword: &str, sub: &'s Value, is_root: bool) -> Result<(), TooMuch> {
        match (keyword, sub) {
            ("$ref" | "$recursiveRef", Value::String(reference)) => {
                self.targets.push(target(self.counter.root, reference)?);
                Ok(())
            }
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

fn place(value: &Value) -> usize {
    std::ptr::from_ref(value) as usize
}

/// A schema and a value, by where they are in memory.
type Pair = (usize, usize);

struct Counter<'s> {
    root: &'s Value,
    /// Checks so far, as the validator would run them.
    visits: u64,
    limit: u64,
    /// The checks that a reference to a schema costs on a value; none while they are being counted.
    known: HashMap<Pair, Option<u64>>,
}

impl<'s> Counter<'s> {
    fn new(root: &'s Value, limit: u64) -> Counter<'s> {
        Counter { root, visits: 0, limit, known: HashMap::new() }
    }

    fn add(&mut self, visits: u64) -> Result<(), TooMuch> {
        self.visits = self.visits.saturating_add(visits);
        let large = TooMuch::Large { what: "checks", limit: self.limit };
        if self.visits > self.limit { Err(large) } else { Ok(()) }
    }

    /// Adds the checks of a schema on a value. Without a value, those that any value costs by itself.
    fn visit(&mut self, schema: &'s Value, value: Option<&Value>, nesting: usize) -> Result<(), TooMuch> {
        self.add(1)?;
        let Value::Object(keywords) = schema else {
            return Ok(());
        };
        if nesting > MAX_NESTING {
            return Err(TooMuch::Large { what: "schemas inside schemas", limit: MAX_NESTING as u64 });
        }
        keywords.iter().try_for_each(|(keyword, sub)| self.keyword(keyword, sub, value, nesting + 1))
    }

    /// Adds the checks of a schema that is referred to. Only so a schema comes upon a value twice, or upon itself.
    fn refer(&mut self, schema: &'s Value, value: Option<&Value>, nesting: usize) -> Result<(), TooMuch> {
        let pair = (place(schema), value.map_or(0, place));
        match self.known.get(&pair) {
            Some(Some(visits)) => return self.add(*visits),
            Some(None) => return Err(TooMuch::Endless),
            None => self.known.insert(pair, None),
        };
        let before = self.visits;
        self.visit(schema, value, nesting)?;
        self.known.insert(pair, Some(self.visits - before));
        Ok(())
    }

    fn keyword(
        &mut self,
        keyword: &str,
        sub: &'s Value,
        value: Option<&Value>,
        nesting: usize,
    ) -> Result<(), TooMuch> {
        match (keyword, sub) {
            ("$ref" | "$recursiveRef", Value::String(reference)) => {
                self.refer(target(self.root, reference)?, value, nesting)
            }
            // Where this leads depends on more than the schema's own text.
            ("$dynamicRef", Value::String(reference)) => Err(TooMuch::Reference(reference.clone())),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => self.all(schemas, value, nesting),
            ("not" | "if" | "then" | "else", _) => self.visit(sub, value, nesting),
            ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                self.all(schemas.values(), value, nesting)
            }
            _ => match value {
                Some(Value::Object(entries)) => self.entries(keyword, sub, entries, nesting),
                Some(Value::Array(items)) => self.items(keyword, sub, items, nesting),
                _ => Ok(()),
            },
        }
    }

    fn entries(
        &mut self,
        keyword: &str,
        sub: &'s Value,
        entries: &Map<String, Value>,
        nesting: usize,
    ) -> Result<(), TooMuch> {
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
            ("propertyNames", _) => {
                let before = self.visits;
                self.visit(sub, None, nesting)?;
                // The same again for each further name.
                let further = entries.len().saturating_sub(1) as u64;
                self.add((self.visits - before).saturating_mul(further))
            }
            _ => Ok(()),
        }
    }

    fn items(
        &mut self,
        keyword: &str,
        sub: &'s Value,
        items: &[Value],
        nesting: usize,
    ) -> Result<(), TooMuch> {
        match (keyword, sub) {
            ("items" | "prefixItems", Value::Array(schemas)) => {
                self.pairs(schemas.iter().zip(items), nesting)
            }
            ("items" | "additionalItems" | "unevaluatedItems" | "contains", _) => {
                self.pairs(items.iter().map(|value| (sub, value)), nesting)
            }
            _ => Ok(()),
        }
    }

    fn all(
        &mut self,
        schemas: impl IntoIterator<Item = &'s Value>,
        value: Option<&Value>,
        nesting: usize,
    ) -> Result<(), TooMuch> {
        schemas.into_iter().try_for_each(|schema| self.visit(schema, value, nesting))
    }

    fn pairs<'v>(
        &mut self,
        mut pairs: impl Iterator<Item = (&'s Value, &'v Value)>,
        nesting: usize,
    ) -> Result<(), TooMuch> {
        pairs.try_for_each(|(schema, value)| self.visit(schema, Some(value), nesting))
    }
}
