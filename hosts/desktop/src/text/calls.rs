//! How a model's own template writes calls of tools, and what came of them.
//!
//! Nothing here knows a model by its name. The template is tried with a conversation in which a tool is called, and
//! what it writes is taken apart: what opens a call, what stands around the tool's name and the arguments, what
//! closes it, and what stands around a result. A template that does not take tools, or writes calls in another way
//! than with a name and JSON, has no format: then calls are written as the host asks for them in words.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::chat::{ChatError, encode_between};
use super::conversation::{Conversation, ToolCall};
use super::special::Allowed;
use super::template::{Message, RenderOptions, Role, Template};
use super::tojson::escaped;
use super::tokenizer::Tokenizer;

/// What begins a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opens {
    /// A control token.
    Token(u32),
    /// A text, anywhere in what the model says.
    Text(String),
    /// A text with which an answer begins: without more, JSON is a call there alone.
    Answer(String),
}

impl Opens {
    /// The text that begins a call; `None` where a control token does.
    pub fn text(&self) -> Option<&str> {
        match self {
            Opens::Token(_) => None,
            Opens::Text(text) | Opens::Answer(text) => Some(text),
        }
    }
}

/// What a model writes when it calls a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallShape {
    /// What begins a call.
    pub opens: Opens,
    /// Between that and the tool's name.
    pub before: String,
    /// Between the name and the arguments, which are JSON.
    pub between: String,
    /// Behind the arguments: the end of what the model writes.
    pub after: String,
}

/// How a template writes calls and results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFormat {
    /// What the model writes.
    pub shape: CallShape,
    /// Between that and the result: the end of the call and of the turn, and the beginning of the next.
    result_before: String,
    /// Behind the result: the end of its turn, and the beginning of the model's answer.
    result_after: String,
    /// Results are written as JSON strings.
    result_in_json: bool,
    /// Calls have ids, which stand where [`ID`] does in what is around results. A model writes its calls up to there.
    has_ids: bool,
}

/// The id of the call that a template is tried with.
const ID: &str = "call00000";

/// Ids that there are.
const IDS: u32 = 100_000;

/// The id of a call, the number of which counts from 0 in its conversation: templates that want one want nine letters and
/// digits.
pub fn call_id(number: u32) -> String {
    format!("call{:05}", number.saturating_add(1) % IDS)
}

/// Two tools and what they give, which share neither their first character nor their last.
const SAMPLES: [Sample; 2] = [
    Sample { name: "alpha_tool", argument: "first thing", result: "Lamp 7 is lit." },
    Sample { name: "zeta_probe", argument: "other matter", result: "no \"lamp\" at all\n> but \\ here" },
];

struct Sample {
    name: &'static str,
    argument: &'static str,
    result: &'static str,
}

/// A template's words around a call and its result.
#[derive(PartialEq)]
struct Parts {
    call: [String; 3],
    result_before: String,
    result_after: String,
    in_json: bool,
}

impl CallFormat {
    /// The format of a template, if it takes tools and writes calls in a way that a model can be held to.
    pub fn of(template: &Template, tokenizer: &Tokenizer, now_s: i64) -> Option<CallFormat> {
        let probe = Probe { template, now_s };
        let [one, other] = [probe.parts(&SAMPLES[0])?, probe.parts(&SAMPLES[1])?];
        if one.call != other.call
            || one.result_before != other.result_before
            || one.result_after != other.result_after
        {
            return None;
        }
        // A result of plain words is the same as JSON, but for its quotes.
        let Parts { call: [begin, between, end], result_before, result_after, in_json } = other;
        let (opens, before) = opening(&begin, tokenizer)?;
        let has_special = |text: &str| first_special(tokenizer, text).is_some();
        if has_special(&before) || has_special(&between) {
            return None;
        }
        let end = first_special(tokenizer, &end).map_or(end.len(), |special| special.0);
        // A model that is to write the id before the arguments writes the same one each time.
        let has_ids = !begin.contains(ID) && !between.contains(ID);
        let id = result_before.find(ID).filter(|&at| has_ids && at < end);
        let (after, result_before) = result_before.split_at_checked(id.unwrap_or(end))?;
        Some(CallFormat {
            shape: CallShape { opens, before, between, after: after.to_owned() },
            result_before: result_before.to_owned(),
            result_after,
            result_in_json: in_json,
            has_ids,
        })
    }

