//! Pages that are on their way while agents go on.

use super::*;

/// A tick on a device that takes its time for most pages.
pub fn slow_tick(rig: &mut Rig, at: u32) -> Tick {
    rig.device.copies.clear();
    rig.device.copies.extend((0..at % 4).map(|_| None));
    rig.tick()
}

fn run_slowly(rig: &mut Rig) {
    assert!((0..100_000).any(|at| slow_tick(rig, at) == Tick::Idle), "still not done");
}

#[test]
fn nobody_writes_into_a_slice_that_is_leaving() {
    // Texts that begin alike, in little page memory: some are ahead, and others come to what those have begun.
    let texts = |family: u32, len: usize| prompt(9 + family, 200)[..len].to_vec();
    for seed in 0..150u32 {
        let config = Config { rows: 24, quantum_rows: 16, ..Config::new(8, 300, 56 + seed % 9, 600) };
        let mut rig = Rig::new(config.checked());
        let mut told = Vec::new();
        for tag in 1..9u32 {
            let drawn = |of: u32, below: u32| {
                (crate::random::unit(u64::from(seed * 16 + tag), u64::from(of)) * f64::from(below)) as u32
            };
            let (family, len) = (drawn(1, 3), 120 + drawn(2, 80) as usize);
            let on_end = if drawn(3, 2) == 0 { OnEnd::Listen } else { OnEnd::Stop };
            let said = Spec { context: 220, on_end, ..spec(tag.into(), 12) };
            rig.spawn(&said, &texts(family, len));
            told.push((said, texts(family, len)));
            for at in 0..drawn(4, 60) {
                let _ = slow_tick(&mut rig, at);
            }
        }
        run_slowly(&mut rig);
        for (said, text) in told {
            assert_eq!(rig.texts[&said.tag], alone(&said, &text), "seed {seed}");
        }
    }
}
