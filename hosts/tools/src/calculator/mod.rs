//! The tool `calculator`: exact arithmetic with fractions, so that 0.1 + 0.2 is 0.3. What is irrational
//! comes rounded, and says so.
//!
//! Everything is bounded by the length of an expression and the size of a number, never by time: the same
//! expression gives the same text on every machine.

mod evaluate;
mod fault;
mod functions;
mod number;
mod parse;
mod print;

use std::time::Duration;

use serde_json::{Value, json};

use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::pool::Pool;
use crate::schema::SchemaError;
use crate::stop::Stop;

pub use fault::Fault;

/// Bytes of an expression.
const EXPRESSION_BYTES: usize = 512;

/// The tool `calculator`.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn calculator(pool: &Pool) -> Result<Tool, SchemaError> {
    crate::worker::tool(descriptor(), call, pool)
}

/// What an expression comes to, as text: an exact decimal, or `≈` and a rounded one, with the fraction
/// where that is short.
///
/// # Errors
/// [`Fault`], in the order of reading and then of computing.
pub fn calculate(expression: &str) -> Result<String, Fault> {
    if expression.len() > EXPRESSION_BYTES {
        return Err(Fault::Long { bytes: expression.len(), most: EXPRESSION_BYTES });
    }
    let number = evaluate::evaluate(&parse::parse(expression)?)?;
    Ok(print::text(&number))
}

fn call(arguments: &Value, _stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
    let expression = arguments["expression"].as_str().unwrap_or_default();
    // Small models read a result better with what it is the result of.
    let equation = |value| format!("{} = {value}", expression.trim()).into_bytes();
    calculate(expression).map(equation).map_err(ToolFailure::failed)
}

fn descriptor() -> Descriptor {
    let example = |request: &str, expression: &str| Example {
        request: request.to_owned(),
        arguments: json!({ "expression": expression }),
    };
    Descriptor {
        name: "calculator".to_owned(),
        description:
            "Computes an arithmetic expression exactly: + - * / ^ ! %, parentheses, mod, of, sqrt, abs, \
                      min, max, round, floor, ceil, gcd, lcm, exp, ln, log, sin, cos, tan, pi, e."
                .to_owned(),
        arguments: json!({
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    // A model that is held to it cannot ramble on in words. How long it may be is looked at when it is
                    // computed: a grammar that counts as well makes masks anew at every place, a millisecond each.
                    "pattern": "^([-+*/^!%(),. 0-9]|of|mod|sqrt|abs|min|max|round|floor|ceil|gcd|lcm|exp|ln|log|sin|cos|tan|pi|e)+$",
                    "description": "for example 3 * (17.5 + 2)",
                },
            },
            "required": ["expression"],
            "additionalProperties": false,
        }),
        output: None,
        access: Access::None,
        effect: Effect::None,
        urgency: Urgency::High,
        timeout: Duration::from_secs(10),
        attempts: 1,
        output_bytes: 16 << 10,
        output_tokens: 128,
        examples: vec![
            example("What is 17 times 23?", "17 * 23"),
            example("How much is 15 % of 240 plus 12?", "15% of 240 + 12"),
            example("Add 1250.75 and 349.25 and divide it by 4.", "(1250.75 + 349.25) / 4"),
        ],
    }
}
