//! What a seed makes of a system before anything happens in it: sizes so small that everything runs
//! short, and how often what goes wrong.

use agentos_fault::{FaultPlan, PerMille, StoreOdds};
use agentos_hal::{KvType, Limits};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::SLICE_PAGES;
use agentos_kernel::memory::admit::tokens_within;
use agentos_kernel::memory::relevance::Attention;
use agentos_kernel::system::Config;
use agentos_kernel::system::config::Paging;

use crate::act::{Act, KINDS};
use crate::draw::Draw;
use crate::tiny::{self, SHAPE};

/// A system and its luck.
pub struct Setup {
    pub config: Config,
    pub faults: FaultPlan<'static>,
    /// Slices that the store has room for, and its luck.
    pub store_slots: usize,
    pub store_odds: StoreOdds,
    /// Times that the machine stops, and begins anew with what the store has.
    pub crashes: u32,
    /// How often each kind of act is chosen.
    pub weights: [u32; KINDS],
    /// In so many of a thousand turns something is asked for.
    pub busy: u32,
    /// Turns until everything calms down.
    pub turns: u32,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// Beginnings that prompts share.
    pub families: Vec<Vec<u32>>,
    /// Levels that agents have.
    pub levels: u32,
    /// Events are left in the ring until some are lost.
    pub deaf: bool,
    /// A step's tables have room for every agent at once.
    pub ample: bool,
    /// Everybody has much to say at once, and page memory is as small as can be.
    pub crowded: bool,
    /// Contexts are longer than page memory, and most agents bounded.
    pub long: bool,
    /// In so many of a thousand turns the clock jumps.
    pub jumps: u32,
}

impl Setup {
    pub fn new(draw: &mut Draw) -> Setup {
        let ample = draw.per_mille(500);
        let deaf = draw.per_mille(100);
        let crowded = draw.per_mille(300);
        let long = !crowded && draw.per_mille(400);
        let config = config(draw, ample, deaf, (crowded, long));
        // Each seed leaves some kinds of act out and does others often, so that the rare meet too.
        let mut weights = Act::ALL.map(|act| act.usual() * draw.one_of(&[0, 1, 1, 2, 4]));
        weights[Act::Spawn as usize] = weights[Act::Spawn as usize].max(Act::Spawn.usual());
        Setup {
            faults: faults(draw),
            store_slots: draw.one_of(&[3, 40, 200]),
            store_odds: store_odds(draw),
            crashes: if config.cold_slices > 0 { draw.between(0, 2) } else { 0 },
            weights,
            busy: draw.between(60, 300),
            turns: draw.between(100, 400),
            ends: (0..draw.between(0, 3)).map(|_| draw.between(0, SHAPE.vocab - 1)).collect(),
            families: (0..draw.between(1, 3)).map(|_| tokens(draw, config.context)).collect(),
            levels: draw.one_of(&[1, 2, 4, 32]),
            deaf,
            ample,
            crowded,
            long,
            jumps: draw.one_of(&[0, 0, 5, 20]),
            config,
        }
    }

    /// A device that computes one context of this system, alone.
    pub fn alone(&self) -> Limits {
        let Config { context, slice_limits, candidates, kv, .. } = self.config;
        let pages = slice_limits.worst_pages(context);
        let segments = slice_limits.worst_slices(context);
        Limits { context, pages, segments, segment_pages: pages, candidates, kv, ..tiny::LIMITS }
    }
}

/// A text of `len` tokens: of any tokens, or of those that end nothing.
pub fn tokens(draw: &mut Draw, len: u32) -> Vec<u32> {
    let beyond = draw.one_of(&[SHAPE.vocab, SHAPE.vocab, 12]);
    (0..len).map(|_| draw.between(0, beyond - 1)).collect()
}

