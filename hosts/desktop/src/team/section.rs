//! A table of the team file: its values by key, with their types and ranges checked and their places
//! kept.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, TeamError, quoted};
use super::name::nearest;
use super::source::Source;

/// Seconds: a year.
const MOST_SECONDS: f64 = 365.0 * 86_400.0;

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its first byte in the file.
    pub at: usize,
}

impl<T> Setting<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: change(self.value), at: self.at }
    }
}

/// A table whose keys are all known.
pub(super) struct Section<'a> {
    source: Source<'a>,
    name: &'static str,
    table: &'a DeTable<'a>,
    /// Its first byte in the file.
    pub at: usize,
}

impl<'a> Section<'a> {
    /// Takes a table with no other keys than `known`. `name` is what messages call it.
    pub fn new(
        source: Source<'a>,
        name: &'static str,
        table: &'a DeTable<'a>,
        at: usize,
        known: &'static [&'static str],
    ) -> Result<Section<'a>, TeamError> {
        let unknown = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        if let Some(key) = unknown.min_by_key(|key| key.span().start) {
            let text = key.get_ref().as_ref();
            let nearest = nearest(text, known.iter().copied());
            let key_text = text.to_owned();
            let problem = Problem::UnknownKey { section: name, key: key_text, nearest, known };
            return Err(source.error(key.span().start, problem));
        }
        Ok(Section { source, name, table, at })
    }

    /// A problem at a byte of the file.
    pub fn error(&self, at: usize, problem: Problem) -> TeamError {
        self.source.error(at, problem)
    }

    /// A value that is not accepted.
    pub fn refuse(&self, key: &'static str, setting: Setting<&str>, accepted: &str) -> TeamError {
        let found = setting.value.to_owned();
        self.error(setting.at, Problem::Value { key, found, accepted: accepted.to_owned() })
    }

    /// The section lacks a key.
    pub fn missing(&self, key: &'static str) -> TeamError {
        self.error(self.at, Problem::MissingKey { section: self.name, key })
    }

    /// The value of a key, of whatever type.
    pub fn value(&self, key: &'static str) -> Option<Setting<&'a DeValue<'a>>> {
        let value = self.table.get(key)?;
        Some(Setting { value: value.get_ref(), at: value.span().start })
    }

    /// A text.
    pub fn text(&self, key: &'static str) -> Result<Option<Setting<&'a str>>, TeamError> {
        self.typed(key, "a text", DeValue::as_str)
    }

    /// A text that is not only white space.
    pub fn words(&self, key: &'static str) -> Result<Option<Setting<&'a str>>, TeamError> {
        match self.text(key)? {
            Some(text) if text.value.trim().is_empty() => {
                let found = text.map(|text| if text.is_empty() { "empty" } else { "only white space" });
                Err(self.refuse(key, found, "a text of at least one character"))
            }
            text => Ok(text),
        }
    }

    /// One of some words.
    pub fn choice<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
        accepted: &str,
    ) -> Result<Option<Setting<T>>, TeamError> {
        let Some(text) = self.typed(key, accepted, DeValue::as_str)? else { return Ok(None) };
        match choices.iter().find(|(name, _)| *name == text.value) {
            Some(&(_, value)) => Ok(Some(Setting { value, at: text.at })),
            None => {
                let found = quoted(text.value);
                Err(self.refuse(key, Setting { value: &found, at: text.at }, accepted))
            }
        }
    }

    /// True or false; false where the key is absent.
    pub fn choice_of_truth(&self, key: &'static str) -> Result<bool, TeamError> {
        Ok(self.truth(key)?.is_some_and(|truth| truth.value))
    }

    /// True or false.
    pub fn truth(&self, key: &'static str) -> Result<Option<Setting<bool>>, TeamError> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    /// A whole number in a range.
    pub fn whole(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<Setting<u64>>, TeamError> {
        let accepted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(number) = self.typed(key, &accepted, DeValue::as_integer)? else { return Ok(None) };
        match u64::from_str_radix(number.value.as_str(), number.value.radix()) {
            Ok(value) if range.contains(&value) => Ok(Some(Setting { value, at: number.at })),
            _ => {
                let found = shortened(&number.value.to_string());
                Err(self.refuse(key, Setting { value: &found, at: number.at }, &accepted))
            }
        }
    }

    /// [`Section::whole`] for a range that fits 32 bits.
    pub fn whole_u32(
        &self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<Setting<u32>>, TeamError> {
        let whole = self.whole(key, u64::from(*range.start())..=u64::from(*range.end()))?;
        Ok(whole.map(|whole| whole.map(|value| u32::try_from(value).expect("the range fits 32 bits"))))
    }

    /// A number, whole or not, that is not checked but for its type.
    pub fn number(&self, key: &'static str) -> Result<Option<Setting<f64>>, TeamError> {
        let number = |value: &DeValue<'_>| match value {
            // More digits than a number can hold are infinitely many.
            DeValue::Integer(whole) => {
                let value = i64::from_str_radix(whole.as_str(), whole.radix());
                Some(value.map_or(f64::INFINITY, |value| value as f64))
            }
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => None,
        };
        self.typed(key, "a number", number)
    }

    /// A number of seconds, whole or not, as microseconds.
    pub fn seconds(&self, key: &'static str) -> Result<Option<u64>, TeamError> {
        let Some(seconds) = self.number(key)? else { return Ok(None) };
        let time_us = (seconds.value * 1e6).round();
        if !(time_us >= 1.0 && seconds.value <= MOST_SECONDS) {
            let found = seconds.value.to_string();
            let accepted = format!("a number above 0 and at most {MOST_SECONDS}");
            return Err(self.refuse(key, Setting { value: &found, at: seconds.at }, &accepted));
        }
        Ok(Some(time_us as u64))
    }

    /// A table under a key.
    pub fn section(
        &self,
        key: &'static str,
        name: &'static str,
        known: &'static [&'static str],
    ) -> Result<Option<Section<'a>>, TeamError> {
        let Some(table) = self.typed(key, "a table", DeValue::as_table)? else { return Ok(None) };
        Section::new(self.source, name, table.value, table.at, known).map(Some)
    }

    /// A list, each entry of which is of a type.
    pub fn list<T>(
        &self,
        key: &'static str,
        accepted: &str,
        entry: impl Fn(&'a DeValue<'a>) -> Option<T>,
    ) -> Result<Vec<Setting<T>>, TeamError> {
        let Some(list) = self.typed(key, accepted, DeValue::as_array)? else { return Ok(Vec::new()) };
        let typed = |value: &'a Spanned<DeValue<'a>>| {
            let at = value.span().start;
            match entry(value.get_ref()) {
                Some(value) => Ok(Setting { value, at }),
                None => {
                    let found = shown(value.get_ref());
                    Err(self.refuse(key, Setting { value: &found, at }, accepted))
                }
            }
        };
        list.value.iter().map(typed).collect()
    }

    fn typed<T>(
        &self,
        key: &'static str,
        accepted: &str,
        take: impl Fn(&'a DeValue<'a>) -> Option<T>,
    ) -> Result<Option<Setting<T>>, TeamError> {
        let Some(Setting { value, at }) = self.value(key) else { return Ok(None) };
        match take(value) {
            Some(value) => Ok(Some(Setting { value, at })),
            None => {
                let found = shown(value);
                Err(self.refuse(key, Setting { value: &found, at }, accepted))
            }
        }
    }
}

/// A value as a message shows it.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {}", quoted(text)),
        DeValue::Integer(number) => format!("the number {}", shortened(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", shortened(number.as_str())),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Digits that a message shows of a number.
const DIGITS: usize = 24;

fn shortened(digits: &str) -> String {
    match digits.char_indices().nth(DIGITS) {
        None => digits.to_owned(),
        Some((end, _)) => format!("{}…", &digits[..end]),
    }
}
