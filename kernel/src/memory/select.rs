//! Which slices a bounded agent attends to: a pure function of its own page table, so that what it sees
//! depends on its tokens and its quota and on nobody else.
//!
//! The first slice is the sink that attention returns to and always stays, as does what is being written.
//! Then come what is pinned, the latest slices, within a share of the quota, and then the rest by rank
//! (paper algorithm 2, with relevance for recency). Where relevance ranks, a share is for those that held most
//! attention, whatever is looked for.

use super::table::Mapping;

/// By what slices are ranked that are neither pinned nor among the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// By the softmax of the agent's last queries with their mean keys (see
    /// [`relevance`](super::relevance)). Where there are no mean keys, [`Policy::Recency`].
    Relevance,
    /// By when they last held much attention. What is left out holds none, and never comes back: the
    /// heavy-hitter baseline.
    Recency,
    /// By their addresses: a window behind the sink.
    Window,
}

/// What a choice has to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Pages that the selected slices may have together.
    pub pages: u32,
    /// Pages of the latest slices that stay whatever their rank.
    pub window: u32,
    /// Pages of those that held most attention, where relevance chooses the rest.
    pub held: u32,
    /// The first entry of those behind it, all of which stay.
    pub kept: usize,
    /// What a selected slice's score is multiplied by: another has to be better by this to take its place.
    pub hysteresis: f32,
}

/// A slice is relevant while it holds more than this share of the mass that an even distribution would
/// give it, in quarters.
const RELEVANT_QUARTERS: u64 = 2;

/// Notes at `address` which slices were relevant since the last call, and starts counting anew.
pub fn note_relevance(table: &mut [Mapping], address: u32) {
    let total = table.iter().fold(0, |sum: u64, mapping| sum.saturating_add(mapping.mass));
    let share = total / (table.len().max(1) as u64);
    for mapping in table {
        if total > 0 && mapping.mass >= share / 4 * RELEVANT_QUARTERS {
            mapping.relevant = address;
        }
        mapping.mass = 0;
    }
}

/// Halves what slices held: what they held before the last choice counts half of what they held since.
pub fn fade(table: &mut [Mapping]) {
    table.iter_mut().for_each(|mapping| mapping.mass /= 2);
}

/// Selects what the next rows attend to. Returns how many slices are new among the selected, which
/// [`Mapping::came`] says of each.
pub fn select(table: &mut [Mapping], policy: Policy, room: Room) -> u32 {
    let known = table.iter().filter(|mapping| !mapping.forgotten);
    let all: u32 = known.map(|mapping| u32::from(mapping.pages)).sum();
    let wants_all = all <= room.pages;
    table.iter_mut().for_each(|mapping| mapping.wanted = wants_all && !mapping.forgotten);
    if !wants_all {
        let left = keep(table, room);
        let held = if policy == Policy::Relevance { room.held.min(left) } else { 0 };
        let spare = fill(table, left - held, policy == Policy::Relevance, |mapping| match policy {
            Policy::Relevance => {
                let score = mapping.score * if mapping.selected { room.hysteresis } else { 1.0 };
                (in_order(score), 0)
            }
            Policy::Recency if !mapping.selected => (0, 0),
            Policy::Recency => (u64::from(mapping.relevant) + 1, 0),
            Policy::Window => (0, 0),
        });
        if held > 0 {
            fill(table, spare + held, true, |mapping| (mapping.mass, in_order(mapping.score)));
        }
    }
    let mut new = 0;
    for mapping in table {
        mapping.came = mapping.wanted && !mapping.selected;
        mapping.selected = mapping.wanted;
        new += u32::from(mapping.came);
    }
    new
}

/// Wants what stays whatever its rank; returns the pages that are left.
fn keep(table: &mut [Mapping], room: Room) -> u32 {
    let mut left = room.pages;
    let mut want = |mapping: &mut Mapping, must: bool| {
        let pages = u32::from(mapping.pages);
        let fits = !mapping.forgotten && (mapping.wanted || must || pages <= left);
        if fits && !mapping.wanted {
            left = left.saturating_sub(pages);
            mapping.wanted = true;
        }
        fits
    };
    let (before, kept) = table.split_at_mut(room.kept.min(table.len()));
    for mapping in kept {
        want(mapping, true);
    }
    if let Some(sink) = before.first_mut() {
        want(sink, true);
    }
    for mapping in before.iter_mut().rev().filter(|mapping| mapping.pinned) {
        want(mapping, false);
    }
    let mut window = room.window;
    for mapping in before.iter_mut().rev().filter(|mapping| !mapping.forgotten) {
        match window.checked_sub(u32::from(mapping.pages)) {
            Some(rest) if want(mapping, false) => window = rest,
            _ => break,
        }
    }
    left
}

