//! Documents that say the same are read once in a prompt.

mod cli_support;
mod knowledge_support;
mod team_support;

use knowledge_support::{agentos, desk, ingest};

#[test]
fn a_copy_in_another_format_takes_no_place_in_a_prompt() {
    let desk = desk();
    // The line above a passage names its source, so it differs: what it says has to weigh more.
    let lines = [
        "The ferry leaves the pier at nine.",
        "It carries forty people and their sheep.",
        "Who misses it waits.",
        "In winter it does not sail before the ice is broken.",
        "The skipper knows every rock of the sound by its name.",
        "On Sundays there is music on the upper deck.",
        "A child travels for half of the fare, a dog for nothing.",
        "Letters and parcels are handed to the mate.",
    ];
    let html: String = lines.iter().map(|line| format!("<p>{line}</p>")).collect();
    desk.put("docs/ferry.txt", lines.join("\n\n").as_bytes());
    desk.put("docs/deep/ferry.html", html.as_bytes());
    desk.put("docs/pier.txt", b"The pier of the ferry was mended when the sheep had broken it.\n");
    let _ = ingest(&desk, &[]);
    let found = agentos(&desk, &["recall", "island", "When does the ferry leave the pier?", "--json"]).json();
    let passages = found["passages"].as_array().unwrap();
    let about =
        |word: &str| passages.iter().filter(|passage| passage["text"].to_string().contains(word)).count();
    assert_eq!((about("at nine"), about("mended")), (1, 1), "{passages:#?}");
    let ferry = passages.iter().find(|passage| passage["text"].to_string().contains("at nine")).unwrap();
    assert_eq!(ferry["twins"], 1);
    let printed = agentos(&desk, &["recall", "island", "When does the ferry leave the pier?"]).printed();
    assert!(printed.contains("1 more that say the same are left out"), "{printed}");
}
