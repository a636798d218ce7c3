//! How relevant slices are to what an agent looks for: softmax of its last queries with each slice's mean
//! key, at one layer for all.
//!
//! A mean key is of keys that were rotated by their offsets in the slice, as they are stored, so a score
//! depends on the distance from the slice's base alone. Beyond a distance all slices count as equally far:
//! there an answer is found by what was said and not by where, and the queries are rotated once for all.
//!
//! Everything here is a function of numbers that the agent's own rows gave, added up in a fixed order.

use agentos_hal::{ModelShape, Rope};

/// Rows whose queries say what an agent looks for: its latest.
pub const QUERIES: usize = 8;

/// Rows whose queries are kept: a fork may begin before its parent's last row.
pub const KEPT: usize = QUERIES + 1;

/// What of a model's attention relevance is computed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: u32,
    /// Key heads; divides `heads`.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// How keys are rotated. Divisors that a model brings as a tensor are not known here, and not needed for
    /// a ranking.
    pub rope: Rope,
}

impl Attention {
    /// That of a model.
    pub const fn of(shape: &ModelShape) -> Attention {
        Attention { heads: shape.heads, kv_heads: shape.kv_heads, head_dim: shape.head_dim, rope: shape.rope }
    }

    /// Numbers of a row's query.
    pub const fn query_width(&self) -> usize {
        (self.heads * self.head_dim) as usize
    }

    /// Numbers of a slice's mean key.
    pub const fn key_width(&self) -> usize {
        (self.kv_heads * self.head_dim) as usize
    }

    /// Scores of one slice with the queries that share a key head.
    const fn columns(&self) -> usize {
        QUERIES * (self.heads / self.kv_heads) as usize
    }

    /// Numbers that scoring so many slices works in.
    pub const fn scratch(&self, slices: usize) -> usize {
        let dim = self.head_dim as usize;
        let panels = self.columns().div_ceil(COLUMNS) * self.kv_heads as usize;
        let frequencies = dim / 2;
        frequencies + (3 + SLICES) * dim + panels * COLUMNS * dim + (slices + 2) * self.columns()
    }
}

/// A slice to be scored.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// The sum of its keys.
    pub sum: &'k [f32],
    /// Tokens that they are of; of none, the slice gets no share.
    pub tokens: u32,
    /// From its base to the row behind the latest.
    pub distance: u32,
}

/// The queries of an agent's latest rows, made ready for scoring.
#[derive(Debug)]
pub struct Look<'s> {
    attention: Attention,
    far: u32,
    /// Queries that there are.
    rows: usize,
    /// Rotated to the row behind the latest: key head by key head in panels of [`COLUMNS`] queries that share it, which
    /// take turns number by number. Columns that no query fills are 0.
    queries: &'s mut [f32],
    frequencies: &'s mut [f32],
    /// Cosines and sines of a turn by the distance beyond which all is equally far.
    far_turns: &'s mut [f32],
    /// The same of a slice that is nearer.
    turns: &'s mut [f32],
    /// Mean keys of [`SLICES`] slices, which take turns number by number.
    keys: &'s mut [f32],
    /// One of them by itself.
    key: &'s mut [f32],
    scores: &'s mut [f32],
    most: &'s mut [f32],
    sums: &'s mut [f32],
}