/// Wants the others by their rank, the later one of equals, as long as one fits: also such as are not selected, if
/// those come `back`. Returns the pages that are left.
fn fill(table: &mut [Mapping], mut left: u32, back: bool, rank: impl Fn(&Mapping) -> (u64, u64)) -> u32 {
    loop {
        let fits = |mapping: &&mut Mapping| {
            !mapping.wanted && !mapping.forgotten && u32::from(mapping.pages) <= left
        };
        let best = table.iter_mut().filter(fits).max_by_key(|mapping| (rank(mapping), mapping.base));
        // If the best is not selected, nothing is left that still is.
        let Some(best) = best.filter(|best| back || best.selected) else { return left };
        best.wanted = true;
        left -= u32::from(best.pages);
    }
}

/// What share of the attention that the agent's last queries would give to slices falls on the selected ones, in
/// millionths; `None` where they would give none to any.
pub fn coverage(table: &[Mapping]) -> Option<u32> {
    let sum = |of: &dyn Fn(&Mapping) -> bool| -> f64 {
        table.iter().filter(|mapping| of(mapping)).map(|mapping| f64::from(mapping.score.max(0.0))).sum()
    };
    let (selected, all) = (sum(&|mapping| mapping.selected), sum(&|_| true));
    (all > 0.0 && all.is_finite()).then(|| (selected / all * 1e6) as u32)
}

/// A score as a number of the same order: of numbers that are not negative the greater one has the greater bits.
fn in_order(score: f32) -> u64 {
    u64::from(score.max(0.0).to_bits())
}

