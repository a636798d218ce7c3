//! What agents are told about tools and their results, and people about calls. Everything that is quoted goes through the chat
//! template as text: none of it can become a control token.

use agentos_kernel::tool::CallOutcome;
use agentos_tools::{Access, Descriptor};
use serde_json::Value;

use super::caller::Place;
use super::use_::Choose;
use crate::text::{CallShape, Opens, Special, Tokenizer, definition};

/// Tokens that may stand around what an agent is told next, where its template's are not known yet: those in use have
/// a dozen.
pub const FRAME_TOKENS: u32 = 32;

/// Tokens of its request that an agent is told again with each result: of a longer one, its end. All of it stands in
/// its context already.
pub const REMINDED_TOKENS: usize = 128;

/// Tokens by which a text may be longer between two others than alone.
pub const JOINT_TOKENS: u32 = 8;

/// Tokens of the line above a result that says where it is from.
pub const HEADER_TOKENS: u32 = 64;

/// Tokens that it may take to say, below that line, what is wrong with an output.
pub const REASON_TOKENS: u32 = 32;

/// Before and after a call that a model writes by itself, where its template says nothing of calls (Hermes and Qwen write
/// calls so).
pub const OPENS: &str = "<tool_call>";
/// Behind such a call.
pub const CLOSES: &str = "</tool_call>";

/// The shape of such a call, which [`tools_offered`] asks for.
pub fn plain_shape() -> CallShape {
    let [opens, before, between, after] =
        [OPENS, "{\"name\": \"", "\", \"arguments\": ", "}"].map(str::to_owned);
    CallShape { opens: Opens::Text(opens), before, between, after }
}

/// What an agent is asked for whom the tool was chosen: the arguments of the call, by example.
pub fn arguments_wanted(tool: &Descriptor, request: &str) -> String {
    let mut text =
        format!("The tool {}: {}\nWrite the arguments of a call as JSON.\n\n", tool.name, tool.description);
    // Where there is nothing to fill in, examples of nothing make a small model say nothing.
    let fills = tool.arguments["properties"].as_object().is_some_and(|properties| !properties.is_empty());
    for example in tool.examples.iter().filter(|_| fills) {
        text.extend(["Request: ", &example.request, "\nArguments: ", &compact(&example.arguments), "\n\n"]);
    }
    text + "Request: " + request + "\nArguments:"
}

/// What a system message says of tools that an agent calls by itself.
pub fn tools_offered<'d>(tools: impl Iterator<Item = &'d Descriptor>) -> String {
    let mut text = "You may call these tools:\n".to_owned();
    for tool in tools {
        text.extend([
            "- ",
            &tool.name,
            ": ",
            &tool.description,
            " Arguments: ",
            &compact(&shown(&tool.arguments)),
            "\n",
        ]);
    }
    text + "To call one, write "
        + OPENS
        + "{\"name\": NAME, \"arguments\": ARGUMENTS}"
        + CLOSES
        + " and nothing else."
}

/// A tool as the model's template is told of it.
pub fn offered(tool: &Descriptor) -> Value {
    definition(&tool.name, &tool.description, &shown(&tool.arguments))
}

/// What of a schema is words, for a reader: a stranger has written it.
const PROSE: [&str; 4] = ["title", "description", "$comment", "default"];

/// A schema with nothing hidden in its words. What arguments are held to stays as it is.
fn shown(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Object(object) => {
            let member = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::String(words) if PROSE.contains(&name.as_str()) => {
                        Value::from(agentos_perception::text::visible(words).0)
                    }
                    value => shown(value),
                };
                (name.clone(), value)
            };
            Value::Object(object.iter().map(member).collect())
        }
        value => value.clone(),
    }
}

/// What an agent reads when a call is over: the result, aligned, and what it was asked.
pub fn result(aligned: &str, request: &str) -> String {
    format!("The result is:\n{aligned}\n\nNow answer in plain words, with this result: {request}")
}

/// What stands before each further result where there are several.
pub const NEXT: &str = "\n\nThe next result is:\n";

/// What an agent reads of one of the results of several calls.
pub fn result_among(aligned: &str, request: &str, place: Place) -> String {
    match place {
        Place::Only => result(aligned, request),
        Place::First => format!("The result is:\n{aligned}"),
        Place::Between => format!("{NEXT}{aligned}"),
        Place::Last => {
            format!("{NEXT}{aligned}\n\nNow answer in plain words, with these results: {request}")
        }
    }
}

/// What it reads with a result behind which another call is to be made: the arguments of that. The result stands next
/// to them, behind the examples: a small model takes from what it has read last.
pub fn result_and_next(aligned: &str, next: &Descriptor, request: &str) -> String {
    arguments_wanted(next, &format!("{request}\nThe result so far is: {aligned}"))
}

/// What a system message says of several calls.
pub const SEVERAL: &str = " Several calls may follow each other: all of them are made before you answer.";

/// What it reads when the output broke the tool's own schema, and it may call once more: how depends on who calls.
pub fn repair(tool: &Descriptor, reason: &str, request: &str, caller: Choose) -> String {
    let name = &tool.name;
    let how = match caller {
        Choose::Likeness => {
            format!("Write the arguments of a call once more, as JSON.\n\nRequest: {request}\nArguments:")
        }
        Choose::Model => format!(
            "Call it once more: write {OPENS}{{\"name\": {}, \"arguments\": ARGUMENTS}}{CLOSES} and nothing else.\n\n\
             Request: {request}",
            Value::from(name.as_str())
        ),
    };
    format!("{reason}\n\nThe output of {name} was not of its form. {how}")
}

