//! What a run came to, for a person.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use crate::fetch::progress::megabytes;
use crate::team::json::{AgentSummary, BudgetUse, PagingSummary, StoreSummary, Summary, Tier};

/// A column's title, and its figure for an agent.
type Column = (&'static str, fn(&AgentSummary) -> String);

const COLUMNS: [Column; 14] = [
    ("prio", |agent| agent.priority.to_string()),
    ("end", |agent| match agent.form {
        Some("unfinished") => format!("{}, unfinished", agent.reason),
        _ => agent.reason.to_owned(),
    }),
    ("said", |agent| agent.generated.to_string()),
    ("context", |agent| agent.tokens.to_string()),
    ("shared", |agent| agent.shared.to_string()),
    ("first ms", |agent| agent.first_token_us.map_or("-".to_owned(), milliseconds)),
    ("L_c ms", |agent| milliseconds(agent.worst_latency_us)),
    ("preempted", |agent| agent.preemptions.to_string()),
    ("recomputed", |agent| agent.recomputed.to_string()),
    ("L1 pages", |agent| agent.l1_pages.to_string()),
    ("L2 pages", |agent| agent.l2_pages.to_string()),
    ("out/in", |agent| format!("{}/{}", agent.paged_out, agent.paged_in)),
    ("η", |agent| format!("{:.2}", agent.utilization)),
    ("budget", |agent| budget_share(&agent.budget)),
];

/// What agents had from the cold store, where there is one: behind what they had from each other.
const RECALLED: (usize, Column) = (5, ("from L3", |agent| agent.recalled.to_string()));

/// What agents mapped from slices that were sent to them, where any did: behind what they had from each other.
const RELOCATED: (usize, Column) = (5, ("relocated", |agent| agent.relocated.to_string()));

/// What agents that attend to a part of their contexts made of it, where any chose: before how much of their work was new.
const CHOSEN: (&str, [Column; 3]) = (
    "η",
    [
        ("faults", |agent| agent.faults.to_string()),
        ("read again", |agent| agent.replayed.to_string()),
        ("covered", |agent| agent.coverage.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share))),
    ],
);