impl<'s> Look<'s> {
    /// Makes queries ready, the oldest first: `rows` of them. `scratch` is as long as
    /// [`Attention::scratch`] says.
    pub fn new<'q>(
        attention: Attention,
        far: u32,
        rows: usize,
        query: impl Fn(usize) -> &'q [f32],
        scratch: &'s mut [f32],
    ) -> Look<'s> {
        let (dim, group) = (attention.head_dim as usize, (attention.heads / attention.kv_heads) as usize);
        let panel = COLUMNS * dim;
        let panels = (rows * group).div_ceil(COLUMNS);
        let (frequencies, rest) = scratch.split_at_mut(dim / 2);
        let (far_turns, rest) = rest.split_at_mut(dim);
        let (turns, rest) = rest.split_at_mut(dim);
        let (key, rest) = rest.split_at_mut(dim);
        let (keys, rest) = rest.split_at_mut(SLICES * dim);
        let (queries, rest) = rest.split_at_mut(panels * attention.kv_heads as usize * panel);
        let (most, rest) = rest.split_at_mut(attention.columns());
        let (sums, scores) = rest.split_at_mut(attention.columns());
        for (frequency, found) in frequencies.iter_mut().zip(attention.rope.frequencies(&[])) {
            *frequency = found as f32;
        }
        turn(frequencies, -(far as f32), far_turns);
        queries.fill(0.0);
        for row in 0..rows {
            turn(frequencies, -((rows - row) as f32), turns);
            for (head, from) in query(row).chunks_exact(dim).enumerate() {
                let column = row * group + head % group;
                let panel = &mut queries[(head / group * panels + column / COLUMNS) * panel..][..panel];
                key.copy_from_slice(from);
                rotate(&attention.rope, turns, key);
                for (row, &number) in panel.chunks_exact_mut(COLUMNS).zip(key.iter()) {
                    row[column % COLUMNS] = number;
                }
            }
        }
        Look { attention, far, rows, queries, frequencies, far_turns, turns, keys, key, scores, most, sums }
    }

    /// Adds to each slice the share of the queries' attention that it gets, as if there were no others: all
    /// shares are 1 together.
    pub fn score<'k, T>(&mut self, slices: &mut [T], key: impl Fn(&T) -> Key<'k>, add: impl Fn(&mut T, f32)) {
        let columns = self.rows * (self.attention.heads / self.attention.kv_heads) as usize;
        if columns == 0 {
            return;
        }
        let share = 1.0 / (columns * self.attention.kv_heads as usize) as f32;
        for head in 0..self.attention.kv_heads as usize {
            for (tile, slices) in slices.chunks(SLICES).enumerate() {
                self.score_tile(head, columns, tile, slices.iter().map(&key));
            }
            let scores = &mut self.scores[..slices.len() * columns];
            let (most, sums) = (&mut self.most[..columns], &mut self.sums[..columns]);
            most.fill(f32::NEG_INFINITY);
            for row in scores.chunks_exact(columns) {
                most.iter_mut().zip(row).for_each(|(most, &score)| *most = most.max(score));
            }
            sums.fill(0.0);
            for row in scores.chunks_exact_mut(columns) {
                for ((score, sum), most) in row.iter_mut().zip(sums.iter_mut()).zip(most.iter()) {
                    *score = exp(*score - most);
                    *sum += *score;
                }
            }
            sums.iter_mut().for_each(|sum| *sum = share / *sum);
            for (row, slice) in scores.chunks_exact(columns).zip(slices.iter_mut()) {
                add(slice, dot(row, sums));
            }
        }
    }

    /// Scores the slices of a tile with the queries of a key head.
    fn score_tile<'k>(
        &mut self,
        head: usize,
        columns: usize,
        tile: usize,
        slices: impl Iterator<Item = Key<'k>>,
    ) {
        let dim = self.attention.head_dim as usize;
        let root = libm::sqrtf(dim as f32);
        let (mut filled, mut left_out) = (0, [false; SLICES]);
        for (slot, Key { sum, tokens, distance }) in slices.enumerate() {
            left_out[slot] = tokens == 0;
            let scale = 1.0 / (root * tokens.max(1) as f32);
            let from = &sum[head * dim..(head + 1) * dim];
            self.key.iter_mut().zip(from).for_each(|(to, from)| *to = from * scale);
            if distance < self.far {
                turn(self.frequencies, -(distance as f32), self.turns);
                rotate(&self.attention.rope, self.turns, self.key);
            } else {
                rotate(&self.attention.rope, self.far_turns, self.key);
            }
            for (row, &number) in self.keys.chunks_exact_mut(SLICES).zip(self.key.iter()) {
                row[slot] = number;
            }
            filled += 1;
        }
        let scores = &mut self.scores[tile * SLICES * columns..][..filled * columns];
        let panels = columns.div_ceil(COLUMNS);
        let queries = self.queries.chunks_exact(COLUMNS * dim).skip(head * panels).take(panels);
        for (panel, queries) in queries.enumerate() {
            let products = products(self.keys, queries);
            for ((row, products), left_out) in scores.chunks_exact_mut(columns).zip(products).zip(left_out) {
                let row = row[panel * COLUMNS..].iter_mut().zip(products);
                row.for_each(|(score, product)| *score = if left_out { f32::NEG_INFINITY } else { product });
            }
        }
    }
}

/// Slices whose scores are computed together.
const SLICES: usize = 4;

/// Queries whose scores are computed together, with [`SLICES`] slices: as many sums as eight registers of the
/// narrowest machines hold.
const COLUMNS: usize = 8;

/// Dot products of the slices of a tile with the queries of a panel, each summed up in the order of its numbers.
fn products(keys: &[f32], queries: &[f32]) -> [[f32; COLUMNS]; SLICES] {
    let mut sums = [[0.0f32; COLUMNS]; SLICES];
    let (keys, queries) = (keys.as_chunks::<SLICES>().0, queries.as_chunks::<COLUMNS>().0);
    for (keys, queries) in keys.iter().zip(queries) {
        for (sums, key) in sums.iter_mut().zip(keys) {
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum += key * query;
            }
        }
    }
    sums
}

/// The cosine and sine by which each pair of a head turns over a distance in tokens, one behind the other.
fn turn(frequencies: &[f32], distance: f32, turns: &mut [f32]) {
    for (turn, frequency) in turns.chunks_exact_mut(2).zip(frequencies) {
        let (sin, cos) = libm::sincosf(frequency * distance);
        turn.copy_from_slice(&[cos, sin]);
    }
}

/// Rotates a head by its pairs' turns.
fn rotate(rope: &Rope, turns: &[f32], head: &mut [f32]) {
    for (pair, turn) in (0..rope.dims / 2).zip(turns.chunks_exact(2)) {
        let (a, b) = rope.pair(pair);
        (head[a], head[b]) = (head[a] * turn[0] - head[b] * turn[1], head[a] * turn[1] + head[b] * turn[0]);
    }
}

