//! What is asked of bounded memory, beside what was found.

use serde_json::Value;

/// A figure, and what is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    run: String,
    what: String,
    found: f64,
    /// At least, or at most, if anything is asked.
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    AtLeast(f64),
    AtMost(f64),
}

impl Asked {
    fn is_met(self, found: f64) -> bool {
        match self {
            Asked::AtLeast(least) => found >= least,
            Asked::AtMost(most) => found <= most,
        }
    }
}

/// What full attention finds, of which relevance is to find as much.
const OF_FULL: f64 = 0.9;
/// Facts in the first tenth of a text beyond the trained length.
const OF_BEGINNING: f64 = 0.8;
/// Nats above H2O's loss.
const ABOVE_H2O: f64 = 0.02;
/// Nats of passages behind the same beginning, by their number.
const MOVED: [(u64, f64); 2] = [(1, 0.001), (4, 0.05)];
/// Nats of pages that are packed.
const PACKED: [(&str, f64); 3] = [("int8", 0.001), ("kernel", 0.001), ("k4v4sink", 0.004)];
/// F1 of topics in flat text, and how many times the paper's rule.
const TOPICS: (f64, f64) = (0.55, 2.0);

/// The lines of a run, by what it measures.
pub fn lines(run: &str, of: &str, figures: &Value) -> Vec<Line> {
    let all: &[Value] = figures.as_array().map_or(&[], Vec::as_slice);
    let line = |what: String, found: f64, asked| Line { run: run.to_owned(), what, found, asked };
    match of {
        "retrieval" => retrieval(all, &line),
        "loss" => loss(all, &line),
        "relocation" => relocation(all, &line),
        "packing" => packing(all, &line),
        _ => slicing(all, &line),
    }
}

type Make<'m> = &'m dyn Fn(String, f64, Option<Asked>) -> Line;

fn retrieval(sheets: &[Value], line: Make<'_>) -> Vec<Line> {
    let top4 = |sheet: &Value| sheet["top4"].as_f64();
    let of = |sheet: &Value| {
        let (memory, tokens) = (sheet["memory"].as_str()?, sheet["tokens"].as_u64()?);
        let full = sheets.iter().find(|other| other["memory"] == "full" && other["tokens"] == tokens);
        let what = match sheet["l1"].as_u64() {
            Some(l1) if memory != "full" => format!("top 4 of {tokens} tokens, {l1} at a time, {memory}"),
            _ => format!("top 4 of {tokens} tokens, {memory}"),
        };
        let asked = match full.and_then(top4) {
            _ if memory != "relevance" => None,
            Some(full) => Some(Asked::AtLeast(OF_FULL * full)),
            None => Some(Asked::AtLeast(OF_BEGINNING)),
        };
        Some(line(what, top4(sheet)?, asked))
    };
    sheets.iter().filter_map(of).collect()
}

fn loss(losses: &[Value], line: Make<'_>) -> Vec<Line> {
    let gap = |loss: &Value| loss["gap"].as_f64();
    let of = |loss: &Value| {
        let (memory, l1) = (loss["memory"].as_str()?, loss["l1"].as_u64()?);
        let h2o = losses.iter().find(|other| other["memory"] == "h2o" && other["l1"] == l1).and_then(gap);
        let asked = h2o.filter(|_| memory == "relevance").map(|h2o| Asked::AtMost(h2o + ABOVE_H2O));
        Some(line(format!("nats above full attention, {l1} at a time, {memory}"), gap(loss)?, asked))
    };
    losses.iter().filter(|loss| loss["memory"] != "full").filter_map(of).collect()
}

fn relocation(all: &[Value], line: Make<'_>) -> Vec<Line> {
    let of = |one: &Value| {
        let (passages, how) = (one["passages"].as_u64()?, one["arrangement"].as_str()?);
        let asked = MOVED.iter().find(|&&(number, _)| number == passages && how == "behind");
        let what = format!("KL of {passages} passages, {how}");
        Some(line(what, one["kl"].as_f64()?, asked.map(|&(_, most)| Asked::AtMost(most))))
    };
    all.iter().filter_map(of).collect()
}

