//! Figures as tables for a person, and as charts.

use super::Memory;
use super::loss::{Loss, STRETCH};
use super::packing::PackingCost;
use super::relocation::{Arrangement, Relocated};
use super::retrieval::Sheet;
use crate::chart::canvas::document;
use crate::chart::{Bars, LEFT, Lines, WIDTH, bars, lines};
use crate::distribution::Distance;

/// Figures in columns: the first ones to the left, all others to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (column, cell) in cells.enumerate() {
            let width = widths[column];
            line += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        line.trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut header.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Losses as a table.
pub fn of_losses(losses: &[Loss]) -> String {
    let row = |loss: &Loss| {
        let name = loss.memory.name().to_owned();
        let l1 = if loss.memory == Memory::Full { String::new() } else { loss.l1.to_string() };
        let gap = format!("{:.3}", loss.gap);
        vec![name, l1, loss.tokens.to_string(), format!("{:.3}", loss.loss), gap]
    };
    table(&["memory", "L1", "tokens", "loss", "gap"], &losses.iter().map(row).collect::<Vec<_>>())
}

/// Losses as a chart: bars of the gaps, and below them the gaps along the text, within the first quota.
pub fn draw_losses(losses: &[Loss]) -> String {
    let bounded = || losses.iter().filter(|loss| loss.memory != Memory::Full);
    let memories = unique(bounded().map(|loss| loss.memory));
    let quotas = unique(bounded().map(|loss| loss.l1));
    let find = |l1: u32, memory: Memory| bounded().find(|loss| loss.l1 == l1 && loss.memory == memory);
    let group = |&l1: &u32| {
        let gaps = memories.iter().map(|&memory| find(l1, memory).map(|loss| loss.gap)).collect();
        (format!("L1 of {l1} tokens"), gaps)
    };
    let series: Vec<String> = memories.iter().map(|memory| memory.name().to_owned()).collect();
    let groups = quotas.iter().map(group).collect();
    let label = "loss above full attention's, in nats".to_owned();
    let (mut body, mut y) = bars(&Bars { label, series, groups }, 24.0);
    for &l1 in &quotas {
        let curve = |&memory: &Memory| {
            let gaps = find(l1, memory)?.gaps.iter().enumerate();
            let points = gaps.map(|(at, &gap)| ((at as f64 + 0.5) * STRETCH as f64, gap)).collect();
            Some((memory.name().to_owned(), points))
        };
        let label = format!("the same along the text, L1 of {l1} tokens");
        let chart =
            Lines { label, over: "tokens".into(), series: memories.iter().filter_map(curve).collect() };
        let (part, end) = lines(&chart, y + 16.0);
        body += &part;
        y = end;
    }
    page("Loss with bounded memory", &body, y)
}

/// What was found, as a table.
pub fn of_sheets(sheets: &[Sheet]) -> String {
    let row = |sheet: &Sheet| {
        vec![
            sheet.memory.name().to_owned(),
            sheet.tokens.to_string(),
            if sheet.memory == Memory::Full { String::new() } else { sheet.l1.to_string() },
            sheet.questions.to_string(),
            format!("{:.2}", sheet.first),
            format!("{:.2}", sheet.top4),
            format!("{:.2}", sheet.logprob),
            sheet.faults.to_string(),
            sheet.replays.to_string(),
            sheet.replayed.to_string(),
        ]
    };
    let header = [
        "memory",
        "tokens",
        "L1",
        "questions",
        "first",
        "top 4",
        "log-prob",
        "faults",
        "read again",
        "rows again",
    ];
    table(&header, &sheets.iter().map(row).collect::<Vec<_>>())
}

/// A figure of a sheet.
type Figure = fn(&Sheet) -> f64;

/// What was found, as a chart.
pub fn draw_sheets(sheets: &[Sheet]) -> String {
    let memories = unique(sheets.iter().map(|sheet| sheet.memory));
    let sizes = unique(sheets.iter().map(|sheet| (sheet.l1, sheet.tokens)));
    let series: Vec<String> = memories.iter().map(|memory| memory.name().to_owned()).collect();
    let (mut body, mut y) = (String::new(), 24.0);
    let parts: [(&str, Figure); 2] = [
        ("right answers among the four most probable of twenty", |sheet| sheet.top4),
        ("right answers the most probable of twenty", |sheet| sheet.first),
    ];
    for (label, of) in parts {
        let group = |&(l1, tokens): &(u32, u32)| {
            let find = |&memory: &Memory| {
                sheets
                    .iter()
                    .find(|sheet| (sheet.memory, sheet.l1, sheet.tokens) == (memory, l1, tokens))
                    .map(of)
            };
            (format!("{l1} of {tokens} tokens"), memories.iter().map(find).collect())
        };
        let groups = sizes.iter().map(group).collect();
        let chart = Bars { label: label.to_owned(), series: series.clone(), groups };
        let (part, end) = bars(&chart, y);
        body += &part;
        y = end + 12.0;
    }
    page("Facts found with bounded memory", &body, y)
}

