//! What a chat template is told: who said what, which tools there are, and a call of one.

use minijinja::value::Value;
use serde_json::Value as Json;

use super::template::{Message, Role};

/// A call of a tool, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// What templates know the call by, where they want to: nine letters and digits suit all.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// What it is called with: an object.
    pub arguments: Json,
    /// What came of it, once that is known.
    pub result: Option<String>,
}

/// A conversation that a model may call tools in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversation<'c> {
    /// Who has said what.
    pub messages: &'c [Message],
    /// The tools that there are, each as an object of the kind that most templates are written for:
    /// `{"type": "function", "function": {"name": …, "description": …, "parameters": …}}`.
    pub tools: &'c [Json],
    /// Calls that the model makes then, all at once.
    pub calls: &'c [ToolCall],
}

impl<'c> From<&'c [Message]> for Conversation<'c> {
    /// One without tools.
    fn from(messages: &'c [Message]) -> Conversation<'c> {
        Conversation { messages, tools: &[], calls: &[] }
    }
}

impl<'c> From<&'c Vec<Message>> for Conversation<'c> {
    fn from(messages: &'c Vec<Message>) -> Conversation<'c> {
        Conversation::from(&messages[..])
    }
}

impl<'c, const N: usize> From<&'c [Message; N]> for Conversation<'c> {
    fn from(messages: &'c [Message; N]) -> Conversation<'c> {
        Conversation::from(&messages[..])
    }
}

impl<'c> Conversation<'c> {
    /// Every text in it that a template may write.
    pub(crate) fn texts(&self) -> Vec<&'c str> {
        let mut texts: Vec<&str> = self.messages.iter().map(|message| message.content.as_str()).collect();
        self.tools.iter().for_each(|tool| texts_of(tool, &mut texts));
        for call in self.calls {
            texts.extend([call.id.as_str(), call.name.as_str()]);
            texts.extend(call.result.as_deref());
            texts_of(&call.arguments, &mut texts);
        }
        texts
    }

    /// The messages as the template engine has them, each text as `mark` has it.
    pub(crate) fn turns(&self, mark: &dyn Fn(&str) -> String) -> Vec<Value> {
        let said = |role: Role, content: &str| {
            pairs([("role", Value::from(role.name())), ("content", mark(content).into())])
        };
        let mut turns: Vec<Value> =
            self.messages.iter().map(|message| said(message.role, &message.content)).collect();
        if self.calls.is_empty() {
            return turns;
        }
        let call = |call: &ToolCall| {
            let function =
                pairs([("name", mark(&call.name).into()), ("arguments", value_of(&call.arguments, mark))]);
            let id = mark(&call.id).into();
            pairs([("id", id), ("type", Value::from("function")), ("function", function)])
        };
        let calls: Value = self.calls.iter().map(call).collect();
        turns.push(pairs([
            ("role", Value::from(Role::Assistant.name())),
            ("content", Value::from("")),
            ("tool_calls", calls),
        ]));
        for call in self.calls {
            let Some(result) = &call.result else { continue };
            turns.push(pairs([
                ("role", Value::from(Role::Tool.name())),
                ("name", mark(&call.name).into()),
                ("tool_call_id", mark(&call.id).into()),
                ("content", mark(result).into()),
            ]));
        }
        turns
    }

    /// The tools as the template engine has them; none where there are none, as templates ask for it.
    pub(crate) fn offered(&self, mark: &dyn Fn(&str) -> String) -> Value {
        match self.tools {
            [] => Value::from(()),
            tools => tools.iter().map(|tool| value_of(tool, mark)).collect(),
        }
    }
}

fn pairs<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::from_pairs(pairs)
}

/// JSON as the template engine has it, its order kept and each text in it as `mark` has it.
fn value_of(json: &Json, mark: &dyn Fn(&str) -> String) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(mark(text)),
        Json::Array(items) => items.iter().map(|item| value_of(item, mark)).collect(),
        Json::Object(object) => {
            Value::from_pairs(object.iter().map(|(name, value)| (mark(name), value_of(value, mark))))
        }
    }
}

fn texts_of<'j>(json: &'j Json, texts: &mut Vec<&'j str>) {
    match json {
        Json::String(text) => texts.push(text),
        Json::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Json::Object(object) => {
            for (name, value) in object {
                texts.push(name);
                texts_of(value, texts);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}