    /// The text of a result as the template writes it.
    pub fn written<'r>(&self, text: &'r str) -> Cow<'r, str> {
        if self.result_in_json { Cow::Owned(escaped(text)) } else { Cow::Borrowed(text) }
    }

    /// What a model reads behind a call that it has written, the one of a number in its conversation: the call's end, with
    /// its id where calls have one, the result, and the beginning of the model's next answer. Nothing in the result becomes
    /// a control token.
    ///
    /// # Errors
    /// [`ChatError::Tokenizer`], [`ChatError::Unguarded`].
    pub fn result(&self, tokenizer: &Tokenizer, number: u32, text: &str) -> Result<Vec<u32>, ChatError> {
        let numbered = |around: &str| match self.has_ids {
            true => around.replace(ID, &call_id(number)),
            false => around.to_owned(),
        };
        let [before, after] = [&self.result_before, &self.result_after].map(|around| numbered(around));
        encode_between(tokenizer, [&before, &after], &self.written(text))
    }

    /// A call as a person reads it.
    pub fn example(&self, tokenizer: &Tokenizer) -> String {
        let CallShape { opens, before, between, after } = &self.shape;
        let opens = match opens {
            Opens::Token(token) => String::from_utf8_lossy(tokenizer.piece(*token)).into_owned(),
            Opens::Text(text) | Opens::Answer(text) => text.clone(),
        };
        // The end of the call stands behind its id.
        let id = self.result_before.strip_prefix(ID).map_or(String::new(), |rest| {
            let end = first_special(tokenizer, rest).map_or(rest.len(), |special| special.0);
            format!("ID{}", &rest[..end])
        });
        [&opens, before, "NAME", between, "{…}", after, &id].concat()
    }
}

/// A template that is tried.
struct Probe<'t> {
    template: &'t Template,
    now_s: i64,
}

impl Probe<'_> {
    /// What the template writes around a sample; `None` where that cannot be told.
    fn parts(&self, sample: &Sample) -> Option<Parts> {
        let arguments = json!({ "subject": sample.argument });
        let tools = [definition(sample.name, "Says what is known.", &parameters())];
        if !self.render(&[], &tools, true)?.contains(sample.name)
            || self.render(&[], &[], true)?.contains(sample.name)
        {
            return None;
        }
        let call = |result: Option<&str>| ToolCall {
            id: ID.to_owned(),
            name: sample.name.to_owned(),
            arguments: arguments.clone(),
            result: result.map(str::to_owned),
        };
        let [asked, before] = [false, true].map(|answers| self.render(&[], &tools, answers));
        let [asked, before] = [asked?, before?];
        let called = self.render(&[call(None)], &tools, false)?;
        let whole = self.render(&[call(Some(sample.result))], &tools, true)?;
        let answer_begins = before.strip_prefix(&asked)?;
        let said = |text: &str| Some(behind(text.strip_prefix(&asked)?, answer_begins)?.to_owned());
        let (called, whole) = (said(&called)?, said(&whole)?);
        let [begin, between, end] = around_call(&whole, sample.name, &arguments)?;
        let [called_begin, called_between, called_end] = around_call(&called, sample.name, &arguments)?;
        if (begin, between) != (called_begin, called_between) {
            return None;
        }
        let (result_before, result_after, in_json) = around_result(end, sample.result)?;
        // The end of the turn alone, without the next.
        let closes = common(called_end, result_before);
        Some(Parts {
            call: [begin, between, closes].map(str::to_owned),
            result_before: result_before.to_owned(),
            result_after: result_after.to_owned(),
            in_json,
        })
    }

    fn render(&self, calls: &[ToolCall], tools: &[Value], answers: bool) -> Option<String> {
        let messages = [Message { role: Role::User, content: "Say what is known.".to_owned() }];
        let conversation = Conversation { messages: &messages, tools, calls };
        let options = RenderOptions { add_generation_prompt: answers, now_s: self.now_s };
        self.template.render(conversation, &options).ok()
    }
}

