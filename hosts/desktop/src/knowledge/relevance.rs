//! Which slices a question's queries would look at: softmax of q · mean key at one layer.
//!
//! Queries are rotated by one distance for all slices: where a slice will stand is not known before it is chosen,
//! and what is looked for does not depend on it.

use agentos_hal::ModelShape;

/// Turns keys' and queries' numbers into how relevant slices are.
#[derive(Clone, Debug)]
pub struct Relevance {
    /// For each row and head of the question: the head of the keys that it reads, and the query, rotated and scaled.
    queries: Vec<(usize, Vec<f32>)>,
    head_dim: usize,
}

/// How far before the question slices are taken to stand, in tokens.
pub const DISTANCE: u32 = 64;

impl Relevance {
    /// From the queries of some rows (each `heads · head_dim`, before rotation) of a model with these frequencies
    /// of rotation.
    pub fn new(queries: &[f32], shape: &ModelShape, frequencies: &[f64]) -> Relevance {
        let (heads, head_dim) = (shape.heads as usize, shape.head_dim as usize);
        let scale = 1.0 / (head_dim as f64).sqrt();
        let mut rotated = vec![0.0; head_dim];
        let mut turned = Vec::new();
        for row in queries.chunks_exact(heads * head_dim) {
            for (head, query) in row.chunks_exact(head_dim).enumerate() {
                shape.rope.rotate(frequencies, DISTANCE, query, &mut rotated);
                let query = rotated.iter().map(|&x| (x * scale) as f32).collect();
                turned.push((head * shape.kv_heads as usize / heads, query));
            }
        }
        Relevance { queries: turned, head_dim }
    }

    /// How much of the question's attention each slice gets, by its mean key (`kv_heads · head_dim`): all of them
    /// together 1. A slice counts as many times as it has tokens.
    pub fn of(&self, slices: &[(u32, &[f32])]) -> Vec<f64> {
        let mut shares = vec![0.0; slices.len()];
        let mut scores = vec![0.0_f64; slices.len()];
        for (head, query) in &self.queries {
            let keys = head * self.head_dim..(head + 1) * self.head_dim;
            for (score, (tokens, mean_key)) in scores.iter_mut().zip(slices) {
                *score = f64::from(dot(query, &mean_key[keys.clone()])) + f64::from((*tokens).max(1)).ln();
            }
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let all: f64 = scores.iter().map(|score| (score - most).exp()).sum();
            let weight = 1.0 / (all * self.queries.len() as f64);
            shares.iter_mut().zip(&scores).for_each(|(share, score)| *share += (score - most).exp() * weight);
        }
        shares
    }
}

/// In lanes, so that the compiler can keep them side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    rest + sums.iter().sum::<f32>()
}
