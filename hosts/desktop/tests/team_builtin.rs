//! What `cargo xtask run` shows: the built-in team on the default model. Its documents are read by agents who attend to
//! a part of them, and three tools are of use.

mod cli_support;
mod team_support;

use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};
use cli_support::Desk;
use team_support::Lines;

#[test]
fn the_built_in_team_answers_from_what_it_pages_in_and_from_its_tools() {
    let model = DEFAULT_MODEL.path(&Environment::from_process()).expect("a place for models");
    assert!(
        model.is_file(),
        "the default model is not at {}; `cargo xtask model` brings it",
        model.display()
    );
    let desk = Desk::tiny();
    let ran = desk.agentos(["run", "--json", "--model", model.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines = Lines::of(&ran);

    // A question over more than it attends to: the answer stands in a slice that was left out.
    let paged = lines.of_agent("page_fault", "archivist");
    assert!(!paged.is_empty() && lines.text("archivist").contains("Marta Lindqvist"), "{}", ran.stdout);
    let archivist = lines.agent("archivist");
    assert!(archivist["replays"].as_u64() >= Some(1) && archivist["coverage"].as_f64() > Some(0.5));
    assert_eq!(archivist["recomputed"], archivist["replayed"]);

    let result = |agent: &str| lines.of_agent("tool_result", agent)[0]["text"].to_string();
    assert!(result("keeper").contains("software stand-in"), "the sensor says that it is none");
    assert!(result("clerk").contains("= 8000") && lines.text("clerk").contains("8000"));
    assert!(result("timekeeper").contains("Asia/Tokyo"));
    for agent in lines.summary()["agents"].as_array().unwrap() {
        assert_eq!(agent["reason"], "stop", "{agent}");
    }
}
