//! `agentos slice` and `agentos calibrate`, and what they keep.

mod cli_support;

use agentos_desktop::calibration::{Calibration, Known, Origin, file, known};
use agentos_desktop::fetch::cache::Cache;
use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use cli_support::{Desk, Ran};
use serde_json::Value;

/// Two paragraphs that are longer than a window together.
fn text() -> String {
    let sentences = |word: &str| (0..12).map(|n| format!("{word} is number {n}.")).collect::<Vec<_>>();
    let paragraph = |word: &str| sentences(word).join(" ");
    format!("{}\n\n{}", paragraph("The first"), paragraph("Another"))
}

fn slice(desk: &Desk, arguments: &[&str]) -> Ran {
    let file = desk.put("text.txt", text().as_bytes());
    let mut line = vec!["slice", file.to_str().unwrap(), "--model"];
    let model = desk.model();
    line.push(model.to_str().unwrap());
    line.extend(arguments);
    desk.agentos(&line)
}

/// The ends of what tiles the text, from its beginning to its end.
fn tiles(all: &Value) -> Vec<u64> {
    let mut last = 0;
    let mut ends = Vec::new();
    for one in all.as_array().unwrap() {
        assert_eq!(one["from"].as_u64().unwrap(), last);
        last = one["to"].as_u64().unwrap();
        ends.push(last);
    }
    ends
}

#[test]
fn topics_are_runs_of_slices_by_every_policy_that_scores_ends() {
    let desk = Desk::tiny();
    for policy in ["hidden", "density-smoothed", "attention", "structure"] {
        let sheet = slice(&desk, &["--json", "--policy", policy]).json();
        let slices = tiles(&sheet["slices"]);
        let topics = tiles(&sheet["topics"]);
        assert_eq!(slices.last(), sheet["tokens"].as_u64().as_ref());
        assert_eq!(topics.last(), slices.last());
        assert!(topics.iter().all(|topic| slices.contains(topic)), "{policy}: {topics:?} of {slices:?}");
        assert_eq!(sheet["slices"][0]["hash"].as_str().unwrap().len(), 16);
    }
}

#[test]
fn paragraphs_are_topics_by_structure() {
    let desk = Desk::tiny();
    let sheet = slice(&desk, &["--json", "--policy", "structure"]).json();
    let topics = sheet["topics"].as_array().unwrap();
    assert_eq!(topics.len(), 2, "{topics:?}");
    assert_eq!(topics[1]["begins_with"], "Another is number 0. Another is number 1. Another");
}

/// The windows in which a long text is computed hold nothing that the result depends on but what they forget.
#[test]
fn a_text_longer_than_a_window_is_sliced_where_it_would_be() {
    let desk = Desk::tiny();
    let ends = |context: &str| {
        let sheet = slice(&desk, &["--json", "--ctx", context]).json();
        assert!(sheet["tokens"].as_u64().unwrap() > 256);
        tiles(&sheet["slices"])
    };
    assert_eq!(ends("64"), ends("256"));
}

#[test]
fn the_paper_s_rule_and_its_picture() {
    let desk = Desk::tiny();
    let svg = desk.path("figure.svg");
    let told = slice(&desk, &["--policy", "density", "--svg", svg.to_str().unwrap()]).printed();
    assert!(told.contains("topics by density (threshold 2.500)"), "{told}");
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("text.txt: density of attention"));
    assert!(svg.matches("fill-opacity").count() > 20);
}

#[test]
fn a_rule_looks_where_it_is_told_and_shows_what_it_saw() {
    let desk = Desk::tiny();
    let sheet = |more: &[&str]| slice(&desk, &[&["--json"], more].concat()).json();
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let all = sheet(&["--policy", "density"]);
    let (tokens, slices) = (all["tokens"].as_u64().unwrap(), all["slices"].as_array().unwrap().len());
    let density = numbers(&all["density"]);
    assert_eq!(density.len() as u64, tokens);
    assert!(density.iter().all(|density| (0.0..=1.0).contains(density)));
    let attention = all["attention"].as_array().unwrap();
    assert_eq!(attention.len(), slices);
    for (slice, shares) in attention.iter().enumerate() {
        let shares = numbers(shares);
        assert_eq!(shares.len(), slice + 1);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-3, "{shares:?}");
    }
    let first = sheet(&["--policy", "density", "--layer", "0"]);
    assert_ne!(numbers(&first["density"]), density, "one layer is not all of them");
    let hash = |layer: &str| sheet(&["--layer", layer])["slices"][1]["hash"].clone();
    assert_ne!(hash("0"), hash("1"));
    let never = sheet(&["--threshold", "1e9"]);
    assert_eq!((never["topics"].as_array().unwrap().len(), &never["threshold"]), (1, &Value::from(1e9)));
    slice(&desk, &["--layer", "99"]).refuses(1, &["no layer 99; its layers are 0 to"]);
    slice(&desk, &["--threshold", "NaN"]).refuses(2, &["NaN is not 0 or more"]);
}

