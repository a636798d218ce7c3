//! The single-call cases of the Berkeley Function-Calling Leaderboard, as its package ships them.

use std::path::Path;

use serde_json::{Map, Value, json};

/// A request, and the functions that may be called.
pub struct Case {
    pub id: String,
    pub request: String,
    pub functions: Vec<Function>,
    /// The index of the right function.
    pub right: usize,
    /// For each of its arguments the values that are right; one that may be left out has `""` among them.
    pub accepted: Map<String, Value>,
}

/// A function that may be called.
pub struct Function {
    pub name: String,
    pub description: String,
    /// JSON schema of its arguments.
    pub arguments: Value,
    /// What its arguments are for, a line each.
    pub lines: String,
}

/// Characters of a text, and items of a list, in an argument: the suite sets no bound, and a small model may not
/// end by itself.
const MOST_CHARACTERS: u64 = 120;
const MOST_ITEMS: u64 = 16;

/// Reads the cases of a category.
pub fn read(folder: &Path, category: &str) -> Result<Vec<Case>, String> {
    let lines = |path: &Path| -> Result<Vec<Value>, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let parse =
            |line: &str| serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()));
        text.lines().filter(|line| !line.is_empty()).map(parse).collect()
    };
    let name = format!("BFCL_v4_{category}.json");
    let questions = lines(&folder.join(&name))?;
    let answers = lines(&folder.join("possible_answer").join(&name))?;
    let case = |question: &Value| {
        let answer = answers.iter().find(|answer| answer["id"] == question["id"]);
        answer
            .and_then(|answer| case(question, answer))
            .ok_or_else(|| format!("{name}: {} is odd", question["id"]))
    };
    questions.iter().map(case).collect()
}

fn case(question: &Value, answer: &Value) -> Option<Case> {
    let functions: Vec<Function> = question["function"].as_array()?.iter().filter_map(function).collect();
    let (name, accepted) = answer["ground_truth"][0].as_object()?.iter().next()?;
    Some(Case {
        id: question["id"].as_str()?.to_owned(),
        request: question["question"][0][0]["content"].as_str()?.to_owned(),
        right: functions.iter().position(|function| function.name == *name)?,
        accepted: accepted.as_object()?.clone(),
        functions,
    })
}

fn function(function: &Value) -> Option<Function> {
    let arguments = schema(&function["parameters"]);
    let line = |(name, property): (&String, &Value)| {
        let kind = property["type"].as_str().unwrap_or("any");
        format!("  {name} ({kind}): {}\n", property["description"].as_str().unwrap_or_default())
    };
    let properties = function["parameters"]["properties"].as_object()?;
    Some(Function {
        name: function["name"].as_str()?.to_owned(),
        description: function["description"].as_str()?.to_owned(),
        lines: properties.iter().map(line).collect(),
        arguments,
    })
}

/// The suite's way of describing arguments, as a JSON schema: its types are Python's.
fn schema(of: &Value) -> Value {
    let mut schema = Map::new();
    for keyword in ["enum", "required", "maximum", "minimum"] {
        if let Some(value) = of.get(keyword) {
            schema.insert(keyword.to_owned(), value.clone());
        }
    }
    let kind = match of["type"].as_str() {
        Some("dict") => Some("object"),
        Some("float") => Some("number"),
        Some("tuple" | "list") => Some("array"),
        Some("any") | None => None,
        Some(kind) => Some(kind),
    };
    // What may be anything is a text here: that is what the suite expects of it.
    schema.insert("type".to_owned(), json!(kind.unwrap_or("string")));
    match kind {
        Some("object") => {
            let properties = of["properties"].as_object().cloned().unwrap_or_default();
            schema.insert("additionalProperties".to_owned(), json!(properties.is_empty()));
            let properties: Map<String, Value> =
                properties.iter().map(|(name, property)| (name.clone(), self::schema(property))).collect();
            schema.insert("properties".to_owned(), properties.into());
        }
        Some("array") => {
            schema.insert("maxItems".to_owned(), json!(MOST_ITEMS));
            if let Some(items) = of.get("items") {
                schema.insert("items".to_owned(), self::schema(items));
            }
        }
        Some("string") | None if !schema.contains_key("enum") => {
            schema.insert("maxLength".to_owned(), json!(MOST_CHARACTERS));
        }
        _ => {}
    }
    schema.into()
}
