//! Many agents in one kernel on real devices: each says, bit for bit, what it says when it is alone.

#[path = "../sim/tiny.rs"]
mod tiny;

mod default_model;
mod team;
mod tools;

use agentos_cpu::{CpuDevice, Isa, Solo, SystemMemory};
use agentos_hal::TensorDevice;
use agentos_kernel::agent::{Priority, Spec};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::system::Config;
use agentos_reference::Reference;
use agentos_wgpu::{Choice, WgpuDevice, adapters};

use team::{Team, spec};
use tiny::{LIMITS, SHAPE, Tiny};

/// Memory for a third of what the agents below need at once.
const CONFIG: Config = Config {
    rows: 24,
    candidates: LIMITS.candidates,
    kv: LIMITS.kv,
    quantum_rows: 16,
    moves_per_tick: 5,
    ..Config::new(8, 200, 64, 400)
}
.checked();

fn prompt(seed: u32, len: u32) -> Vec<u32> {
    (0..len).map(|n| (seed * 7 + n * n * 3 + n * 5) % SHAPE.vocab).collect()
}

fn agents() -> Vec<(Spec, Vec<u32>)> {
    let of = |tag: u64| {
        let priority = Priority::new((tag % 3) as u8).unwrap();
        // Half of them begin alike.
        let prompt = [prompt((tag / 2) as u32, 50), prompt(tag as u32 + 20, 20)].concat();
        (Spec { priority, ..spec(tag, 200, 60) }, prompt)
    };
    (0..8).map(of).collect()
}

fn crowd_equals_alone(model: &Tiny, crowd: &mut dyn TensorDevice, alone: &mut dyn TensorDevice) {
    model.prepare(crowd, &CONFIG.device_limits(&SHAPE));
    let team = Team::run(CONFIG, &SHAPE, tiny::delimiters(), Vec::new(), crowd, &agents());
    for (spec, prompt) in &agents() {
        let expected = model.alone(alone, spec, prompt, 60);
        assert_eq!(team.given[&spec.tag], expected, "agent {}", spec.tag);
    }
    assert!(team.paged_in > 0, "eight agents of 130 tokens do not fit 64 pages");
    assert!(team.shared > 0, "agents that begin alike share");
    assert_eq!(team.recomputed, 0);
}

#[test]
fn a_crowd_on_the_reference_says_what_each_says_alone() {
    let reference = || Reference::new(1 << 26);
    crowd_equals_alone(&Tiny::new(5), &mut reference(), &mut reference());
}

/// Each adapter of this machine, software drivers included.
#[test]
fn a_crowd_on_every_gpu_says_what_each_says_alone() {
    let found = adapters();
    if found.is_empty() {
        let required = std::env::var_os("AGENTOS_REQUIRE_GPU").is_some();
        assert!(!required, "AGENTOS_REQUIRE_GPU is set, and no driver offers an adapter");
        println!("LEFT OUT: no Vulkan, Metal or DX12 adapter (Debian: apt-get install mesa-vulkan-drivers)");
    }
    for index in 0..found.len() {
        let gpu = || {
            let choice = Choice { adapter: Some(index.to_string()), ..Choice::default() };
            WgpuDevice::open(choice).expect("an adapter that is listed opens")
        };
        crowd_equals_alone(&Tiny::new(8), &mut gpu(), &mut gpu());
    }
}

/// Agents with prompts of a hundred tokens and answers of two hundred, in page memory for 1,024 tokens.
fn overcommitted(agents: u64, config: Config) {
    let config = Config { candidates: LIMITS.candidates, kv: LIMITS.kv, ..config }.checked();
    let specs: Vec<(Spec, Vec<u32>)> = (0..agents)
        .map(|tag| (Spec { context: 300, ..spec(tag, 300, 200) }, prompt(tag as u32, 100)))
        .collect();
    let model = Tiny::new(7);
    let cpu = || CpuDevice::new(SystemMemory::default(), Solo, Isa::best());
    let mut crowd = cpu();
    model.prepare(&mut crowd, &config.device_limits(&SHAPE));
    let team = Team::run(config, &SHAPE, tiny::delimiters(), Vec::new(), &mut crowd, &specs);
    for (spec, prompt) in &specs {
        let expected = model.alone(&mut cpu(), spec, prompt, 200);
        assert_eq!(team.given[&spec.tag], expected, "agent {}", spec.tag);
    }
    assert!(team.paged_in > 0, "they do not fit page memory together");
    assert_eq!(team.recomputed, 0);
}

/// Pages of an agent of 300 tokens, however its slices fall.
const AGENT_PAGES: u32 = SliceLimits::DEFAULT.worst_pages(300);

#[test]
fn eight_agents_and_sixty_four_finish_in_page_memory_for_1024_tokens() {
    for agents in [8, 64] {
        overcommitted(agents, Config::new(agents as u16, 300, 1024 / 8, agents as u32 * AGENT_PAGES));
    }
}

#[test]
fn one_agent_more_than_memory_is_for_costs_no_token_twice() {
    let agents = 5;
    overcommitted(agents, Config::new(agents as u16, 300, 4 * 300 / 8, 5 * AGENT_PAGES));
}

#[test]
fn a_crowd_on_the_cpu_says_what_each_says_alone() {
    for isa in Isa::all() {
        let cpu = || CpuDevice::new(SystemMemory::default(), Solo, isa);
        crowd_equals_alone(&Tiny::new(6), &mut cpu(), &mut cpu());
    }
}
