//! Which slices a bounded agent keeps: a pure function of its own page table, so that what it sees
//! depends on its quota and on nobody else.
//!
//! The first slice is the sink that attention returns to and always stays. Half of the quota is for
//! the latest slices. Of the rest, those go first that were relevant longest ago (paper algorithm 2,
//! with relevance for recency). A policy that brings slices back sets `selected` again; the pager does
//! the rest.

use super::slices::SliceId;
use super::table::Mapping;

/// A policy that marks what the next rows attend to. It is called when a slice begins, with the table
/// before it, and `pages_of` says how many pages a slice has; the selected ones may have at most `quota`
/// pages together.
pub type Policy = fn(table: &mut [Mapping], pages_of: &dyn Fn(SliceId) -> u32, quota: u32);

/// A slice is relevant while it holds more than this share of the mass that an even distribution would
/// give it, in quarters.
const RELEVANT_QUARTERS: u64 = 2;

/// Notes at `address` which slices were relevant since the last call, and starts counting anew.
pub fn note_relevance(table: &mut [Mapping], address: u32) {
    let total: u64 = table.iter().map(|mapping| mapping.mass).sum();
    let share = total / (table.len().max(1) as u64);
    for mapping in table {
        if total > 0 && mapping.mass >= share / 4 * RELEVANT_QUARTERS {
            mapping.relevant = address;
        }
        mapping.mass = 0;
    }
}

/// Keeps the sink, the latest slices within half of the quota, what is pinned, and then what was
/// relevant last.
pub fn least_recently_relevant(table: &mut [Mapping], pages_of: &dyn Fn(SliceId) -> u32, quota: u32) {
    let selected = table.iter().filter(|mapping| mapping.selected);
    let mut used: u32 = selected.map(|mapping| pages_of(mapping.slice)).sum();
    while used > quota {
        let recent = recent_from(table, pages_of, quota / 2);
        let oldest = (1..recent)
            .filter(|&index| table[index].selected && !table[index].pinned)
            .min_by_key(|&index| (table[index].relevant, table[index].base));
        // A quota holds the sink and two slices of any length, so only pins can use it up.
        let Some(index) = oldest.or_else(|| (1..table.len()).find(|&index| table[index].selected)) else {
            return;
        };
        table[index].selected = false;
        used -= pages_of(table[index].slice);
    }
}

/// The first of the latest entries that together have at most `pages` pages.
fn recent_from(table: &[Mapping], pages_of: &dyn Fn(SliceId) -> u32, pages: u32) -> usize {
    let mut used = 0;
    let mut first = table.len();
    while first > 0 {
        used += pages_of(table[first - 1].slice);
        if used > pages {
            break;
        }
        first -= 1;
    }
    first
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::table::VACANT_MAPPING;
    use super::*;

    fn table(relevant: &[u32]) -> Vec<Mapping> {
        let entry = |(index, &relevant): (usize, &u32)| Mapping {
            base: index as u32 * 16,
            relevant,
            ..VACANT_MAPPING
        };
        relevant.iter().enumerate().map(entry).collect()
    }

    fn selected(table: &[Mapping]) -> Vec<usize> {
        (0..table.len()).filter(|&index| table[index].selected).collect()
    }

    #[test]
    fn the_sink_the_latest_and_the_relevant_stay() {
        let mut table = table(&[0, 5, 90, 10, 20, 30, 0, 0]);
        least_recently_relevant(&mut table, &|_| 2, 10);
        // Ten pages: five slices. The last two fit half of the quota.
        assert_eq!(selected(&table), [0, 2, 5, 6, 7]);
    }

    #[test]
    fn what_is_pinned_outlives_what_was_relevant() {
        let mut table = table(&[0, 1, 90, 80, 0, 0]);
        table[1].pinned = true;
        least_recently_relevant(&mut table, &|_| 1, 4);
        assert_eq!(selected(&table), [0, 1, 4, 5]);
    }

    #[test]
    fn relevance_is_a_share_of_the_mass() {
        let mut table = table(&[0, 0, 0, 0]);
        for (mapping, mass) in table.iter_mut().zip([1000, 10, 300, 90]) {
            mapping.mass = mass;
        }
        note_relevance(&mut table, 77);
        let relevant: Vec<u32> = table.iter().map(|mapping| mapping.relevant).collect();
        assert_eq!(relevant, [77, 0, 77, 0]);
        note_relevance(&mut table, 99);
        assert!(table.iter().all(|mapping| mapping.relevant != 99 && mapping.mass == 0));
    }
}
