//! What was measured of a model on this machine is what the program's commands use.

mod cli_support;
mod knowledge_support;
mod team_support;

use std::path::{Path, PathBuf};

use agentos_desktop::calibration::{Calibration, file, known};
use agentos_desktop::fetch::Environment;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use cli_support::{Desk, Ran, Tiny, run};
use knowledge_support::{desk, library};
use serde_json::Value;

/// A folder of a user for whom the model's layers were found to be others than is usual.
fn calibrated(desk: &Desk) -> PathBuf {
    let home = desk.path("home");
    let environment = Environment { home: Some(home.clone()), ..Environment::from_process() };
    let path = desk.model();
    let map = ModelMap::open(&path).unwrap();
    let mut index = model::index(&path, &map).unwrap();
    let model = ModelFile::read(&path, &map, &mut index).unwrap();
    let identity = model::identity(&model);
    let usual = Calibration::default_for(&model.model.shape);
    assert_eq!(usual.relevance_layer, 1, "the usual layer is not the one that this test changes");
    let calibration = Calibration { relevance_layer: 0, relevance_first: 0, relevance_last: 0, ..usual };
    file::write(&known::path(&environment, &identity).unwrap(), &calibration, &identity).unwrap();
    home
}

fn with_home(desk: &Desk, home: Option<&Path>, arguments: &[&str]) -> Ran {
    let library = library(desk);
    let mut command = desk.command(arguments.iter().copied().chain(library.iter().map(String::as_str)));
    if let Some(home) = home {
        command.env("AGENTOS_HOME", home);
    }
    run(&mut command, "")
}

#[test]
fn a_collection_is_of_the_calibrated_layers_and_keeps_them() {
    let desk = desk();
    let home = calibrated(&desk);
    let ingest = |home, name| {
        let ran = with_home(&desk, home, &["ingest", "docs", "--collection", name]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    let recall = |home, name| -> Value {
        with_home(&desk, home, &["recall", name, "How tall is the tower?", "--json"]).json()
    };
    let layer = |found: &Value| found["relevance_layer"].as_u64();
    ingest(None, "usual");
    ingest(Some(&*home), "measured");
    let usual = recall(None, "usual");
    assert_eq!(layer(&usual), Some(1));
    let measured = recall(Some(&*home), "measured");
    assert_eq!(layer(&measured), Some(0));
    // A question is looked at in the layers of the collection, whatever was measured since.
    assert_eq!(recall(Some(&*home), "usual"), usual);
    assert_eq!(recall(None, "measured"), measured);
}

#[test]
fn bounded_agents_are_paged_by_the_calibrated_layer() {
    let desk = desk();
    let home = calibrated(&desk);
    let team = "[[agent]]\nname = \"a\"\nprompt = \"Who runs next?\"\nmemory = \"bounded\"\n\
                l1_tokens = 256\nmax_tokens = 8\n";
    let kept = desk.path("kept");
    let kept = kept.to_str().unwrap();
    let run_team = |measured: bool, more: [&str; 2]| {
        let mut command = desk.team_command(team, &[&["--json"], &more[..]].concat());
        if measured {
            command.env("AGENTOS_HOME", &home);
        }
        run(&mut command, "")
    };
    assert_eq!(run_team(true, ["--checkpoint", kept]).code, 0);
    assert_eq!(run_team(true, ["--restore", kept]).code, 0);
    let ran = run_team(false, ["--restore", kept]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("layer by which slices are relevant"), "{}", ran.stderr);
}

/// What is measured of a model is kept by its identity, and is what every command uses from then on.
#[test]
fn a_model_is_measured_once_and_known_from_then_on() {
    let desk = Desk::new(&Tiny { context: 1 << 14, ..Tiny::default() }.gguf());
    let home = desk.path("home");
    let agentos = |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        run(command.arg("--model").arg(desk.model()).env("AGENTOS_HOME", &home), "")
    };
    let before = agentos(&["inspect"]).printed();
    assert!(before.contains("not measured: what is usual"), "{before}");
    let sheet = agentos(&["calibrate", "--json"]).json();
    let kept = Path::new(sheet["path"].as_str().unwrap());
    assert!(kept.starts_with(&home) && kept.is_file(), "{}", kept.display());
    let calibration = &sheet["calibration"];
    let layers = 0..2;
    for layer in ["slicing_layer", "density_layer", "relevance_layer"] {
        assert!(calibration[layer].as_u64().is_some_and(|layer| layers.contains(&layer)), "{layer}: {sheet}");
    }
    let share =
        |name: &str| calibration["measured"][name].as_f64().unwrap_or_else(|| panic!("{name}: {sheet}"));
    for name in ["sink_share", "slicing_f1", "relevance_found", "confident_same", "drift_auc", "packing_same"]
    {
        assert!((0.0..=1.0).contains(&share(name)), "{name}: {}", share(name));
    }
    assert!(share("packing_kl") >= 0.0);
    let after = agentos(&["inspect"]).printed();
    assert!(after.contains("measured on this machine"), "{after}");
    // Elsewhere it is measured again, and found to be the same.
    let again = agentos(&["calibrate", "--json", "--out", desk.path("again").to_str().unwrap()]).json();
    assert_eq!(again["calibration"], *calibration);
    assert_eq!(std::fs::read(desk.path("again")).unwrap(), std::fs::read(kept).unwrap());
    // What is damaged is not believed, and told.
    std::fs::write(kept, &std::fs::read(kept).unwrap()[..20]).unwrap();
    let damaged = agentos(&["inspect"]);
    assert!(damaged.stdout.contains("not measured") && damaged.stderr.contains("home"), "{}", damaged.stderr);
}
