//! Grammars of calls.

use agentos_grammar::{Callable, Grammar, GrammarError, Vocabulary};
use agentos_tools::Descriptor;

/// A call of one of these tools: `{"name": …, "arguments": …}`, with arguments that keep to that tool's schema.
///
/// # Errors
/// As [`Grammar::call`].
pub fn any_of<'a>(
    vocabulary: &Vocabulary,
    tools: impl IntoIterator<Item = &'a Descriptor>,
) -> Result<Grammar, GrammarError> {
    let callable = |tool: &'a Descriptor| Callable { name: &tool.name, arguments: &tool.arguments };
    let callables: Vec<Callable<'_>> = tools.into_iter().map(callable).collect();
    Grammar::call(vocabulary, &callables)
}

/// What a tool that is chosen already is called with: its arguments alone.
///
/// # Errors
/// As [`Grammar::json_schema`].
pub fn arguments_of(vocabulary: &Vocabulary, tool: &Descriptor) -> Result<Grammar, GrammarError> {
    Grammar::json_schema(vocabulary, &tool.arguments)
}