/// Accumulators of a dot product: two registers of the narrowest machines.
const LANES: usize = 8;

/// A dot product of two equally long rows, in a fixed order of sums.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let halves = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (halves[0] + halves[2]) + (halves[1] + halves[3]) + rest
}

/// e^x for x of at most 0, within a part in a hundred thousand; as good as 0 below e^-80. Without a branch, so that it is
/// computed for several numbers at once.
fn exp(x: f32) -> f32 {
    /// Added to a number, it leaves its whole part in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    let exponent = x.max(-80.0) * core::f32::consts::LOG2_E;
    let shifted = exponent + WHOLE;
    let part = (exponent - (shifted - WHOLE)) * core::f32::consts::LN_2;
    // Taylor's series: |part| is at most ln 2 / 2.
    let series = 1.0
        + part
            * (1.0
                + part
                    * (0.5 + part * (1.0 / 6.0 + part * (1.0 / 24.0 + part * (1.0 / 120.0 + part / 720.0)))));
    f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use agentos_hal::{Pairing, RopeScaling};
    use proptest::prelude::*;

    use super::*;

    const ROPE: Rope = Rope {
        dims: 16,
        base: 10_000.0,
        pairing: Pairing::Halves,
        scaling: RopeScaling::None,
        factors: false,
    };
    const ATTENTION: Attention = Attention { heads: 4, kv_heads: 2, head_dim: 16, rope: ROPE };

    fn number(seed: u64, at: usize) -> f32 {
        4.0 * crate::random::unit(seed, at as u64) as f32 - 2.0
    }

    /// As it stands in the books, in double precision.
    fn plainly(queries: &[Vec<f32>], keys: &[(Vec<f32>, u32, u32)], far: u32) -> Vec<f64> {
        let dim = ATTENTION.head_dim as usize;
        let frequencies: Vec<f64> = ROPE.frequencies(&[]).collect();
        let mut shares = vec![0.0; keys.len()];
        let all = (queries.len() * ATTENTION.heads as usize) as f64;
        for (row, query) in queries.iter().enumerate() {
            for (head, query) in query.chunks_exact(dim).enumerate() {
                let score = |(sum, tokens, distance): &(Vec<f32>, u32, u32)| {
                    let behind = (queries.len() - row) as u32;
                    let mut rotated = vec![0.0; dim];
                    // The row is `behind` nearer to the slice than the row behind the latest.
                    let seen = distance.min(&far) - behind;
                    ROPE.rotate(&frequencies, seen, query, &mut rotated);
                    let key = &sum[head / 2 * dim..][..dim];
                    let dot: f64 = rotated.iter().zip(key).map(|(a, &b)| a * f64::from(b)).sum();
                    dot / f64::from(*tokens) / (dim as f64).sqrt()
                };
                let weights: Vec<f64> = keys.iter().map(|key| score(key).exp()).collect();
                let sum: f64 = weights.iter().sum();
                shares.iter_mut().zip(weights).for_each(|(share, weight)| *share += weight / sum / all);
            }
        }
        shares
    }

    proptest! {
        #[test]
        fn scores_are_the_softmax_of_queries_and_mean_keys(
            seed in 0u64..1000, rows in 1usize..=QUERIES, slices in 1usize..40
        ) {
            let queries: Vec<Vec<f32>> =
                (0..rows).map(|row| (0..64).map(|at| number(seed, row * 64 + at)).collect()).collect();
            let far = 100;
            let key = |slice: usize| {
                let tokens = 8 + slice as u32;
                let sum = (0..32).map(|at| tokens as f32 * number(seed + 1, slice * 32 + at)).collect();
                (sum, tokens, 8 + slice as u32 * 9)
            };
            let keys: Vec<(Vec<f32>, u32, u32)> = (0..slices).map(key).collect();
            let mut scratch = vec![f32::NAN; ATTENTION.scratch(slices)];
            let mut look = Look::new(ATTENTION, far, rows, |row| &queries[row], &mut scratch);
            let mut found: Vec<(usize, f32)> = (0..slices).map(|at| (at, 0.0)).collect();
            let key =
                |&(at, _): &(usize, f32)| Key { sum: &keys[at].0, tokens: keys[at].1, distance: keys[at].2 };
            look.score(&mut found, key, |(_, sum), share| *sum += share);
            let all: f32 = found.iter().map(|found| found.1).sum();
            prop_assert!((all - 1.0).abs() < 1e-4);
            for ((_, found), plain) in found.iter().zip(plainly(&queries, &keys, far)) {
                prop_assert!((f64::from(*found) - plain).abs() < 1e-4, "{} for {}", found, plain);
            }
        }

        #[test]
        fn the_exponential_is_near(x in -79.0f32..=0.0) {
            let right = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - right).abs() <= 1e-5 * right);
        }
    }

    #[test]
    fn nothing_is_left_of_what_is_far_below() {
        assert!(exp(f32::NEG_INFINITY) < 1e-30 && exp(-1000.0) >= 0.0);
        assert_eq!(exp(0.0), 1.0);
    }
}
