//! What slices are worth to the cold store: the attention that they drew.
//!
//! When an agent is over, each of its slices is weighed by the attention that it drew there, as a multiple of an even
//! share, so that long contexts and short ones can be compared. The store is told once it has the slice.

use agentos_hal::ColdStore;

use crate::memory::pager::Pager;
use crate::memory::slices::{Kept, Slice, SliceId};
use crate::memory::table::{Fidelity, Mapping};

/// What there is to tell the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drawn {
    /// Nothing.
    #[default]
    Nothing,
    /// What slices drew that it may have.
    Something,
    /// What slices drew that are on their way to it.
    Later,
}

/// The weights of a context's slices, the last one first: the attention that each drew, as a multiple of what all behind
/// the sink would have if they had the same. What is computed behind a slice is found only through it, so it weighs no
/// less than that. None where nothing was counted.
pub fn weights(table: &[Mapping]) -> impl Iterator<Item = (SliceId, f32)> {
    // What falls to the sink says nothing of what the others hold.
    let behind = table.iter().filter(|mapping| mapping.base > 0);
    let (total, count) =
        behind.fold((0.0, 0.0), |(total, count), mapping| (total + mapping.mass as f32, count + 1.0));
    let even = total / f32::max(count, 1.0);
    let table = if even > 0.0 { table } else { &[] };
    table.iter().rev().scan(0.0, move |chain: &mut f32, mapping| {
        let own = mapping.mass as f32 / even;
        let weight = if mapping.fidelity == Fidelity::Exact {
            *chain = chain.max(own);
            *chain
        } else {
            own
        };
        Some((mapping.slice, weight))
    })
}

impl Pager<'_> {
    /// Notes what a slice drew. Of several contexts the one counts in which it was most.
    pub fn note_drawn(&mut self, id: SliceId, weight: f32) {
        let slice = self.slices.get_mut(id);
        slice.drawn = slice.drawn.max(weight);
    }

    /// Tells the store what slices drew that are not on their way to it. Returns what is left to tell.
    pub fn tell_drawn(&mut self, store: &mut dyn ColdStore) -> Drawn {
        let mut left = Drawn::Nothing;
        let mut tell = |slice: &mut Slice| {
            if matches!(slice.kept, Kept::Queued | Kept::Handed) {
                left = Drawn::Later;
                return;
            }
            if slice.hash.is_some() {
                store.weigh(&slice.key(slice.kept_packed), slice.drawn);
            }
            slice.drawn = 0.0;
        };
        self.slices.for_each_mut(|slice| slice.drawn > 0.0, &mut tell);
        left
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::memory::table::VACANT_MAPPING;

    fn of(masses: &[(u64, Fidelity)]) -> Vec<f32> {
        let mapping = |(at, &(mass, fidelity)): (u32, &(u64, Fidelity))| Mapping {
            slice: SliceId(at),
            base: at * 8,
            mass,
            fidelity,
            ..VACANT_MAPPING
        };
        let table: Vec<Mapping> = (0..).zip(masses).map(mapping).collect();
        let mut found: Vec<f32> = weights(&table).map(|(_, weight)| weight).collect();
        found.reverse();
        found
    }

    #[test]
    fn slices_weigh_what_they_drew_and_no_less_than_what_is_behind_them() {
        use Fidelity::{Exact, Relocated};
        // The sink has most of all; of the rest, which have 40 together, 10 would be even.
        assert_eq!(
            of(&[(400, Exact), (10, Exact), (5, Exact), (25, Exact), (0, Exact)]),
            [40.0, 2.5, 2.5, 2.5, 0.0]
        );
        // What was computed elsewhere is found without what is before it here.
        assert_eq!(
            of(&[(1, Exact), (2, Exact), (6, Relocated), (1, Exact)]),
            [2.0 / 3.0, 2.0 / 3.0, 2.0, 1.0 / 3.0]
        );
        assert_eq!(of(&[(9, Exact), (0, Exact)]), [0.0; 0]);
        assert_eq!(of(&[]), [0.0; 0]);
    }
}
