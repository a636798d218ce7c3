//! Asking the model: which function, and with which arguments.

use agentos_desktop::generate::GenerateError;
use agentos_desktop::text::{Message, Role};
use agentos_desktop::tools::hidden::Pooled;
use agentos_desktop::tools::likeness::{Frame, Known, Scale, best};
use agentos_grammar::{Callable, Calls, Grammar};
use serde_json::Value;

use crate::cases::{Case, Function};
use crate::judge;
use crate::ready::Ready;

/// Tokens of the arguments of a call.
const MOST_TOKENS: u32 = 400;

/// Cases that are shown with their answers before one is asked.
#[derive(Clone, Copy)]
pub struct Shots<'a>(pub &'a [Case]);

impl Shots<'_> {
    pub const NONE: Shots<'static> = Shots(&[]);
}

/// How the arguments came out.
#[derive(Default)]
pub struct Tally {
    pub asked: usize,
    /// They ended within their tokens.
    pub whole: usize,
    /// They keep to the schema.
    pub valid: usize,
    pub right: usize,
    /// The calls, by the name of their case.
    pub texts: Vec<(String, String)>,
    /// What did not end or was not held to a grammar, and why.
    pub failures: Vec<String>,
}

impl Tally {
    /// Asks for the arguments of the right function of each case.
    pub fn of(model: &mut Ready, cases: &[Case], shots: Shots<'_>) -> Tally {
        let mut tally = Tally::default();
        for case in cases {
            tally.asked += 1;
            let text = match arguments(model, case, shots) {
                Ok(text) => text,
                Err(reason) => {
                    tally.failures.push(format!("{}: {reason}", case.id));
                    continue;
                }
            };
            tally.whole += 1;
            let schema = &case.functions[case.right].arguments;
            let call = serde_json::from_str::<Value>(&text).unwrap_or_default();
            let Some(given) = call["arguments"].as_object() else {
                tally.failures.push(format!("{}: no call: {text}", case.id));
                continue;
            };
            match jsonschema::validate(schema, &Value::Object(given.clone())) {
                Ok(()) => tally.valid += 1,
                Err(error) => tally.failures.push(format!("{}: {error}: {text}", case.id)),
            }
            tally.texts.push((case.id.clone(), text.clone()));
            tally.right += usize::from(judge::accepts(&case.accepted, given));
        }
        tally
    }
}

fn arguments(model: &mut Ready, case: &Case, shots: Shots<'_>) -> Result<String, String> {
    let function = &case.functions[case.right];
    let only = [Callable { name: &function.name, arguments: &function.arguments }];
    let grammar = Grammar::call(&model.vocabulary, &Calls::json(&only)).map_err(|error| error.to_string())?;
    let mut messages = Vec::new();
    for shot in shots.0 {
        messages.push(question(&shot.request, &shot.functions[shot.right]));
        messages.push(Message { role: Role::Assistant, content: answer(shot) });
    }
    messages.push(question(&case.request, function));
    let prompt = model.conversation(&messages, "");
    let text = model.answer(&prompt, &grammar, MOST_TOKENS);
    text.map_err(|error: GenerateError| error.to_string())
}

fn question(request: &str, function: &Function) -> Message {
    let Function { name, description, lines, .. } = function;
    let content = format!(
        "Function {name}: {description}\nArguments:\n{lines}Request: {request}\n\
         Call the function with arguments from the request, as JSON."
    );
    Message { role: Role::User, content }
}

/// The right call of a case, with the first value of each argument that may not be left out.
fn answer(case: &Case) -> String {
    let needed = case.accepted.iter().filter_map(|(name, values)| {
        let values = values.as_array()?;
        let left_out = values.iter().any(|one| one == "");
        values.first().filter(|_| !left_out).map(|value| format!("{}: {value}", Value::from(name.as_str())))
    });
    let arguments: Vec<String> = needed.collect();
    let name = Value::from(case.functions[case.right].name.as_str());
    format!("{{\"name\": {name}, \"arguments\": {{{}}}}}", arguments.join(", "))
}

/// How many choices of a function were right, by the way of choosing.
pub struct Choices {
    pub of: usize,
    /// The layer that likeness was measured in.
    pub layer: u32,
    pub right: Vec<(&'static str, usize)>,
}

impl Choices {
    /// Chooses for each case: by the likeness of the request to the descriptions, and by the probability of the name.
    pub fn of(model: &mut Ready, cases: &[Case]) -> Choices {
        let requests: Vec<Pooled> = cases.iter().map(|case| model.pooled(&case.request)).collect();
        let described = |function: &Function| format!("{}: {}", spoken(&function.name), function.description);
        let descriptions: Vec<Vec<Pooled>> = cases
            .iter()
            .map(|case| case.functions.iter().map(|function| model.pooled(&described(function))).collect())
            .collect();
        let count = |layer: usize, scale: Scale| {
            // The suite's own requests and descriptions, without a word on which belong together.
            let requested = Frame::of(requests.iter().map(|pooled| pooled[layer].as_slice()), scale);
            let described =
                Frame::of(descriptions.iter().flatten().map(|pooled| pooled[layer].as_slice()), scale);
            let right =
                cases.iter().zip(&requests).zip(&descriptions).filter(|((case, request), functions)| {
                    let rows =
                        functions.iter().enumerate().map(|(index, pooled)| (index, pooled[layer].as_slice()));
                    let likeness = Known::new(rows, &described).likeness(&requested.place(&request[layer]));
                    best(&likeness) == Some(case.right)
                });
            right.count()
        };
        let at = middle_of_the_calibrated(&model.layers);
        let (mut by_sum, mut by_mean) = (0, 0);
        for case in cases {
            let prompt = model.conversation(&[choice(case)], "{\"name\": \"");
            let names =
                case.functions.iter().map(|function| model.logprob(&prompt, &format!("{}\"", function.name)));
            let names: Vec<(f64, usize)> = names.collect();
            let sums: Vec<f64> = names.iter().map(|(sum, _)| *sum).collect();
            let means: Vec<f64> = names.iter().map(|(sum, tokens)| sum / *tokens as f64).collect();
            by_sum += usize::from(best(&sums) == Some(case.right));
            by_mean += usize::from(best(&means) == Some(case.right));
        }
        let right = vec![
            ("likeness of hidden rows, centred", count(at, Scale::Centred)),
            ("likeness of hidden rows, standardised", count(at, Scale::Standardised)),
            ("log-probability of the name", by_sum),
            ("log-probability of the name, per token", by_mean),
        ];
        Choices { of: cases.len(), layer: model.layers[at], right }
    }
}

/// The suite has no example requests to calibrate by. So this is the layer in the middle of those that calibrations by
/// examples choose from: fixed before the suite was looked at.
fn middle_of_the_calibrated(layers: &[u32]) -> usize {
    layers.len() / 2
}

fn choice(case: &Case) -> Message {
    let line = |function: &Function| format!("- {}: {}\n", function.name, function.description);
    let lines: String = case.functions.iter().map(line).collect();
    let content =
        format!("You can call one of these functions:\n{lines}Request: {}\nCall one, as JSON.", case.request);
    Message { role: Role::User, content }
}

/// A name as words.
fn spoken(name: &str) -> String {
    name.replace(['_', '.'], " ")
}
