//! What counts as an agent's answer: what it says after its last call, if that is whole, and never half a call.

mod cli_support;
mod team_support;

use cli_support::tiny::IM_END;
use cli_support::{Desk, Tiny};
use serde_json::Value;
use team_support::Lines;

const QUOTE: u32 = b'"' as u32;
const FOUR: u32 = b'4' as u32;

/// A model that begins what it writes in quotes with a 4, goes on behind that as it is told to, and says "ok" on its
/// own turn.
fn desk(behind_4: u32) -> Desk {
    let byte = u32::from;
    let script = vec![
        (QUOTE, FOUR, 9.0),
        (FOUR, behind_4, 9.0),
        (byte(b'\n'), byte(b'o'), 9.0),
        (byte(b'o'), byte(b'k'), 9.0),
        (byte(b'k'), IM_END as u32, 9.0),
    ];
    Desk::new(&Tiny { context: 2048, script, ..Tiny::default() }.gguf())
}

const CLERK: &str = "[[agent]]\nname = \"clerk\"\nprompt = \"How much is 4?\"\nmax_tokens = 60\n\
                     tools = { use = [\"calculator\"], calls = 1 }\n";

const HEIR: &str =
    "\n[[agent]]\nname = \"heir\"\nprompt = \"Put it in a word.\"\nafter = [\"clerk\"]\nmax_tokens = 9\n";

fn one<'l>(lines: &'l Lines, event: &str, agent: &str) -> &'l Value {
    let found = lines.of_agent(event, agent);
    assert_eq!(found.len(), 1, "{event}: {found:?}");
    found[0]
}

#[test]
fn who_comes_after_a_caller_reads_its_answer_and_not_its_call() {
    let desk = desk(QUOTE);
    let lines = Lines::of(&desk.team(&[CLERK, HEIR].concat(), &["--json"]));
    assert_eq!(one(&lines, "tool_over", "clerk")["outcome"], "done");
    assert_eq!(lines.text("clerk"), r#"{"expression": "4"}ok"#);
    let prompt = "Answer of clerk:\nok\n\nPut it in a word.";
    let answer = desk.generate(&["--prompt", prompt, "--max-tokens", "9", "--json"], "").json();
    let prompt = answer["prompt_ids"].as_array().unwrap().len();
    assert_eq!(one(&lines, "spawned", "heir")["tokens"], prompt);
    let ids: Vec<u64> =
        answer["output_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(lines.ids("heir"), ids);
}