fn packing(costs: &[Value], line: Make<'_>) -> Vec<Line> {
    let of = |cost: &Value| {
        let way = cost["way"].as_str()?;
        let asked = PACKED.iter().find(|&&(name, _)| name == way);
        Some(line(
            format!("KL of pages, {way}"),
            cost["kl"].as_f64()?,
            asked.map(|&(_, most)| Asked::AtMost(most)),
        ))
    };
    costs.iter().filter_map(of).collect()
}

fn slicing(all: &[Value], line: Make<'_>) -> Vec<Line> {
    let flat = |policy: &str| {
        all.iter()
            .find(|one| one["form"] == "flat" && one["policy"] == policy)
            .and_then(|one| one["f1"].as_f64())
    };
    let papers = flat("density").unwrap_or(0.0);
    let of = |one: &Value| {
        let (form, policy) = (one["form"].as_str()?, one["policy"].as_str()?);
        let least = TOPICS.0.max(TOPICS.1 * papers);
        let asked = (form == "flat" && policy == "hidden").then_some(Asked::AtLeast(least));
        Some(line(format!("F1 of topics, {form}, {policy}"), one["f1"].as_f64()?, asked))
    };
    all.iter().filter_map(of).collect()
}

/// A table for a person and for documents.
pub fn table(lines: &[Line]) -> String {
    let mut text = String::from("| run | figure | found | asked |\n|---|---|---|---|\n");
    for Line { run, what, found, asked } in lines {
        let asked = asked.map_or(String::new(), |asked| {
            let met = if asked.is_met(*found) { "met" } else { "not met" };
            match asked {
                Asked::AtLeast(least) => format!("at least {least:.3}: {met}"),
                Asked::AtMost(most) => format!("at most {most:.3}: {met}"),
            }
        });
        text += &format!("| {run} | {what} | {found:.4} | {asked} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(of: &str, figures: &Value) -> String {
        table(&lines("run", of, figures))
    }

    #[test]
    fn relevance_is_held_to_what_full_attention_finds() {
        let sheet =
            |memory: &str, top4: f64| json!({ "memory": memory, "tokens": 954, "l1": 256, "top4": top4 });
        let text =
            told("retrieval", &json!([sheet("full", 1.0), sheet("relevance", 0.89), sheet("h2o", 0.2)]));
        assert!(text.contains("256 at a time, relevance | 0.8900 | at least 0.900: not met |"), "{text}");
        assert!(text.contains("| top 4 of 954 tokens, full | 1.0000 |  |"), "{text}");
        let alone = told("retrieval", &json!([sheet("relevance", 0.85)]));
        assert!(alone.contains("at least 0.800: met"), "{alone}");
    }

    #[test]
    fn losses_are_held_to_h2o() {
        let loss = |memory: &str, gap: f64| json!({ "memory": memory, "l1": 512, "gap": gap });
        let text = told("loss", &json!([loss("full", 0.0), loss("relevance", 0.05), loss("h2o", 0.035)]));
        assert!(
            text.contains("relevance | 0.0500 | at most 0.055: met |") && !text.contains("full |"),
            "{text}"
        );
    }

    #[test]
    fn passages_and_pages_are_held_to_how_far_they_may_be() {
        let moved =
            |passages: u64, kl: f64| json!({ "passages": passages, "arrangement": "behind", "kl": kl });
        let text = told("relocation", &json!([moved(1, 0.0), moved(2, 9.0), moved(4, 0.06)]));
        let met: Vec<bool> = text.lines().skip(2).map(|line| line.contains(": met")).collect();
        assert_eq!(met, [true, false, false], "{text}");
        let text = told("packing", &json!([{ "way": "int8", "kl": 0.0002 }, { "way": "k4v4", "kl": 9.0 }]));
        assert!(
            text.contains("int8 | 0.0002 | at most 0.001: met") && text.contains("k4v4 | 9.0000 |  |"),
            "{text}"
        );
    }

    #[test]
    fn topics_are_held_to_the_papers_rule_too() {
        let one = |form: &str, policy: &str, f1: f64| json!({ "form": form, "policy": policy, "f1": f1 });
        let all =
            [one("flat", "hidden", 0.6), one("flat", "density", 0.31), one("paragraphs", "hidden", 0.1)];
        assert!(told("slicing", &json!(all)).contains("at least 0.620: not met"));
        assert!(told("slicing", &json!(all[..1])).contains("at least 0.550: met"));
    }
}
