//! The tools `list_files`, `read_file` and `search_text`: what lies in granted roots, and nothing else.
//!
//! A root is opened once, when a tool is built, and everything is opened from there, step by step, by the
//! system (`cap-std`): a link that leads out of it is refused by what opens the file, not by a look
//! beforehand, so nothing can change in between. A link that stays inside is followed.

mod list;
mod read;
mod roots;
mod search;
mod text;

pub use list::list_files;
pub use read::read_file;
pub use roots::{RootError, Roots};
pub use search::search_text;

use serde_json::{Value, json};

/// The schema of a path. A grammar that is made of it writes no path that begins with no root.
fn path_schema(roots: &Roots) -> Value {
    let names = roots.names();
    let mut schema = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 1024,
        "description": format!("begins with a root, `/` between parts; the roots: {}", names.join(", ")),
    });
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
        schema["pattern"] = json!(format!("^({})(/|$)", names.join("|")));
    }
    schema
}

/// The name of the first root, for examples.
fn first(roots: &Roots) -> String {
    // Where nothing is granted, examples show what a path looks like, and no call of theirs is made.
    roots.names().first().cloned().unwrap_or_else(|| "files".to_owned())
}