/// The table of all agents, and the run's totals below it.
pub fn table(summary: &Summary, name_columns: usize) -> String {
    let mut columns = COLUMNS.to_vec();
    if summary.agents.iter().any(|agent| agent.relocated > 0) {
        columns.insert(RELOCATED.0, RELOCATED.1);
    }
    if summary.store.is_some() {
        columns.insert(RECALLED.0, RECALLED.1);
    }
    if summary.agents.iter().any(|agent| agent.coverage.is_some()) {
        let before = columns.iter().position(|(title, _)| *title == CHOSEN.0).expect("a column");
        columns.splice(before..before, CHOSEN.1);
    }
    let rows: Vec<Vec<String>> = summary
        .agents
        .iter()
        .map(|agent| columns.iter().map(|(_, figure)| figure(agent)).collect())
        .collect();
    let width = |column: usize| {
        let figures = rows.iter().map(|row| row[column].width());
        figures.fold(columns[column].0.width(), usize::max)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::from("\n");
    let titles: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    push_row(&mut text, "agent", name_columns, &titles, &widths);
    for (agent, row) in summary.agents.iter().zip(&rows) {
        push_row(&mut text, &agent.name, name_columns, row, &widths);
    }
    totals(&mut text, summary);
    text
}

fn push_row(text: &mut String, name: &str, name_columns: usize, figures: &[String], widths: &[usize]) {
    let name_columns = name_columns.max("agent".len());
    text.push_str(name);
    pad(text, name_columns.saturating_sub(name.width()));
    for (figure, &width) in figures.iter().zip(widths) {
        pad(text, 2 + width - figure.width());
        text.push_str(figure);
    }
    text.push('\n');
}

fn pad(text: &mut String, columns: usize) {
    text.extend(std::iter::repeat_n(' ', columns));
}

fn totals(text: &mut String, summary: &Summary) {
    let sum = |figure: fn(&AgentSummary) -> u64| summary.agents.iter().map(figure).sum::<u64>();
    let seconds = summary.time_us as f64 / 1e6;
    let rate = if seconds > 0.0 { summary.generated as f64 / seconds } else { 0.0 };
    let rows = summary.rows as f64 / summary.steps.max(1) as f64;
    let stepped_us = (summary.device_us + summary.kernel_us).max(1);
    let kernel = 100.0 * summary.kernel_us as f64 / stepped_us as f64;
    let (l1, l2) = (tier(summary.l1), tier(summary.l2));
    write!(
        text,
        "\n{} tokens in {seconds:.2} s ({rate:.0} tokens/s); {} steps of {rows:.1} rows, the kernel took {kernel:.2} % \
         of their time\nshared {} tokens, computed again {} (η {:.2}); pages in use at most: {l1} of page memory \
         (L1), {l2} of the arena (L2)\n",
        summary.generated,
        summary.steps,
        sum(|agent| agent.shared),
        sum(|agent| agent.recomputed),
        summary.utilization,
    )
    .expect("a string takes all text");
    paged(text, &summary.paging);
    if let Some(store) = &summary.store {
        stored(text, store, &summary.paging);
    }
}

/// What left page memory and came back, and how long that was waited for; nothing where nothing did.
fn paged(text: &mut String, paging: &PagingSummary) {
    if paging.out_bytes + paging.in_bytes > 0 {
        let (out, back) = (megabytes(paging.out_bytes), megabytes(paging.in_bytes));
        write!(text, "{out} left page memory, {back} came in").expect("a string takes all text");
        if let (Some(half), Some(most)) = (paging.lacked_p50_us, paging.lacked_p99_us) {
            let (half, most) = (milliseconds(half), milliseconds(most));
            write!(
                text,
                "; who lacked a page, {} times, went on within {half} ms, 99 of 100 within {most}",
                paging.lacked
            )
            .expect("a string takes all text");
        }
        text.push('\n');
    }
}

/// What came from the cold store and went to it.
fn stored(text: &mut String, store: &StoreSummary, paging: &PagingSummary) {
    let looked = paging.hits.all();
    let took = store
        .load_p50_us
        .map_or(String::new(), |us| format!(", half of them within {} ms", milliseconds(us)));
    write!(
        text,
        "cold store (L3): {} tokens in {} slices ({}) came from it{took}, {} of {looked} slices that were looked for; \
         {} slices ({}) went to it",
        store.loaded_tokens,
        store.loaded_slices,
        megabytes(store.loaded_bytes),
        paging.hits.l3,
        store.stored_slices,
        megabytes(store.stored_bytes),
    )
    .expect("a string takes all text");
    for (count, what) in [
        (store.load_failures, "did not come"),
        (store.store_failures, "were not taken"),
        (store.given_up, "were given up for their pages"),
        (store.slower, "were quicker computed"),
        (store.crowded, "were too many at once"),
    ] {
        if count > 0 {
            write!(text, "; {count} {what}").expect("a string takes all text");
        }
    }
    text.push('\n');
}

fn tier(tier: Tier) -> String {
    format!("{}/{}", tier.peak, tier.pages)
}

fn milliseconds(us: u64) -> String {
    format!("{:.1}", us as f64 / 1e3)
}

/// How much of the budget is used of which most is.
fn budget_share(budget: &BudgetUse) -> String {
    let BudgetUse { tokens, max_tokens, steps, max_steps, time_us, max_time_us } = *budget;
    let shares = [(tokens, max_tokens), (steps, max_steps), (time_us, max_time_us)];
    let shares = shares.iter().filter_map(|&(used, most)| Some(used as f64 / most?.max(1) as f64));
    match shares.reduce(f64::max) {
        Some(share) => format!("{:.0} %", 100.0 * share),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_part_of_a_budget_is_told() {
        let budget = BudgetUse {
            tokens: 10,
            max_tokens: Some(40),
            steps: 5,
            max_steps: None,
            time_us: 900,
            max_time_us: Some(1000),
        };
        assert_eq!(budget_share(&budget), "90 %");
        assert_eq!(budget_share(&BudgetUse { max_tokens: None, max_time_us: None, ..budget }), "-");
    }
}
