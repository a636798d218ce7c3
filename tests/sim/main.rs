//! Whole systems of agents, each made, hindered and judged by one seed. `cargo xtask sim` runs many more.

mod act;
mod alone;
mod check;
mod clock;
mod draw;
mod ending;
mod life;
mod seed;
mod setup;
mod tally;
mod tiny;
mod world;

use seed::{keep_panics, simulate};
use tally::Tally;

/// Every kind of thing that a simulation counts happens: what nothing ever reaches is not tested.
#[test]
fn two_hundred_seeds_break_nothing_and_meet_everything() {
    keep_panics();
    let mut met = Tally::default();
    for seed in 0..200 {
        match simulate(seed) {
            Ok(tally) => met.add(&tally),
            Err(broken) => {
                // The hook above keeps what a panic says.
                println!("{broken}");
                panic!("{broken}");
            }
        }
    }
    println!("{met:?}");
    let missing: Vec<&str> =
        met.counts().iter().filter(|(_, count)| *count == 0).map(|(name, _)| *name).collect();
    assert!(missing.is_empty(), "200 seeds met no {missing:?}");
}

#[test]
fn a_seed_is_one_simulation() {
    for seed in 0..5 {
        let run = || simulate(seed).map_err(|broken| broken.to_string());
        assert_eq!(run(), run(), "seed {seed}");
    }
}