/// What relocation costs, as a table.
pub fn of_relocated(all: &[Relocated]) -> String {
    let row = |one: &Relocated| {
        let head = [one.arrangement.name().to_owned(), one.passages.to_string(), one.cases.to_string()];
        [&head[..], &[one.mapped.to_string()], &of_distance(&one.distance)].concat()
    };
    let header = ["passages are", "number", "cases", "mapped", "judged", "KL", "top 1"];
    table(&header, &all.iter().map(row).collect::<Vec<_>>())
}

/// What relocation costs, as a chart: KL, and below it without those that are absent.
pub fn draw_relocated(all: &[Relocated]) -> String {
    let counts = unique(all.iter().map(|one| one.passages));
    let (mut body, mut y) = (String::new(), 24.0);
    let mapped = &Arrangement::ALL[1..];
    for (label, arrangements) in
        [("KL from the exact, in nats", &Arrangement::ALL[..]), ("those mapped", mapped)]
    {
        let group = |&passages: &u32| {
            let find = |&arrangement: &Arrangement| {
                let mut all = all.iter();
                all.find(|one| (one.passages, one.arrangement) == (passages, arrangement))
                    .map(|one| one.distance.kl)
            };
            (format!("{passages} passages"), arrangements.iter().map(find).collect())
        };
        let series = arrangements.iter().map(|arrangement| arrangement.name().to_owned()).collect();
        let groups = counts.iter().map(group).collect();
        let (part, end) = bars(&Bars { label: label.to_owned(), series, groups }, y);
        body += &part;
        y = end + 12.0;
    }
    page("Passages that were computed elsewhere", &body, y)
}

/// What packing costs, as a table.
pub fn of_packing(costs: &[PackingCost]) -> String {
    let row = |cost: &PackingCost| {
        let head = [cost.way.name().to_owned(), cost.texts.to_string(), cost.pages.to_string()];
        [&head[..], &of_distance(&cost.distance)].concat()
    };
    let header = ["pages are kept", "texts", "pages", "judged", "KL", "top 1"];
    table(&header, &costs.iter().map(row).collect::<Vec<_>>())
}

/// What packing costs, as a chart.
pub fn draw_packing(costs: &[PackingCost]) -> String {
    let group = |cost: &PackingCost| (cost.way.name().to_owned(), vec![Some(cost.distance.kl)]);
    let chart = Bars {
        label: "KL from what nothing packed gives, in nats".to_owned(),
        series: vec!["KL".to_owned()],
        groups: costs.iter().map(group).collect(),
    };
    let (body, y) = bars(&chart, 24.0);
    page("Pages that were packed", &body, y)
}

fn of_distance(distance: &Distance) -> [String; 3] {
    [distance.tokens.to_string(), format!("{:.5}", distance.kl), format!("{:.3}", distance.top1)]
}

/// A page for charts that end at `y`.
pub fn page(title: &str, body: &str, y: f64) -> String {
    document(title, LEFT + WIDTH + 16.0, y + 16.0, LEFT, body)
}

/// Each once, in the order in which they come.
pub fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(memory: Memory, l1: u32, gap: f64) -> Loss {
        Loss { memory, l1, tokens: 2048, loss: 2.5 + gap, gap, gaps: vec![0.0, gap] }
    }

    #[test]
    fn a_table_has_its_columns_under_each_other() {
        let losses = [loss(Memory::Full, 0, 0.0), loss(Memory::Relevance, 512, 0.0312)];
        assert_eq!(
            of_losses(&losses),
            "memory      L1  tokens   loss    gap\n\
             full              2048  2.500  0.000\n\
             relevance  512    2048  2.531  0.031\n"
        );
    }

    #[test]
    fn a_chart_has_a_bar_and_a_curve_of_each() {
        let all = [Memory::Full, Memory::H2o, Memory::Quest];
        let losses: Vec<Loss> =
            [512, 256].iter().flat_map(|&l1| all.map(|memory| loss(memory, l1, 0.1))).collect();
        let svg = draw_losses(&losses);
        assert_eq!((svg.matches("<title>").count(), svg.matches("<polyline").count()), (4, 4));
        assert!(svg.contains("L1 of 256 tokens") && !svg.contains(">full<"));
    }
}
