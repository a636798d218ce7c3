//! `agentos devices`, and how commands choose a device: by option, by variable, and by themselves.

mod cli_support;

use agentos_desktop::choice::{FILE_NAME, Machine};
use agentos_wgpu::{Extensions, Kernels, adapters};
use cli_support::{Desk, run};

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let desk = Desk::tiny();
    let json = desk.agentos(["devices", "--json"]).json();
    assert!(json["cpu"]["threads"].as_u64() > Some(0), "{json}");
    let sets = json["cpu"]["instruction_sets"].as_array().unwrap();
    assert_eq!(sets.last().unwrap(), "portable");
    let found = adapters();
    let told = json["adapters"].as_array().unwrap();
    assert_eq!(told.len(), found.len());
    for (index, (told, found)) in told.iter().zip(&found).enumerate() {
        assert_eq!((&told["index"], &told["name"]), (&index.into(), &found.info.name.as_str().into()));
        assert_eq!(told["variant"], found.variant.name());
        let kernels = told["kernels"].as_array().unwrap();
        assert_eq!(kernels[0], told["variant"]);
        assert!(kernels.iter().all(|name| name.as_str().unwrap().parse::<Kernels>().is_ok()), "{told}");
        assert!(told["limits"]["binding_bytes"].as_u64() > Some(0), "{told}");
    }
    match agentos_opencl::devices() {
        Ok(found) => {
            let told = json["opencl"].as_array().unwrap();
            assert!(
                told.iter().zip(&found).all(|(told, found)| told["name"] == found.name.as_str()),
                "{json}"
            );
            assert_eq!((told.len(), &json["opencl_error"]), (found.len(), &serde_json::Value::Null));
        }
        Err(error) => assert_eq!(json["opencl_error"], error.to_string()),
    }
    assert_eq!(json["fastest"], "cpu", "nothing is remembered here");
    assert_eq!(json["remembered_in"], serde_json::Value::Null);
    let text = desk.agentos(["devices"]).printed();
    for part in ["cpu ", "kernels ", "wgpu", "opencl", "fastest    cpu"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(found.iter().all(|found| text.contains(&found.info.name)), "{text}");
}

/// Where no desktop runs there is no Wayland server, which is no reason to complain.
#[test]
fn drivers_say_nothing_of_a_desktop_that_is_not_there() {
    let desk = Desk::tiny();
    for arguments in
        [&["devices"][..], &["generate", "--backend", "wgpu", "--max-tokens", "1", "--prompt", "x"]]
    {
        let mut command = desk.command(arguments);
        if arguments[0] == "generate" {
            command.arg("--model").arg(desk.model());
        }
        let ran = run(command.env_remove("XDG_RUNTIME_DIR").env_remove("NODEVICE_SELECT"), "");
        assert!(!ran.stderr.contains("XDG_RUNTIME_DIR"), "{}", ran.stderr);
    }
}

#[test]
fn kernels_can_be_pinned_and_a_choice_is_told() {
    let desk = Desk::tiny();
    let asked = ["--backend", "wgpu", "--max-tokens", "2", "--prompt", "x"];
    desk.generate(&[&asked[..], &["--kernels", "columns"]].concat(), "")
        .refuses(2, &["columns", "groups+halves"]);
    let Some(first) = adapters().into_iter().next() else { return };
    let tuned = desk.generate(&[&asked[..], &["--adapter", "0"]].concat(), "");
    let told = tuned.stderr.contains("kernels: ") && tuned.stderr.contains("--kernels pins others");
    assert_eq!(told, first.extensions != Extensions::NONE, "{}", tuned.stderr);
    let pinned = desk.generate(&[&asked[..], &["--adapter", "0", "--kernels", "groups"]].concat(), "");
    assert!(pinned.code == 0 && !pinned.stderr.contains("kernels: "), "{}", pinned.stderr);
}

#[test]
fn an_adapter_that_is_not_there_is_refused_with_those_that_are() {
    let desk = Desk::tiny();
    let adapter = ["--adapter", "no such GPU", "--prompt", "x"];
    let ran = desk.generate(&[&["--backend", "wgpu"], &adapter[..]].concat(), "");
    match adapters().first() {
        Some(first) => ran.refuses(1, &["no such GPU", &format!("0 = {}", first.info.name)]),
        None => ran.refuses(1, &["no Vulkan, Metal or DX12 driver"]),
    }
    desk.generate(&[&["--backend", "cpu"], &adapter[..]].concat(), "")
        .refuses(2, &["the backend cpu has no adapters", "--backend wgpu"]);
    // The variable is an option's default: the option counts.
    let mut command = desk.command(["generate", "--backend", "reference", "--prompt", "x", "--model"]);
    command.arg(desk.model()).env("AGENTOS_BACKEND", "abacus");
    assert_eq!(run(&mut command, "").code, 0);
    let mut command = desk.command(["generate", "--prompt", "x", "--model"]);
    command.arg(desk.model()).env("AGENTOS_BACKEND", "abacus");
    run(&mut command, "").refuses(2, &["abacus", "wgpu"]);
}

#[test]
fn without_an_option_the_answer_is_there_whatever_is_remembered() {
    let desk = Desk::tiny();
    let home = desk.path("home");
    std::fs::create_dir(&home).unwrap();
    let answer = || {
        let mut command =
            desk.command(["generate", "--max-tokens", "4", "--prompt", "x", "--json", "--model"]);
        command.arg(desk.model()).env_remove("AGENTOS_BACKEND").env("AGENTOS_HOME", &home);
        run(&mut command, "")
    };
    std::fs::write(home.join(FILE_NAME), "{\"machine\": ").unwrap();
    let first = answer();
    let told = first.stderr.clone();
    assert!(first.json()["output_ids"].as_array().is_some_and(|ids| !ids.is_empty()));
    let kept = std::fs::read_to_string(home.join(FILE_NAME)).unwrap();
    if Machine::here().may_have_gpu {
        // It was measured, and not once more.
        assert!(kept.contains("\"measured\""), "{kept}");
        answer().json();
        assert_eq!(std::fs::read_to_string(home.join(FILE_NAME)).unwrap(), kept);
    } else {
        assert_eq!((told.as_str(), kept.as_str()), ("", "{\"machine\": "), "nothing to choose, nothing done");
    }
}

#[test]
fn a_measurement_is_told_and_remembered() {
    let desk = Desk::tiny();
    let home = desk.path("home");
    let mut command = desk.command(["devices", "--measure", "--json"]);
    let json = run(command.env("AGENTOS_HOME", &home), "").json();
    let measured = json["measured"].as_array().unwrap();
    assert_eq!(measured[0]["backend"], "cpu");
    assert!(measured[0]["ms"].as_f64() > Some(0.0), "{json}");
    assert_eq!(json["remembered_in"], home.join(FILE_NAME).to_str().unwrap());
    let mut command = desk.command(["devices", "--json"]);
    let again = run(command.env("AGENTOS_HOME", &home), "").json();
    assert_eq!((&again["measured"], &again["fastest"]), (&json["measured"], &json["fastest"]));
}