/// A tool as templates know it.
pub fn definition(name: &str, description: &str, parameters: &Value) -> Value {
    let function = json!({ "name": name, "description": description, "parameters": parameters });
    json!({ "type": "function", "function": function })
}

fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": { "subject": { "type": "string", "description": "Of what." } },
        "required": ["subject"],
    })
}

/// A turn without its beginning, which the model is given. What it is given may go on in another way than this turn
/// does, as where the model is to think first: then the turn begins behind the last line that both have.
fn behind<'t>(turn: &'t str, given: &str) -> Option<&'t str> {
    if let Some(rest) = turn.strip_prefix(given) {
        return Some(rest);
    }
    let line = common(turn, given).rfind('\n')?;
    Some(&turn[line + 1..])
}

/// How two texts begin alike.
fn common<'t>(one: &'t str, other: &str) -> &'t str {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    &one[..same.map(|(c, _)| c.len_utf8()).sum()]
}

/// What stands before the name, between it and the arguments, and behind those.
fn around_call<'t>(turn: &'t str, name: &str, arguments: &Value) -> Option<[&'t str; 3]> {
    let key = arguments.as_object()?.keys().next()?;
    let within = turn.find(&format!("\"{key}\""))?;
    let start = turn[..within].rfind('{')?;
    let mut values = serde_json::Deserializer::from_str(&turn[start..]).into_iter::<Value>();
    let found = values.next()?.ok()?;
    let end = start + values.byte_offset();
    let (before, after) = (&turn[..start], &turn[end..]);
    let (begin, between) = before.split_once(name)?;
    // As grammars write it, or the model would be held to something else.
    let written = turn[start..end] == format!("{{\"{key}\": {}}}", arguments[key]);
    (found == *arguments && written && !between.contains(name)).then_some([begin, between, after])
}

/// What stands before a result and behind it, and whether it is a JSON string.
fn around_result<'t>(text: &'t str, result: &str) -> Option<(&'t str, &'t str, bool)> {
    let in_json = escaped(result);
    let (sample, in_json) = match text.contains(result) {
        true => (result, false),
        false => (in_json.as_str(), true),
    };
    let (before, after) = text.split_once(sample)?;
    (!after.contains(sample)).then_some((before, after, in_json))
}

/// What opens a call, and what is left before the name.
fn opening(begin: &str, tokenizer: &Tokenizer) -> Option<(Opens, String)> {
    let mut at = 0;
    let mut last = None;
    while let Some((start, end, token)) = first_special(tokenizer, &begin[at..]) {
        last = Some((&begin[at + start..at + end], token));
        at += end;
    }
    let rest = begin[at..].to_owned();
    if let Some((text, token)) = last {
        let opens =
            if tokenizer.is_control(token) { Opens::Token(token) } else { Opens::Text(text.to_owned()) };
        return Some((opens, rest));
    }
    // Without a token that says so, what stands before the JSON does; and where nothing does, all of it.
    let json = rest.find(['{', '[']).unwrap_or(rest.len());
    let words = rest[..json].trim();
    match words {
        "" if rest.trim().is_empty() => None,
        "" => Some((Opens::Answer(rest.trim_start().to_owned()), String::new())),
        words => {
            let end = rest.find(words)? + words.len();
            Some((Opens::Text(words.to_owned()), rest[end..].to_owned()))
        }
    }
}

/// The first token of a text that is more than text: where it begins and ends, and its id.
fn first_special(tokenizer: &Tokenizer, text: &str) -> Option<(usize, usize, u32)> {
    let found = tokenizer.specials().find(text, Allowed::NotAcross(&[]));
    // Some are how a vocabulary writes indentation and rare characters, and steer nothing.
    let special =
        found.into_iter().find(|found| tokenizer.specials().guarded().any(|guarded| guarded == found.id))?;
    Some((special.range.start, special.range.end, special.id))
}
