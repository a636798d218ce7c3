//! Whether an agent's declared memory fits: decided when it is spawned, so that nobody dies of
//! somebody else's needs later.

use agentos_hal::PAGE_TOKENS;

use super::slices::SLICE_PAGES;
use crate::agent::{MemoryMode, Received};
use crate::layout::SliceLimits;

/// Pages that are never promised: with so many free in the two tiers together, a slice of either tier
/// can always be brought to the other.
pub const SPARE_PAGES: u32 = 2 * SLICE_PAGES as u32;

/// Fewest pages of a bounded agent: its first slice, the latest one, and the one being written.
pub const LEAST_BOUNDED: u32 = 3 * SLICE_PAGES as u32;

/// The pages that there are, and those that were promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Pages of page memory that an agent can have at most.
    pub l1: u32,
    /// Lossless frames of the arena.
    pub l2: u32,
    /// Pages of both promised to the agents that are admitted.
    pub promised: u32,
    /// Packed frames of the arena.
    pub packed: u32,
    /// Packed frames promised to the agents that are admitted.
    pub promised_packed: u32,
}

/// What an agent is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Pages of its whole context, in all tiers.
    pub pages: u32,
    /// What it does not attend to is packed: as many packed frames are its own, and as it is it has its quota only.
    pub packs: bool,
}

impl Promise {
    /// What an agent has that is not admitted.
    pub const NONE: Promise = Promise { pages: 0, packs: false };

    /// Pages of page memory and lossless frames.
    pub const fn lossless(self, memory: MemoryMode) -> u32 {
        match memory {
            MemoryMode::Bounded { pages, .. } if self.packs && pages < self.pages => pages,
            _ => self.pages,
        }
    }

    /// Packed frames.
    pub const fn packed(self) -> u32 {
        if self.packs { self.pages } else { 0 }
    }
}

/// What an agent declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Most tokens of its context.
    pub context: u32,
    /// What becomes of what does not fit page memory.
    pub memory: MemoryMode,
}

/// Why an agent does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Not even alone: its working set is larger than page memory, or its context than all memory.
    Never {
        /// Pages that it needs, however its slices fall.
        pages: u32,
        /// Pages that there are for one agent.
        available: u32,
        /// Tokens of context that would fit.
        fits_tokens: u32,
    },
    /// Not beside those that were admitted.
    Now {
        /// Pages that it needs, however its slices fall.
        pages: u32,
        /// Pages that are not promised.
        available: u32,
        /// Tokens of context that would fit.
        fits_tokens: u32,
    },
    /// Its quota is too small to work in.
    Quota {
        /// Pages of the quota.
        pages: u32,
        /// The least that would do.
        least: u32,
    },
    /// Its quota is more than the model was trained to attend to.
    Beyond {
        /// Pages of the quota.
        pages: u32,
        /// The most that the model attends to.
        most: u32,
    },
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Unfit::Never { pages, available, fits_tokens } => write!(
                f,
                "its context needs up to {pages} pages and there are {available} for one agent; \
                 a context of {fits_tokens} tokens would fit"
            ),
            Unfit::Now { pages, available, fits_tokens } => write!(
                f,
                "its context needs up to {pages} pages and {available} are not promised to others; \
                 a context of {fits_tokens} tokens would fit now"
            ),
            Unfit::Quota { pages, least } => {
                write!(f, "a quota of {pages} pages is too small to work in; {least} would fit")
            }
            Unfit::Beyond { pages, most } => write!(
                f,
                "a quota of {pages} pages is more than the model was trained to attend to; {most} would fit"
            ),
        }
    }
}

/// The pages to be promised to an agent. One whose pages may be packed has packed frames for all of them if so many are
/// there, and is else as one whose pages may not.
///
/// # Errors
/// [`Unfit`].
pub fn admit(demand: Demand, capacity: Capacity, limits: SliceLimits) -> Result<Promise, Unfit> {
    let pages = limits.worst_pages(demand.context);
    let total = (capacity.l1 + capacity.l2).saturating_sub(SPARE_PAGES);
    let packs = admit_packed(demand, capacity, limits);
    if let Some(Ok(promise)) = packs {
        return Ok(promise);
    }
    let alone = match demand.memory {
        MemoryMode::Exact => capacity.l1.min(total),
        MemoryMode::Bounded { pages, .. } => {
            if pages < LEAST_BOUNDED || pages > capacity.l1 {
                let least = LEAST_BOUNDED;
                return Err(Unfit::Quota { pages, least });
            }
            total
        }
    };
    if pages > alone {
        let fits_tokens = tokens_within(alone, limits);
        let never = Unfit::Never { pages, available: alone, fits_tokens };
        return packs.unwrap_or(Err(never));
    }
    let available = total.saturating_sub(capacity.promised);
    if pages > available {
        let fits_tokens = tokens_within(available.min(alone), limits);
        return Err(Unfit::Now { pages, available, fits_tokens });
    }
    Ok(Promise { pages, packs: false })
}

