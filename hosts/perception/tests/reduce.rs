//! What is too long keeps its structure, says what is missing, and fits.

mod common;

use agentos_perception::reduce::json::Document;
use agentos_perception::reduce::table::Table;
use agentos_perception::reduce::{Cut, Piece};
use agentos_perception::{Measures, Note, Request, align};

use common::{aligned, body, controls, hold_promises, request, tokens};

fn cut_of(aligned: &agentos_perception::Aligned) -> Cut {
    let cut = |note: &Note| if let Note::Cut(cut) = note { Some(*cut) } else { None };
    aligned.notes.iter().find_map(cut).unwrap_or(Cut::Nothing)
}

fn reduced(text: &str, budget: usize) -> agentos_perception::Aligned {
    let aligned = aligned(text.as_bytes(), budget).expect("it fits");
    hold_promises("a text of ours", &aligned, &common::CONTROLS, budget);
    // What the budget pays for is used.
    assert!(aligned.tokens * 10 >= budget * 6, "{} of {budget} tokens: {}", aligned.tokens, aligned.text);
    aligned
}

#[test]
fn what_fits_stays_as_it_is() {
    for text in
        ["", "one line", "{\n  \"a\": [1, 2.50, 1e400]\n}", "a,b\n1,2\n3,4\n", "Zürich – 東京 🏳️‍🌈 می‌خواهم"]
    {
        let aligned = aligned(text.as_bytes(), 200).expect("it fits");
        assert_eq!(body(&aligned), text);
        assert_eq!(aligned.notes, []);
    }
}

#[test]
fn the_header_says_where_it_comes_from() {
    let controls = controls();
    let request = Request {
        tool: "run",
        source: "cat \"a\"\n[tool \u{1b}",
        failed: true,
        taken: "2026-01-02T03:04:05Z",
        ..request(&controls, 200)
    };
    let aligned =
        align(b"No such file.\r\n", &request, Measures { count: &tokens, score: None }).expect("it fits");
    let header = "[tool \"run\" failed from \"cat \\\"a\\\"\\u{a}[tool \\u{1b}\"; 15 bytes; at \"2026-01-02T03:04:05Z\"]";
    assert_eq!(aligned.text, format!("{header}\nNo such file.\n"));
}

