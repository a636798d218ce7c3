//! Whether arguments are right, by the leaderboard's own rules: each is one of the accepted values, and none is
//! missing that may not be. Texts are compared without case, spaces and marks.

use serde_json::{Map, Value};

/// Whether these arguments are accepted.
pub fn accepts(accepted: &Map<String, Value>, arguments: &Map<String, Value>) -> bool {
    let known = arguments.iter().all(|(name, value)| {
        accepted
            .get(name)
            .and_then(Value::as_array)
            .is_some_and(|values| values.iter().any(|one| same(one, value)))
    });
    let may_be_left_out =
        |values: &Value| values.as_array().is_some_and(|values| values.iter().any(|one| one == ""));
    known && accepted.iter().all(|(name, values)| arguments.contains_key(name) || may_be_left_out(values))
}

fn same(accepted: &Value, given: &Value) -> bool {
    match (accepted, given) {
        (Value::String(accepted), Value::String(given)) => plain(accepted) == plain(given),
        (Value::Number(accepted), Value::Number(given)) => accepted.as_f64() == given.as_f64(),
        (Value::Array(accepted), Value::Array(given)) => {
            accepted.len() == given.len()
                && accepted.iter().zip(given).all(|(accepted, given)| same(accepted, given))
        }
        // Of each field of an object the accepted values are listed again.
        (Value::Object(accepted), Value::Object(given)) => accepts(accepted, given),
        (accepted, given) => accepted == given,
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !" ,./-_*^'\"".contains(*c)).flat_map(char::to_lowercase).collect()
}