/// As [`admit`], for an agent that packs; `None` where it can never be one.
fn admit_packed(demand: Demand, capacity: Capacity, limits: SliceLimits) -> Option<Result<Promise, Unfit>> {
    let MemoryMode::Bounded { pages: quota, packed: true } = demand.memory else { return None };
    let promise = Promise { pages: limits.worst_pages(demand.context), packs: true };
    let total = (capacity.l1 + capacity.l2).saturating_sub(SPARE_PAGES);
    let (lossless, packed) = (promise.lossless(demand.memory), promise.packed());
    if !(LEAST_BOUNDED..=capacity.l1).contains(&quota) || lossless > total || packed > capacity.packed {
        return None;
    }
    let left = total.saturating_sub(capacity.promised);
    let left_packed = capacity.packed.saturating_sub(capacity.promised_packed);
    let now =
        |pages, available| Unfit::Now { pages, available, fits_tokens: tokens_within(available, limits) };
    Some(if lossless > left {
        Err(now(lossless, left))
    } else if packed > left_packed {
        Err(now(packed, left_packed))
    } else {
        Ok(promise)
    })
}

/// Whether an agent can be sent slices: they end slices of its own early, which costs table entries and
/// pages, and neither may become more than what its context was promised. `slices` and `pages` are what it
/// has of both for its whole context.
pub fn maps(received: &Received, context: u32, limits: SliceLimits, slices: u32, pages: u32) -> bool {
    let Some(own) = context.checked_sub(received.tokens) else { return false };
    // Its own tokens stand before, between and behind the runs, and each of these parts may end with a
    // slice that is shorter than others.
    let own_slices = u64::from(own / limits.min()) + u64::from(received.runs) + 1;
    // A slice leaves less than a page empty.
    let waste = PAGE_TOKENS as u64 - 1;
    let own_pages = (u64::from(own) + own_slices * waste) / PAGE_TOKENS as u64;
    u64::from(received.slices) + own_slices <= u64::from(slices)
        && u64::from(received.pages) + own_pages <= u64::from(pages)
}