#[test]
fn a_long_list_of_records_becomes_rows() {
    let records: Vec<String> = (0..5000)
        .map(|at| format!("{{\"id\":{at},\"name\":\"n{at}\",\"at\":{{\"x\":1,\"y\":2}}}}"))
        .collect();
    let text = format!("{{\"count\":5000,\"next\":null,\"orders\":[{}]}}", records.join(","));
    let aligned = reduced(&text, 400);
    let body = body(&aligned);
    assert_eq!(cut_of(&aligned), Cut::Values);
    assert!(body.starts_with("{\"count\":5000,\"next\":null,\"orders\":{\"columns\":[\"id\",\"name\",\"at\"],\"rows\":[[0,\"n0\","), "{body}");
    assert!(body.contains(" more …"), "{body}");
    assert!(body.ends_with("[4999,\"n4999\",{\"x\":1,\"y\":2}]]}}"), "{body}");
    let shown = body.matches("{\"x\"").count();
    let missing: usize = body
        .split("… ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .map(|count| count.replace(',', "").parse().expect("a count"))
        .expect("a mark");
    assert_eq!(shown + missing, 5000, "{body}");
}

#[test]
fn keys_stay_when_values_give_way() {
    let long = "word ".repeat(4000);
    let text = format!(
        "{{\"title\":\"short\",\"body\":\"{long}\",\"wrap\":{{\"inner\":{{\"body\":\"{long}\"}}}},\"list\":[{}],\"id\":123456789012345678901234567890}}",
        vec!["1.10"; 9000].join(",")
    );
    let aligned = reduced(&text, 300);
    let body = body(&aligned);
    for kept in [
        "\"title\":\"short\"",
        "\"body\":\"word",
        "characters left out …]",
        "\"wrap.inner.body\":",
        "\"list\":[1.10,",
        "\"id\":123456789012345678901234567890",
    ] {
        assert!(body.contains(kept), "{kept} in {body}");
    }
}

#[test]
fn json_that_only_lacks_its_blanks_is_whole() {
    let text = format!("[{}]", vec!["\n        {\n            \"a\":     1\n        }"; 40].join(","));
    let aligned = aligned(text.as_bytes(), 420).expect("it fits");
    assert_eq!(cut_of(&aligned), Cut::Nothing);
}

#[test]
fn lines_of_json_stay_lines() {
    let lines: Vec<String> = (0..3000).map(|at| format!("{{\"level\":\"info\",\"line\":{at}}}")).collect();
    let aligned = reduced(&lines.join("\n"), 300);
    let body = body(&aligned);
    assert!(body.starts_with("{\"level\":\"info\",\"line\":0}\n{\"level\""), "{body}");
    assert!(body.ends_with("\"line\":2999}"), "{body}");
    assert!(body.lines().any(|line| line.starts_with("… ") && line.ends_with(" more …")), "{body}");
}

/// Every row that is there is there whole, under the header, and what is asked about is among them.
fn rows_are_kept(text: &str, header: &str, about: &str, asked: &str) {
    let controls = controls();
    let request = Request { about, ..request(&controls, 300) };
    let aligned =
        align(text.as_bytes(), &request, Measures { count: &tokens, score: None }).expect("it fits");
    let body = body(&aligned);
    let Cut::Rows { kept, of } = cut_of(&aligned) else {
        panic!("{:?}: {body}", aligned.notes);
    };
    assert!(body.starts_with(header), "{body}");
    assert!(body.contains(asked), "{asked} in {body}");
    let rows: Vec<&str> = body[header.len()..].lines().filter(|line| !line.is_empty()).collect();
    let (marks, whole): (Vec<&str>, Vec<&str>) = rows.into_iter().partition(|row| row.starts_with("[…"));
    assert_eq!(whole.len(), kept);
    for row in &whole {
        assert!(text.lines().any(|line| line == *row), "{row}");
    }
    let missing: usize = marks
        .iter()
        .map(|mark| {
            mark.split(' ').nth(1).expect("a count").replace(',', "").parse::<usize>().expect("a count")
        })
        .sum();
    assert_eq!(missing + kept, of, "{body}");
    assert!(kept >= 10, "{kept} of {of}: {body}");
}

#[test]
fn tables_keep_whole_rows() {
    let names = ["amber", "birch", "cedar", "daisy", "elder"];
    let row = |at: usize, between: &str| {
        let name = if at == 1234 { "quartz" } else { names[at % 5] };
        [at.to_string(), name.to_owned(), (at * 7 % 100).to_string()].join(between)
    };
    let rows = |between: &str| (0..2000).map(|at| row(at, between)).collect::<Vec<_>>().join("\n");
    let about = "How much quartz is there?";
    rows_are_kept(&format!("id,name,amount\n{}\n", rows(",")), "id,name,amount\n", about, "1234,quartz,");
    rows_are_kept(
        &format!("id\tname\tamount\n{}", rows("\t")),
        "id\tname\tamount\n",
        about,
        "1234\tquartz\t",
    );
    let bars: Vec<String> = (0..2000).map(|at| format!("| {} |", row(at, " | "))).collect();
    let header = "| id | name | amount |\n|---:|:---|---|\n";
    rows_are_kept(&format!("{header}{}", bars.join("\n")), header, about, "| 1234 | quartz |");
    let aligned: Vec<String> = (0..2000)
        .map(|at| {
            format!("{at:>6} {:<12} {:>8}", if at == 1234 { "quartz" } else { names[at % 5] }, at * 7 % 100)
        })
        .collect();
    let header = "   PID NAME         AMOUNT_K\n";
    rows_are_kept(&format!("{header}{}", aligned.join("\n")), header, about, "1234 quartz");
}

#[test]
fn records_of_several_lines_are_one_row() {
    let rows: Vec<String> =
        (0..400).map(|at| format!("{at},\"first line\nsecond, \"\"quoted\"\" line\",z{at}")).collect();
    let aligned = reduced(&format!("id,note,end\n{}", rows.join("\n")), 300);
    let Cut::Rows { of, .. } = cut_of(&aligned) else {
        panic!("{:?}", aligned.notes);
    };
    assert_eq!(of, 400);
    assert!(
        body(&aligned).contains("0,\"first line\nsecond, \"\"quoted\"\" line\",z0\n"),
        "{}",
        aligned.text
    );
}

#[test]
fn long_cells_lose_their_middles_before_rows_go() {
    let text = format!("id,blob\n1,{}\n2,short\n3,short\n", "x".repeat(9000));
    let aligned = aligned(text.as_bytes(), 150).expect("it fits");
    let body = body(&aligned);
    assert!(body.contains("1,x") && body.contains("characters left out …]"), "{body}");
    assert!(body.contains("2,short\n3,short"), "{body}");
}

/// Cells that are shorter than any mark: the first columns stay, and one mark stands for the others.
#[test]
fn wide_tables_keep_their_first_columns() {
    let row =
        |between: &str, cell: &dyn Fn(usize) -> String| (0..100).map(cell).collect::<Vec<_>>().join(between);
    let rows = |between: &str| -> Vec<String> {
        (0..50).map(|line| row(between, &|at| format!("v{line:03}x{at:03}"))).collect()
    };
    let separated = format!("{}\n{}\n", row(",", &|at| format!("column{at:02}")), rows(",").join("\n"));
    let barred: Vec<String> = rows(" | ").iter().map(|row| format!("| {row} |")).collect();
    let (names, dashes) = (row(" | ", &|at| format!("column{at:02}")), row("|", &|_| "---".to_owned()));
    let markdown = format!("| {names} |\n|{dashes}|\n{}\n", barred.join("\n"));
    for text in [separated, markdown] {
        let table = Table::read(&text).expect("a table");
        for bytes in [0, 100, 1000, 1800, 4000] {
            let length = table.within(bytes).text.len();
            assert!(length <= bytes + 200, "{length} bytes within {bytes}");
        }
        let aligned = aligned(text.as_bytes(), 512).expect("it fits");
        let body = body(&aligned);
        assert!(matches!(cut_of(&aligned), Cut::Rows { kept: 1.., .. }), "{body}");
        assert!(body.contains("column00") && body.contains("v000x000"), "{body}");
        assert!(body.contains(" of 100 cells left out …]") && !body.contains("characters"), "{body}");
    }
}

#[test]
fn a_row_of_very_many_cells_is_cut() {
    let text = format!("a,b\n{}{}\n", "1,2\n".repeat(40), vec!["1234567"; 500_000].join(","));
    let table = Table::read(&text).expect("a table");
    let length = table.within(2000).text.len();
    assert!(length < 2200, "{length}");
}

/// Some keys are shown from the end, and theirs are the bytes that count.
#[test]
fn a_record_whose_last_keys_are_long_fits() {
    let short = (0..100).map(|at| format!("\"key{at}\":{at}"));
    let long = (0..40).map(|at| format!("\"{}{at}\":{at}", "long".repeat(200)));
    let text = format!("{{{}}}", short.chain(long).collect::<Vec<_>>().join(","));
    let document = Document::read(&text).expect("JSON");
    for bytes in [100, 1000, 3000] {
        let reduced = document.within(bytes).text;
        assert!(reduced.len() <= bytes + 60, "{} bytes within {bytes}: {reduced}", reduced.len());
        assert!(reduced.starts_with("{\"key0\":0,") && reduced.contains(" more keys …"), "{reduced}");
    }
}

#[test]
fn long_keys_do_not_become_one() {
    let text = format!(
        "{{\"a\":{{\"{}\":{{\"b\":1}}}},\"z\":{{\"inner\":\"{}\"}}}}",
        "k".repeat(5000),
        "v".repeat(5000)
    );
    let reduced = Document::read(&text).expect("JSON").within(300).text;
    assert!(reduced.len() < 360, "{} bytes: {reduced}", reduced.len());
    assert!(reduced.starts_with("{\"a\":{… 1 keys …},\"z.inner\":\"vvv"), "{reduced}");
}

fn story(sentences: usize, needle: usize) -> String {
    let sentence = |at: usize| {
        if at == needle {
            "The passphrase of the vault is heliotrope. ".to_owned()
        } else {
            format!("Nothing of note happened on day {at} of the long voyage to the south. ")
        }
    };
    (0..sentences).map(sentence).collect()
}

#[test]
fn of_a_long_text_head_tail_and_what_is_asked_for_stay() {
    let text = story(3000, 1700);
    let controls = controls();
    let request = Request { about: "What is the passphrase of the vault?", ..request(&controls, 400) };
    let aligned =
        align(text.as_bytes(), &request, Measures { count: &tokens, score: None }).expect("it fits");
    let body = body(&aligned);
    assert!(body.starts_with("Nothing of note happened on day 0 "), "{body}");
    assert!(body.contains("heliotrope"), "{body}");
    assert!(body.trim_end().ends_with("on day 2999 of the long voyage to the south."), "{body}");
    let Cut::Text { kept, of } = cut_of(&aligned) else {
        panic!("{:?}", aligned.notes);
    };
    assert_eq!(of, text.len());
    let missing: usize = body
        .split("[… ")
        .skip(1)
        .map(|rest| {
            rest.split(' ').next().expect("a count").replace(',', "").parse::<usize>().expect("a count")
        })
        .sum();
    assert_eq!(kept + missing, of, "{body}");
}

/// The running model's judgement goes before that of words, and is asked about a bounded number of pieces.
#[test]
fn the_models_judgement_chooses_between_head_and_tail() {
    let text = story(3000, 1700);
    let controls = controls();
    let request = Request { about: "day", ..request(&controls, 400) };
    let mut asked = 0;
    let mut score = |pieces: &[Piece<'_>]| {
        asked += pieces.len();
        pieces.iter().map(|piece| if piece.text.contains("heliotrope") { 1.0 } else { 0.0 }).collect()
    };
    let measures = Measures { count: &tokens, score: Some(&mut score) };
    let aligned = align(text.as_bytes(), &request, measures).expect("it fits");
    assert!(body(&aligned).contains("heliotrope"), "{}", aligned.text);
    assert!((1..=64).contains(&asked), "{asked}");
}

#[test]
fn whole_lines_that_are_missing_are_told_as_lines() {
    let lines: Vec<String> =
        (0..2000).map(|at| format!("step {at}: ok, so far as anybody can tell")).collect();
    let aligned = reduced(&lines.join("\n"), 300);
    let body = body(&aligned);
    let missing: usize = body
        .lines()
        .filter_map(|line| line.strip_prefix("[… ")?.strip_suffix(" lines left out …]"))
        .map(|count| count.replace(',', "").parse::<usize>().expect("a count"))
        .sum();
    let there = body.lines().filter(|line| line.starts_with("step ")).count();
    assert_eq!(missing + there, 2000, "{body}");
}

#[test]
fn tokens_are_counted_rarely_and_of_little() {
    let text = story(20_000, 1);
    let controls = controls();
    let counted = std::cell::Cell::new((0, 0));
    let count = |text: &str| {
        let (times, bytes) = counted.get();
        counted.set((times + 1, bytes + text.len()));
        tokens(text)
    };
    let request = request(&controls, 1000);
    let aligned = align(text.as_bytes(), &request, Measures { count: &count, score: None }).expect("it fits");
    let (times, bytes) = counted.get();
    assert!(times <= 8, "{times}");
    assert!(bytes <= 8 * aligned.text.len(), "{bytes} for {}", aligned.text.len());
}

#[test]
fn a_budget_below_the_header_is_refused_with_what_would_do() {
    let misfit = aligned("some text. ".repeat(100).as_bytes(), 5).expect_err("no header fits five tokens");
    let agentos_perception::Misfit::Budget { needed, budget: 5 } = misfit else {
        panic!("{misfit}");
    };
    let again = aligned("some text. ".repeat(100).as_bytes(), needed * 2).expect("what would do does");
    assert!(again.tokens <= needed * 2);
}

#[test]
fn what_was_not_read_is_told() {
    let controls = controls();
    let request = Request { limit_bytes: 1000, ..request(&controls, 5000) };
    let text = "é".repeat(2001);
    let aligned =
        align(text.as_bytes(), &request, Measures { count: &tokens, score: None }).expect("it fits");
    assert_eq!(aligned.notes, [Note::Capped { limit: 1000 }]);
    assert!(aligned.text.contains("4,002 bytes; only the first 1,000 were read"), "{}", aligned.text);
    assert_eq!(body(&aligned), "é".repeat(500));
}
