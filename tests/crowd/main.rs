//! Many agents in one kernel on real devices: each says, bit for bit, what it says when it is alone.

#[path = "../sim/tiny.rs"]
mod tiny;

mod default_model;
mod team;

use agentos_cpu::{CpuDevice, Isa, Solo, SystemMemory};
use agentos_hal::TensorDevice;
use agentos_kernel::agent::{Priority, Spec};
use agentos_kernel::system::Config;
use agentos_reference::Reference;

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

#[test]
fn a_crowd_on_the_cpu_says_what_each_says_alone() {
    for isa in Isa::all() {
        let cpu = || CpuDevice::new(SystemMemory::default(), Solo, isa);
        crowd_equals_alone(&Tiny::new(6), &mut cpu(), &mut cpu());
    }
}