/// Most tokens whose pages fit, however their slices fall.
pub fn tokens_within(pages: u32, limits: SliceLimits) -> u32 {
    let (mut fits, mut beyond) = (0, pages.saturating_mul(PAGE_TOKENS as u32) + 1);
    while beyond - fits > 1 {
        let middle = fits + (beyond - fits) / 2;
        if limits.worst_pages(middle) <= pages { fits = middle } else { beyond = middle }
    }
    fits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: SliceLimits = SliceLimits::DEFAULT;
    const EXACT: MemoryMode = MemoryMode::Exact;

    fn capacity(l1: u32, l2: u32, promised: u32) -> Capacity {
        Capacity { l1, l2, promised, packed: 0, promised_packed: 0 }
    }

    #[test]
    fn a_refusal_says_what_would_fit() {
        let demand = |context| Demand { context, memory: EXACT };
        let alone = capacity(128, 500, 0);
        let Err(Unfit::Never { fits_tokens, .. }) = admit(demand(5000), alone, LIMITS) else { panic!() };
        assert!(admit(demand(fits_tokens), alone, LIMITS).is_ok());
        assert!(admit(demand(fits_tokens + 1), alone, LIMITS).is_err());
        let crowded = capacity(128, 500, 600);
        let Err(Unfit::Now { fits_tokens, .. }) = admit(demand(100), crowded, LIMITS) else { panic!() };
        assert!(admit(demand(fits_tokens), crowded, LIMITS).is_ok());
        assert!(admit(demand(fits_tokens + 1), crowded, LIMITS).is_err());
    }

    #[test]
    fn a_bounded_agent_may_be_longer_than_page_memory() {
        let bounded = |pages| Demand { context: 2000, memory: MemoryMode::Bounded { pages, packed: false } };
        let capacity = capacity(64, 1000, 0);
        let pages = LIMITS.worst_pages(2000);
        assert_eq!(admit(bounded(32), capacity, LIMITS), Ok(Promise { pages, packs: false }));
        assert!(matches!(admit(bounded(8), capacity, LIMITS), Err(Unfit::Quota { pages: 8, least: 24 })));
        assert!(matches!(admit(bounded(65), capacity, LIMITS), Err(Unfit::Quota { .. })));
    }

    #[test]
    fn who_packs_is_promised_its_quota_and_packed_frames() {
        let memory = MemoryMode::Bounded { pages: 32, packed: true };
        let demand = Demand { context: 2000, memory };
        let pages = LIMITS.worst_pages(2000);
        let with =
            |l2, packed, promised| admit(demand, Capacity { packed, ..capacity(64, l2, promised) }, LIMITS);
        let packs = Promise { pages, packs: true };
        assert_eq!((packs.lossless(memory), packs.packed()), (32, pages));
        assert_eq!(with(0, pages, 64 - SPARE_PAGES - 32), Ok(packs));
        // One more page is promised, or one frame; or one is missing, and it is as one that does not pack.
        assert!(matches!(with(0, pages, 64 - SPARE_PAGES - 31), Err(Unfit::Now { available: 31, .. })));
        let crowded = Capacity { packed: pages + 9, promised_packed: 10, ..capacity(64, 0, 0) };
        let Err(Unfit::Now { available, fits_tokens, .. }) = admit(demand, crowded, LIMITS) else { panic!() };
        assert_eq!(available, pages - 1);
        assert!(admit(Demand { context: fits_tokens, memory }, crowded, LIMITS).is_ok());
        assert!(matches!(with(0, pages - 1, 0), Err(Unfit::Never { .. })));
        let plain = Promise { pages, packs: false };
        assert_eq!(with(pages, pages - 1, 0), Ok(plain));
        assert_eq!((plain.lossless(memory), plain.packed()), (pages, 0));
        // A short context is not promised more than it has.
        let short = Demand { context: 9, memory };
        let promise = admit(short, Capacity { packed: 99, ..capacity(64, 0, 0) }, LIMITS).unwrap();
        assert_eq!(promise.lossless(memory), LIMITS.worst_pages(9));
    }

    /// What is mapped must fit even where an agent's own tokens fall into the worst slices around it.
    fn worst(runs: &[(u32, u32)], context: u32) -> (u32, u32) {
        let mapped: u32 = runs.iter().map(|&(slices, tokens)| slices * tokens).sum();
        let (mut slices, mut pages, mut own) = (0, 0, context - mapped);
        for (run, &(count, tokens)) in runs.iter().enumerate() {
            // One token before each run costs most: a slice and a page of its own.
            let part = if run + 1 < runs.len() { own.min(1) } else { own.min(LIMITS.min() + 1) };
            own -= part;
            slices += count + LIMITS.worst_slices(part);
            pages += count * tokens.div_ceil(PAGE_TOKENS as u32) + LIMITS.worst_pages(part);
        }
        (slices + LIMITS.worst_slices(own), pages + LIMITS.worst_pages(own))
    }

    proptest! {
        #[test]
        fn what_may_be_mapped_fits(
            runs in proptest::collection::vec((1u32..6, 8u32..65), 1..6), more in 0u32..3000
        ) {
            let tokens: u32 = runs.iter().map(|&(slices, tokens)| slices * tokens).sum();
            let context = tokens + more;
            let received = Received {
                runs: runs.len() as u32,
                slices: runs.iter().map(|&(slices, _)| slices).sum(),
                tokens,
                pages: runs.iter().map(|&(slices, tokens)| slices * tokens.div_ceil(8)).sum(),
            };
            let (slices, pages) = worst(&runs, context);
            prop_assert!(!maps(&received, context, LIMITS, slices - 1, u32::MAX));
            prop_assert!(!maps(&received, context, LIMITS, u32::MAX, pages - 1));
            let longer = Received { tokens: context + 1, ..received };
            prop_assert!(!maps(&longer, context, LIMITS, u32::MAX, u32::MAX));
            let slack = runs.len() as u32 + 3;
            prop_assert!(maps(&received, context, LIMITS, slices + slack, pages + slack));
        }

        #[test]
        fn tokens_within_is_the_most(pages in 0u32..5000) {
            let fits = tokens_within(pages, LIMITS);
            prop_assert!(LIMITS.worst_pages(fits) <= pages);
            prop_assert!(LIMITS.worst_pages(fits + 1) > pages);
        }
    }
}