#[test]
fn refusals() {
    let desk = Desk::tiny();
    let nowhere = desk.path("no").join("figure.svg");
    let ran = slice(&desk, &["--svg", nowhere.to_str().unwrap()]);
    ran.refuses(1, &["cannot write ", "figure.svg"]);
    slice(&desk, &["--ctx", "4096"]).refuses(1, &["--ctx 256 would fit"]);
    let model = desk.model();
    let calibrate = ["calibrate", "--model", model.to_str().unwrap(), "--out", "out.json"];
    let ran = desk.agentos(calibrate);
    ran.refuses(1, &["was trained for contexts of 256 tokens; 1536 are needed"]);
    assert!(!desk.path("out.json").exists());
    desk.agentos(&calibrate[..3]).refuses(1, &["set AGENTOS_HOME, or name a file with --out"]);
}

/// Calls `use_it` with a model file.
fn with_model<T>(path: &std::path::Path, use_it: impl FnOnce(&ModelFile<'_>) -> T) -> T {
    let map = ModelMap::open(path).unwrap();
    let mut index = model::index(path, &map).unwrap();
    use_it(&ModelFile::read(path, &map, &mut index).unwrap())
}

fn environment(home: &std::path::Path) -> Environment {
    Environment { home: Some(home.to_owned()), ..Environment::from_process() }
}

#[test]
fn what_was_measured_here_is_used_and_what_is_damaged_is_told() {
    let desk = Desk::tiny();
    let home = desk.path("home");
    let environment = environment(&home);
    let origin = || {
        let sheet = desk
            .command(["inspect", "--json", "--model", desk.model().to_str().unwrap()])
            .env("AGENTOS_HOME", &home)
            .output()
            .unwrap();
        let json: Value = serde_json::from_slice(&sheet.stdout).unwrap();
        (json["calibration"].clone(), String::from_utf8(sheet.stderr).unwrap())
    };
    assert_eq!(origin().0["origin"], "default");
    let path = with_model(&desk.model(), |model| {
        let identity = model::identity(model);
        let calibration =
            Calibration { slicing_threshold: 0.125, ..Calibration::default_for(&model.model.shape) };
        let path = known::path(&environment, &identity).unwrap();
        file::write(&path, &calibration, &identity).unwrap();
        path
    });
    let (calibration, _) = origin();
    assert_eq!(
        (&calibration["origin"], &calibration["slicing_threshold"]),
        (&"measured".into(), &0.125.into())
    );
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() = b' ';
    std::fs::write(&path, bytes).unwrap();
    let (calibration, told) = origin();
    assert_eq!(
        (&calibration["origin"], calibration["slicing_threshold"].as_f64()),
        (&"default".into(), Some(0.08))
    );
    assert!(told.contains("is not used: it is damaged"), "{told}");
}

/// What ships is of the default model, was measured, and is good for something.
#[test]
fn the_default_model_s_calibration_ships_with_the_program() {
    let cache = Cache::locate(&Environment::from_process()).expect("a folder for models");
    let path = cache.models().join(DEFAULT_MODEL.file_name);
    let empty = tempfile::tempdir().unwrap();
    let known = with_model(&path, |model| Known::of(model, &environment(empty.path())));
    assert_eq!(known.origin, Origin::Shipped);
    let Known { calibration, .. } = known;
    let measured = calibration.measured.expect("the command measures");
    assert!(calibration.sink_tokens >= 1 && measured.sink_share > 0.1, "{measured:?}");
    assert!(measured.slicing_f1 >= 0.55, "{measured:?}");
    assert!(measured.relevance_found >= 0.8, "{measured:?}");
    assert!(measured.drift_auc >= 0.8, "{measured:?}");
    assert!(measured.packing_kl <= 0.001, "{measured:?}");
}
