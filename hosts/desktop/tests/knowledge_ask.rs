//! Questions, answered from passages that were computed before.

mod cli_support;
mod knowledge_support;
mod team_support;

use knowledge_support::{agentos, desk, ingest};

/// What comes from the library is what would have been computed, to the bit: the answers are the same.
#[test]
fn an_answer_with_mapped_passages_is_the_computed_one() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    let ask = |more: &[&str]| {
        let question = "Who is the skipper of the ferry?";
        let arguments = [&["ask", "island", question, "--json", "--max-tokens", "24"], more].concat();
        agentos(&desk, &arguments).json()
    };
    let computed = ask(&["--recompute", "--top", "1"]);
    let mapped = ask(&["--top", "1"]);
    assert_eq!(mapped["answer"], computed["answer"]);
    assert_eq!(computed["tokens"]["exact_tokens"], 0);
    let exact = mapped["tokens"]["exact_tokens"].as_u64().unwrap();
    assert!(exact > 100, "{mapped}");
    assert_eq!(mapped["sources"][0]["how"], "exact");
    let all = ask(&["--recompute", "--top", "3"]);
    let exact = ask(&["--fidelity", "exact", "--top", "3"]);
    assert_eq!(exact["answer"], all["answer"]);
}

#[test]
fn further_passages_are_mapped_from_their_own_context() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    let question = "Is the lamp of the tower by the ferry or the mill by the river?";
    let arguments = ["ask", "island", question, "--json", "--max-tokens", "8", "--top", "3"];
    let answer = agentos(&desk, &arguments).json();
    let sources = answer["sources"].as_array().unwrap();
    assert!(sources.len() > 1, "{answer}");
    let relocated = answer["tokens"]["relocated_tokens"].as_u64().unwrap();
    let sent: u64 = sources[1..].iter().map(|source| source["tokens"].as_u64().unwrap()).sum();
    assert!(relocated + 8 * sources.len() as u64 >= sent, "{answer}");
    assert_eq!(sources[1]["how"], "relocated");
}
