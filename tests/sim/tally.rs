//! What a simulation met: a check that nothing ever reaches proves nothing.

/// Counts of one simulation, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub ticks: u64,
    pub agents: u64,
    pub forks: u64,
    pub messages: u64,
    pub refused_calls: u64,
    pub refused_posts: u64,
    pub lost_events: u64,
    /// Times that the device had to be prepared again.
    pub losses: u64,
    pub faulted: u64,
    pub failed_steps: u64,
    pub rows: u64,
    pub shared: u64,
    pub preemptions: u64,
    pub paged_in: u64,
    /// Tokens that came from the store, and slices that did not come.
    pub recalled: u64,
    pub recall_failures: u64,
    /// Slices that the store has told to be durable, and those that it did not take.
    pub stored: u64,
    pub store_failures: u64,
    /// Times that the machine stopped and began anew with the same store.
    pub crashes: u64,
    /// Questions of bounded agents that were computed again.
    pub replays: u64,
    /// Steps in which somebody was left out, and rightly.
    pub orders: u64,
    /// Tokens that were compared with what agents say alone.
    pub compared: u64,
    /// Tokens of bounded agents among them.
    pub bounded: u64,
}

impl Tally {
    /// Adds what another simulation met.
    pub fn add(&mut self, other: &Tally) {
        for (total, (_, more)) in self.counts_mut().into_iter().zip(other.counts()) {
            *total += more;
        }
    }

    /// Every count, by its name.
    pub fn counts(&self) -> [(&'static str, u64); 23] {
        [
            ("ticks", self.ticks),
            ("agents", self.agents),
            ("forks", self.forks),
            ("messages", self.messages),
            ("refused_calls", self.refused_calls),
            ("refused_posts", self.refused_posts),
            ("lost_events", self.lost_events),
            ("losses", self.losses),
            ("faulted", self.faulted),
            ("failed_steps", self.failed_steps),
            ("rows", self.rows),
            ("shared", self.shared),
            ("preemptions", self.preemptions),
            ("paged_in", self.paged_in),
            ("recalled", self.recalled),
            ("recall_failures", self.recall_failures),
            ("stored", self.stored),
            ("store_failures", self.store_failures),
            ("crashes", self.crashes),
            ("replays", self.replays),
            ("orders", self.orders),
            ("compared", self.compared),
            ("bounded", self.bounded),
        ]
    }

    fn counts_mut(&mut self) -> [&mut u64; 23] {
        [
            &mut self.ticks,
            &mut self.agents,
            &mut self.forks,
            &mut self.messages,
            &mut self.refused_calls,
            &mut self.refused_posts,
            &mut self.lost_events,
            &mut self.losses,
            &mut self.faulted,
            &mut self.failed_steps,
            &mut self.rows,
            &mut self.shared,
            &mut self.preemptions,
            &mut self.paged_in,
            &mut self.recalled,
            &mut self.recall_failures,
            &mut self.stored,
            &mut self.store_failures,
            &mut self.crashes,
            &mut self.replays,
            &mut self.orders,
            &mut self.compared,
            &mut self.bounded,
        ]
    }
}
