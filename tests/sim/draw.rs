//! All chance of a simulation: one sequence of numbers from its seed.

use agentos_kernel::random::philox;

/// Draws from a seed; what the nth draw gives is a function of the seed and n.
pub struct Draw {
    seed: u64,
    drawn: u64,
}

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw { seed, drawn: 0 }
    }

    pub fn word(&mut self) -> u64 {
        let counter = [self.drawn as u32, (self.drawn >> 32) as u32, 0, 0];
        self.drawn += 1;
        let [low, high, ..] = philox(counter, [self.seed as u32, (self.seed >> 32) as u32]);
        u64::from(high) << 32 | u64::from(low)
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u32, most: u32) -> u32 {
        assert!(least <= most, "{least} to {most}");
        let count = u64::from(most - least) + 1;
        least + (self.word() % count) as u32
    }

    /// True in so many of a thousand draws.
    pub fn per_mille(&mut self, odds: u32) -> bool {
        self.between(0, 999) < odds
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() as u32 - 1) as usize]
    }

    /// An index, each as often as its weight says. `None` without any weight.
    pub fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u32 = weights.iter().sum();
        let mut left = self.between(0, total.checked_sub(1)?);
        weights.iter().position(|&weight| {
            let within = left < weight;
            left = left.wrapping_sub(weight);
            within
        })
    }
}
