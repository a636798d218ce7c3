//! Files that are almost right: whatever was done to the fixture, it is refused or consistent.

mod common;

use proptest::prelude::*;

const FILE: &[u8] = include_bytes!("fixtures/types.gguf");

/// Where the fixture's tensor bytes begin: a change behind it changes no structure.
const STRUCTURE: usize = 1856;

#[derive(Clone, Debug)]
enum Damage {
    /// One byte becomes another.
    Byte(usize, u8),
    /// Eight bytes become a number that is likely to matter as a length, count or offset.
    Number(usize, u64),
    /// Bytes are copied over others.
    Copy(usize, usize, usize),
    /// Bytes vanish.
    Cut(usize, usize),
    /// Zeros appear.
    Insert(usize, usize),
    /// The file ends.
    Truncate(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0..STRUCTURE;
    let number = prop_oneof![
        0u64..100,
        any::<u64>(),
        (0u32..64).prop_map(|bit| 1 << bit),
        (0u32..64).prop_map(|bit| u64::MAX >> bit),
    ];
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (at.clone(), number).prop_map(|(at, number)| Damage::Number(at, number)),
        (at.clone(), at.clone(), 1..64usize).prop_map(|(from, to, len)| Damage::Copy(from, to, len)),
        (at.clone(), 1..64usize).prop_map(|(at, len)| Damage::Cut(at, len)),
        (at, 1..64usize).prop_map(|(at, len)| Damage::Insert(at, len)),
        (0..FILE.len()).prop_map(Damage::Truncate),
    ]
}

fn apply(file: &mut Vec<u8>, damage: &Damage) {
    let end = file.len();
    match *damage {
        Damage::Byte(at, byte) if at < end => file[at] = byte,
        Damage::Number(at, number) if at + 8 <= end => {
            file[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        Damage::Copy(from, to, len) if from.max(to) + len <= end => file.copy_within(from..from + len, to),
        Damage::Cut(at, len) if at + len <= end => drop(file.drain(at..at + len)),
        Damage::Insert(at, len) if at <= end => drop(file.splice(at..at, vec![0; len])),
        Damage::Truncate(len) => file.truncate(len),
        // It hits what an earlier damage has taken away.
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_refused_or_consistent(damages in prop::collection::vec(damage(), 1..4)) {
        let mut file = FILE.to_vec();
        for damage in &damages {
            apply(&mut file, damage);
        }
        common::walk::walk(&file);
    }

    #[test]
    fn noise_behind_a_true_beginning_is_refused_or_consistent(
        pairs in 0u64..4,
        tensors in 0u64..4,
        noise in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => 0u8..16, 1 => any::<u8>()], 0..512),
    ) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(tensors.to_le_bytes());
        file.extend(pairs.to_le_bytes());
        file.extend(noise);
        common::walk::walk(&file);
    }
}
