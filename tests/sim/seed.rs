//! One seed, from its system to its verdict.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use agentos_desktop::boot::Boot;
use agentos_fault::{FaultDevice, FaultStore, RamStore, Scratch, VACANT_RAM_SLOT};
use agentos_hal::{Candidate, ColdStore, Outcome, page};
use agentos_kernel::memory::SLICE_PAGES;
use agentos_reference::Reference;

use crate::alone::DEVICE_BYTES;
use crate::draw::Draw;
use crate::setup::Setup;
use crate::tally::Tally;
use crate::tiny::{self, SHAPE, Tiny};
use crate::world::World;

/// A seed that broke something.
#[derive(Clone, Debug)]
pub struct Broken {
    pub seed: u64,
    pub tick: u64,
    pub what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Broken { seed, tick, what } = self;
        writeln!(f, "seed {seed} broke at tick {tick}: {what}")?;
        write!(f, "again: cargo xtask sim --from {seed} --seeds 1")
    }
}

/// Simulates one system.
///
/// # Errors
/// What broke; a panic of the kernel is that too.
pub fn simulate(seed: u64) -> Result<Tally, Broken> {
    let ticks = Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, &ticks)));
    let what = match outcome {
        Ok(Ok(tally)) => return Ok(tally),
        Ok(Err(what)) => what,
        Err(panic) => said(&*panic),
    };
    Err(Broken { seed, tick: ticks.get(), what })
}

thread_local! {
    /// Where this thread panicked last, and why.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// From now on a panic is a finding like any other: it is not printed, but kept with its place.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| PANIC.set(Some(panic.to_string()))));
}

fn said(panic: &dyn std::any::Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    PANIC.take().unwrap_or_else(|| text.unwrap_or("no message").to_owned())
}

fn run(seed: u64, ticks: &Cell<u64>) -> Result<Tally, String> {
    let mut draw = Draw::new(seed);
    let setup = Setup::new(&mut draw);
    let image_bytes = page::image_bytes(&SHAPE, setup.config.kv);
    let mut slots = vec![VACANT_RAM_SLOT; setup.store_slots];
    let mut images = vec![0; setup.store_slots * SLICE_PAGES * image_bytes];
    let mut store = RamStore::new(&mut slots, &mut images, image_bytes);
    let mut tally = Tally::default();
    for life in 0..=setup.crashes {
        let mut faulty = FaultStore::new(&mut store, setup.store_odds, seed ^ u64::from(life), 3);
        let crashes = life < setup.crashes;
        draw = live(&setup, Tiny::new(seed), draw, &mut faulty, (crashes, ticks), &mut tally)?;
        store.crash();
        tally.crashes += u64::from(crashes);
    }
    Ok(tally)
}

/// One kernel, from its boot to its end, or until the machine stops amid its work.
fn live(
    setup: &Setup,
    model: Tiny,
    draw: Draw,
    store: &mut dyn ColdStore,
    (crashes, ticks): (bool, &Cell<u64>),
    tally: &mut Tally,
) -> Result<Draw, String> {
    let before = ticks.get();
    let limits = setup.config.device_limits(&SHAPE);
    let nothing = Outcome { row: 0, candidates: 0, log_sum_exp: 0.0, entropy: 0.0, scored: 0.0 };
    let mut outcomes = vec![nothing; limits.outcomes as usize];
    let mut candidates =
        vec![Candidate { token: 0, logit: 0.0 }; (limits.outcomes * limits.candidates) as usize];
    let mut image = vec![0; page::image_bytes(&SHAPE, limits.kv)];
    let scratch = Scratch { outcomes: &mut outcomes, candidates: &mut candidates, image: &mut image };
    let mut device = FaultDevice::new(Reference::new(DEVICE_BYTES), setup.faults, scratch);
    model.prepare(&mut device, &limits);
    let mut boot = Boot::new(setup.config, &SHAPE, tiny::delimiters(), setup.ends.clone());
    let kernel = boot.kernel(&[0; 32]).map_err(|error| error.to_string())?;
    let mut world = World::new(setup, draw, &model, kernel, device, store, ticks);
    world.live()?;
    if crashes {
        world.compare()?;
    } else if world.draw.per_mille(100) {
        world.halt()?;
        world.compare()?;
    } else {
        world.wind_up()?;
        world.compare()?;
        world.clear()?;
    }
    world.tally.ticks -= before;
    tally.add(&world.tally);
    Ok(world.draw)
}