fn config(draw: &mut Draw, ample: bool, deaf: bool, (crowded, long): (bool, bool)) -> Config {
    let agents = draw.between(if crowded { 6 } else { 2 }, 10) as u16;
    let slice_limits = SliceLimits::new(draw.between(2, 8), draw.between(8, 64));
    let pinned_pages = draw.one_of(&[0, 0, 3, 8]);
    let one = 3 * SLICE_PAGES as u32 + if crowded { 0 } else { draw.one_of(&[0, 1, 6, 40]) };
    let l1_pages = pinned_pages + one;
    // Most contexts fit page memory alone, if the arena is large enough, and few fit beside others.
    let fits = tokens_within(one, slice_limits);
    // Some are so long that bounded agents have to choose what they attend to.
    let context = match (crowded, long) {
        (true, _) => fits,
        (_, true) => draw.between(220, 320),
        _ => draw.between(20, (fits * 5 / 4).clamp(40, 140)),
    };
    let l2_frames = if crowded || long { 300 } else { draw.one_of(&[0, 16, 40, 100, 300]) };
    let usual = Config::new(agents, context, l1_pages, l2_frames);
    let usual = Config { slice_limits, ..usual };
    let (slices, pages) = (usual.slices_per_agent(), slice_limits.worst_pages(context));
    let many = u32::from(agents);
    let config = Config {
        inbox: draw.between(1, 40),
        packed_frames: draw.one_of(&[0, 20, 300]),
        cold_slices: draw.one_of(&[0, 1, 4, 100]),
        pinned_pages,
        rows: draw.between(1, 24),
        segments: if ample { many * slices } else { slices + draw.between(0, 2 * slices) },
        segment_pages: if ample { many * pages } else { pages.min(l1_pages) + draw.between(0, 2 * pages) },
        candidates: draw.one_of(&[1, 5, 16]),
        events: if deaf { draw.between(1, 40) } else { 4096 },
        quantum_rows: draw.between(1, 20),
        step_target_us: draw.one_of(&[1, 100, 50_000]),
        hang_us: 3_000,
        moves_per_tick: draw.between(1, 8),
        lease_us: draw.one_of(&[0, 20, 300]),
        relevance_layer: draw.between(0, SHAPE.layers - 1),
        attention: draw.per_mille(600).then(|| Attention::of(&SHAPE)),
        paging: paging(draw),
        trained_context: draw.one_of(&[context, context, context * 4 / 5]),
        kv: draw.one_of(&[KvType::F16, KvType::F32]),
        ..usual
    };
    config.checked()
}

fn store_odds(draw: &mut Draw) -> StoreOdds {
    let slow = StoreOdds { delay: 300, busy: 100, ..StoreOdds::NONE };
    match draw.between(0, 3) {
        0 => StoreOdds::NONE,
        1 => slow,
        2 => StoreOdds { io: 30, corrupt: 30, full: 30, ..slow },
        _ => StoreOdds { io: 100, corrupt: 100, full: 100, gone: 5, ..slow },
    }
}

fn paging(draw: &mut Draw) -> Paging {
    Paging {
        window_percent: draw.between(0, 60),
        replay_window_percent: draw.between(0, 50),
        headroom_percent: draw.between(0, 25),
        hysteresis_percent: draw.one_of(&[100, 125, 300]),
        held_percent: draw.one_of(&[0, 5, 15]),
        far: draw.one_of(&[0, 30, 1000]),
        replays: draw.between(0, 3),
        replay_tokens: draw.one_of(&[4, 12, 24, 80]),
    }
}

fn faults(draw: &mut Draw) -> FaultPlan<'static> {
    let slow = PerMille { delay: 200, refuse: 60, copy_delay: 200, copy_refuse: 60, ..PerMille::NONE };
    let odds = match draw.between(0, 4) {
        0 | 1 => return FaultPlan::NONE,
        2 => slow,
        3 => PerMille { hang: 20, not_finite: 20, poison: 20, ..slow },
        _ => PerMille { lose: 15, hang: 10, not_finite: 10, poison: 10, copy_lose: 10, ..slow },
    };
    FaultPlan::Random { seed: draw.word(), odds, longest_delay: draw.between(1, 5) }
}