/// Links every entry to the selected one behind it (see [`Mapping::next`]).
pub fn link(table: &mut [Mapping]) {
    let mut next = table.len() as u32;
    for (entry, mapping) in table.iter_mut().enumerate().rev() {
        mapping.next = next;
        if mapping.selected {
            next = entry as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::table::VACANT_MAPPING;
    use super::*;

    fn table(scores: &[u32], pages: u8) -> Vec<Mapping> {
        let entry = |(index, &score): (usize, &u32)| Mapping {
            base: index as u32 * 16,
            relevant: score,
            score: score as f32,
            pages,
            ..VACANT_MAPPING
        };
        scores.iter().enumerate().map(entry).collect()
    }

    fn selected(table: &[Mapping]) -> Vec<usize> {
        (0..table.len()).filter(|&index| table[index].selected).collect()
    }

    fn room(table: &[Mapping], pages: u32, window: u32) -> Room {
        Room { pages, window, held: 0, kept: table.len() - 1, hysteresis: 1.5 }
    }

    #[test]
    fn the_sink_the_latest_and_the_relevant_stay() {
        for policy in [Policy::Relevance, Policy::Recency] {
            let mut table = table(&[0, 5, 90, 10, 20, 30, 0, 0], 2);
            let room = room(&table, 10, 3);
            assert_eq!(select(&mut table, policy, room), 0);
            // Ten pages: five slices. The last two are the one that is written and the window.
            assert_eq!(selected(&table), [0, 2, 5, 6, 7], "{policy:?}");
            assert_eq!(coverage(&table), Some(774_193), "120 of 155");
        }
        let mut table = table(&[0, 5, 90, 10, 20, 30, 0, 0], 2);
        let room = room(&table, 10, 3);
        select(&mut table, Policy::Window, room);
        assert_eq!(selected(&table), [0, 4, 5, 6, 7]);
    }

    #[test]
    fn nothing_is_covered_where_nobody_looks() {
        assert_eq!(coverage(&table(&[0, 0], 1)), None);
        assert_eq!(coverage(&[]), None);
        let mut all = table(&[3, 1], 1);
        all.iter_mut().for_each(|mapping| mapping.selected = true);
        assert_eq!(coverage(&all), Some(1_000_000));
    }

    #[test]
    fn what_is_pinned_outlives_what_was_relevant() {
        let mut table = table(&[0, 1, 90, 80, 0, 0], 1);
        table[1].pinned = true;
        let room = room(&table, 4, 2);
        select(&mut table, Policy::Recency, room);
        assert_eq!(selected(&table), [0, 1, 4, 5]);
    }

    #[test]
    fn only_relevance_brings_back_and_only_for_what_is_clearly_better() {
        for (score, found) in [(31, [0, 3, 4]), (46, [0, 1, 4])] {
            let mut table = table(&[0, score, 10, 30, 0], 1);
            table[1].selected = false;
            let room = room(&table, 3, 0);
            let new = select(&mut table, Policy::Relevance, room);
            assert_eq!((selected(&table), new), (found.to_vec(), u32::from(score == 46)));
        }
        for policy in [Policy::Recency, Policy::Window] {
            let mut table = table(&[0, 99, 10, 30, 0], 1);
            table[1].selected = false;
            let room = room(&table, 4, 0);
            assert_eq!((select(&mut table, policy, room), selected(&table)), (0, [0, 2, 3, 4].to_vec()));
        }
    }

    #[test]
    fn what_is_forgotten_never_comes_back() {
        for (policy, pages) in [(Policy::Relevance, 3), (Policy::Relevance, 9), (Policy::Window, 3)] {
            let mut table = table(&[0, 99, 10, 98, 0], 1);
            for entry in [1, 3] {
                (table[entry].selected, table[entry].forgotten) = (false, true);
            }
            let room = room(&table, pages, 1);
            assert_eq!((select(&mut table, policy, room), selected(&table)), (0, [0, 2, 4].to_vec()));
        }
    }

    #[test]
    fn a_part_is_for_what_held_most_attention() {
        for (held, expected) in [(0, [0, 2, 3, 5]), (1, [0, 1, 2, 5]), (2, [0, 1, 4, 5]), (9, [0, 1, 4, 5])] {
            let mut table = table(&[0, 5, 90, 80, 0, 0], 1);
            for (mapping, mass) in table.iter_mut().zip([0, 4000, 10, 10, 3000, 0]) {
                mapping.mass = mass;
            }
            let room = Room { held, ..room(&table, 4, 0) };
            select(&mut table, Policy::Relevance, room);
            assert_eq!(selected(&table), expected, "{held}");
            fade(&mut table);
            assert_eq!((table[1].mass, table[2].mass), (2000, 5));
        }
    }

    #[test]
    fn where_nothing_is_known_to_have_held_any_it_is_for_the_relevant() {
        let mut table = table(&[0, 5, 90, 80, 0, 0], 1);
        let room = Room { held: 2, ..room(&table, 4, 0) };
        select(&mut table, Policy::Relevance, room);
        assert_eq!(selected(&table), [0, 2, 3, 5]);
    }

    #[test]
    fn relevance_is_a_share_of_the_mass() {
        let mut table = table(&[0, 0, 0, 0], 1);
        for (mapping, mass) in table.iter_mut().zip([1000, 10, 300, 90]) {
            mapping.mass = mass;
        }
        note_relevance(&mut table, 77);
        let relevant: Vec<u32> = table.iter().map(|mapping| mapping.relevant).collect();
        assert_eq!(relevant, [77, 0, 77, 0]);
        note_relevance(&mut table, 99);
        assert!(table.iter().all(|mapping| mapping.relevant != 99 && mapping.mass == 0));
    }

    /// A mass stays at the largest when that is passed, and a checkpoint may say so of each.
    #[test]
    fn the_largest_masses_add_up_to_the_largest() {
        let mut table = table(&[0, 0], 1);
        table.iter_mut().for_each(|mapping| mapping.mass = u64::MAX);
        note_relevance(&mut table, 7);
        assert!(table.iter().all(|mapping| mapping.relevant == 7));
    }

    proptest! {
        /// Whatever the scores: no more pages than there is room for, the sink and what is written among them,
        /// and nothing left out that would fit and is more relevant than what is in.
        #[test]
        fn the_room_is_kept_and_used(
            slices in proptest::collection::vec((0u32..50, 1u8..=8, any::<bool>()), 2..60),
            pages in 24u32..64, window in 0u32..12
        ) {
            let mut table = table(&slices.iter().map(|slice| slice.0).collect::<Vec<_>>(), 0);
            for (mapping, &(_, pages, selected)) in table.iter_mut().zip(&slices) {
                (mapping.pages, mapping.selected) = (pages, selected);
            }
            let room = room(&table, pages, window);
            let before = selected(&table);
            let new = select(&mut table, Policy::Relevance, room);
            let used: u32 =
                table.iter().filter(|mapping| mapping.selected).map(|mapping| u32::from(mapping.pages)).sum();
            prop_assert!(used <= pages);
            prop_assert!(table[0].selected && table[table.len() - 1].selected);
            let came = selected(&table).iter().filter(|entry| !before.contains(entry)).count();
            prop_assert_eq!(new as usize, came);
            let out = table.iter().filter(|mapping| !mapping.selected);
            prop_assert!(out.clone().all(|mapping| u32::from(mapping.pages) > pages - used));
            link(&mut table);
            let linked: Vec<usize> =
                core::iter::successors(Some(0), |&entry: &usize| Some(table.get(entry)?.next as usize))
                    .take_while(|&entry| entry < table.len()).collect();
            prop_assert_eq!(linked, selected(&table));
        }
    }
}
