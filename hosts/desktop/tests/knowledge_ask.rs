//! Questions, answered from passages that were computed before.

mod cli_support;
mod knowledge_support;
mod team_support;

use knowledge_support::{agentos, desk, ingest};
use serde_json::Value;

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

/// The best passage stands last, and is computed there; what it needs of the others is mapped.
#[test]
fn a_decisive_passage_is_computed_behind_those_that_are_mapped() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    let question = "Is the lamp of the tower by the ferry or the mill by the river?";
    let ask = |fidelity: &str| {
        let arguments = ["ask", "island", question, "--json", "--max-tokens", "8", "--fidelity", fidelity];
        agentos(&desk, &arguments).json()
    };
    let (decisive, relocated) = (ask("decisive"), ask("relocated"));
    let of = |answer: &Value, key: &str| answer["tokens"][key].as_u64().unwrap();
    let sources = decisive["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3, "{decisive}");
    let how: Vec<_> = sources.iter().map(|source| source["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["exact", "relocated", "computed"]);
    let last = sources[2]["tokens"].as_u64().unwrap();
    assert_eq!(of(&decisive, "prompt_tokens"), of(&relocated, "prompt_tokens"));
    assert_eq!(of(&decisive, "relocated_tokens"), sources[1]["tokens"].as_u64().unwrap(), "{decisive}");
    assert_eq!(of(&relocated, "relocated_tokens"), of(&decisive, "relocated_tokens") + last, "{relocated}");
    assert!(of(&decisive, "computed_tokens") >= last, "{decisive}");
}

/// What recall shows is what an answer is made from.
#[test]
fn recall_shows_what_a_question_is_answered_from() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    let question = "Is the lamp of the tower by the ferry or the mill by the river?";
    for more in [&[][..], &["--fidelity", "exact"], &["--fidelity", "decisive"], &["--budget", "64"]] {
        let recalled = agentos(&desk, &[&["recall", "island", question, "--json"], more].concat()).json();
        let asked = [&["ask", "island", question, "--json", "--max-tokens", "1"], more].concat();
        let asked = agentos(&desk, &asked).json();
        let mut taken: Vec<&Value> = recalled["passages"].as_array().unwrap().iter().collect();
        taken.retain(|passage| !passage["prompt_place"].is_null());
        taken.sort_by_key(|passage| passage["prompt_place"].as_u64());
        let of =
            |passages: &[&Value], key: &str| passages.iter().map(|one| one[key].clone()).collect::<Vec<_>>();
        let sources: Vec<&Value> = asked["sources"].as_array().unwrap().iter().collect();
        // The last budget is less than any passage has.
        assert_eq!(sources.is_empty(), more.contains(&"--budget"), "{asked}");
        for key in ["path", "place", "how"] {
            assert_eq!(of(&taken, key), of(&sources, key), "{more:?}: {recalled}");
        }
    }
    let plain = agentos(&desk, &["recall", "island", question]).printed();
    assert!(
        plain.contains("3 of 3 in the prompt, relocated") && plain.contains("1 of 3 in the prompt, exact"),
        "{plain}"
    );
}
