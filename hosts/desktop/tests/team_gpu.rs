//! A team on every GPU adapter of this machine, software drivers included: paged, shared and preempted,
//! each agent says what it says alone on the same device.
//!
//! Where no driver offers an adapter, a line says so, or the test fails if `AGENTOS_REQUIRE_GPU` is set.

mod cli_support;
mod team_support;

use agentos_wgpu::adapters;
use cli_support::{Desk, Tiny, run};
use team_support::Lines;

/// Three that do not fit page memory together, and one that comes first.
const TEAM: &str = r#"
[memory]
l1_tokens = 320
l2_mb = 1

[schedule]
quantum = 16

[[agent]]
name = "ann"
prompt = "Tell me more. Tell me more. Tell me more. Tell me more."
max_tokens = 60

[[agent]]
name = "bob"
prompt = "Tell me more. Tell me more. Tell me more. Or rather less."
max_tokens = 60

[[agent]]
name = "cy"
prompt = "Tell me more. Tell me more. Tell me more. Tell me all."
max_tokens = 60

[[agent]]
name = "dot"
prompt = "Now!"
priority = 20
max_tokens = 20
"#;

const PROMPTS: [(&str, &str, &str); 4] = [
    ("ann", "Tell me more. Tell me more. Tell me more. Tell me more.", "60"),
    ("bob", "Tell me more. Tell me more. Tell me more. Or rather less.", "60"),
    ("cy", "Tell me more. Tell me more. Tell me more. Tell me all.", "60"),
    ("dot", "Now!", "20"),
];

#[test]
fn every_agent_says_what_it_says_alone_on_the_same_adapter() {
    let found = adapters();
    if found.is_empty() {
        let required = std::env::var_os("AGENTOS_REQUIRE_GPU").is_some();
        assert!(!required, "AGENTOS_REQUIRE_GPU is set, and no driver offers an adapter");
        println!("LEFT OUT: no Vulkan, Metal or DX12 adapter (Debian: apt-get install mesa-vulkan-drivers)");
    }
    for (index, adapter) in found.iter().enumerate() {
        println!("{adapter}");
        says_the_same(&index.to_string());
    }
}

fn says_the_same(adapter: &str) {
    let desk = Desk::new(&Tiny { context: 1024, ..Tiny::default() }.gguf());
    let device = ["--json", "--backend", "wgpu", "--adapter", adapter];
    // Software drivers keep what they compile below it.
    let home = desk.path("home");
    let lines = Lines::of(&run(desk.team_command(TEAM, &device).env("HOME", &home), ""));
    for (name, prompt, most) in PROMPTS {
        let mut command = desk.command(["generate", "--prompt", prompt, "--max-tokens", most, "--model"]);
        let alone = run(command.arg(desk.model()).args(device).env("HOME", &home), "").json();
        let ids: Vec<u64> =
            alone["output_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        assert_eq!(lines.ids(name), ids, "{name}");
    }
    assert_eq!((lines.events("finished").len(), lines.sum("recomputed")), (4, 0));
    assert!(lines.sum("paged_in") > 0 && lines.sum("shared") > 0, "{}", lines.summary());
}