/// [`repair`] for who writes calls as the model's own template does, and needs not be told how.
pub fn repair_as_before(tool: &Descriptor, reason: &str, request: &str) -> String {
    format!(
        "{reason}\n\nThe output of {} was not of its form. Call it once more.\n\nRequest: {request}",
        tool.name
    )
}

/// Where a call takes its result from: the path, the address or the command that its arguments name. Empty where they
/// name none.
pub fn source(tool: &Descriptor, arguments: &str) -> String {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let text = |key: &str| arguments[key].as_str().unwrap_or_default().to_owned();
    match tool.access {
        Access::Files => text("path"),
        Access::Network => text("url"),
        Access::Commands => {
            let given = arguments["arguments"].as_array().into_iter().flatten().filter_map(Value::as_str);
            given.fold(text("command"), |command, argument| command + " " + argument)
        }
        Access::None
        | Access::Clock
        | Access::Person
        | Access::Memory
        | Access::Sensor
        | Access::Server
        | Access::Agent => String::new(),
    }
}

/// What it reads of a call that it did not write to its end.
pub fn endless(most: u32) -> String {
    format!("the call was not whole after {most} tokens, the most that it may take; it was not made")
}

/// What it reads where there is no room for a result.
pub fn no_room(tokens: u32) -> String {
    format!("the result does not fit: the context has {tokens} tokens left for it")
}

/// The end of what somebody was asked: so many tokens at most, or a few more.
pub fn reminder(request: &str, tokenizer: &Tokenizer) -> String {
    let tokens = tokenizer.encode(request, Special::AsText).unwrap_or_default();
    if tokens.len() <= REMINDED_TOKENS {
        return request.to_owned();
    }
    let end = tokenizer.decode(&tokens[tokens.len() - REMINDED_TOKENS..]);
    // It begins with a whole word, where there is more than one.
    let word = end.trim_end().find(char::is_whitespace).map_or(0, |at| at + 1);
    format!("… {}", end[word..].trim_start())
}

/// What it reads where a call came to nothing and the tool itself gave no reason.
pub fn reason(outcome: CallOutcome, tool: &Descriptor) -> String {
    match outcome {
        CallOutcome::Done => String::new(),
        CallOutcome::Refused => "the call was refused".to_owned(),
        CallOutcome::Failed => "the call did not work".to_owned(),
        CallOutcome::Output => format!("the output was longer than {} bytes; the rest is missing", tool.output_bytes),
        CallOutcome::TimedOut => format!("no result within {} s; the call was given up", tool.timeout.as_secs_f32()),
        CallOutcome::Gone => "the tool is not there any more".to_owned(),
        CallOutcome::Budget => "no more calls may be made; answer with what is known".to_owned(),
        CallOutcome::Unknown => {
            "the system was stopped during the call, which was not made again: whether it had an effect is not known"
                .to_owned()
        }
    }
}

/// What a person is asked who has to agree to a call; to one that is made again, after a restore. Nothing in it
/// steers a terminal.
pub fn question(agent: &str, tool: &str, arguments: &str, again: bool) -> String {
    let again = if again { " again" } else { "" };
    let (arguments, _) = agentos_perception::text::visible(arguments);
    format!("{agent} wants to call {tool}{again} with {arguments}. Agreed? [y/N]")
}

/// What a person is asked who has stopped everybody.
pub const PAUSED: &str =
    "Paused. Enter goes on, and a line before it is for all who still speak; Ctrl-C again ends the run.";

/// What a person is asked by an agent.
pub fn asks(agent: &str, question: &str) -> String {
    let (question, _) = agentos_perception::text::visible(question);
    format!("{agent} asks: {question}")
}

fn compact(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agentos_tools::Effect;
    use serde_json::json;

    use super::*;

    fn tool(access: Access) -> Descriptor {
        Descriptor {
            name: "tool".to_owned(),
            description: String::new(),
            arguments: json!({}),
            output: None,
            access,
            effect: Effect::None,
            timeout: Duration::from_secs(1),
            attempts: 1,
            output_bytes: 1,
            output_tokens: 1,
            examples: Vec::new(),
        }
    }

    #[test]
    fn a_call_says_where_its_result_is_from() {
        for (access, arguments, from) in [
            (Access::Files, r#"{"path": "docs/a.txt", "lines": 3}"#, "docs/a.txt"),
            (Access::Files, r#"{"path": 3}"#, ""),
            (Access::Network, r#"{"url": "https://example.org/"}"#, "https://example.org/"),
            (Access::Commands, r#"{"command": "count", "arguments": ["-l", "a b"]}"#, "count -l a b"),
            (Access::Commands, r#"{"command": "count"}"#, "count"),
            (Access::None, r#"{"expression": "4"}"#, ""),
            (Access::Files, r#"{"path": "do"#, ""),
        ] {
            assert_eq!(source(&tool(access), arguments), from, "{arguments}");
        }
    }
}
