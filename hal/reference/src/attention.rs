//! `Attend`: all tokens that a row can see, one head of one row at a time.

use agentos_hal::walk::{self, View};
use agentos_hal::{Mass, Reg};

use crate::machine::{Batch, Machine};

impl Machine {
    /// Attention of all rows in one layer.
    pub fn attend(&mut self, step: &Batch, layer: u32) {
        for view in walk::views(&step.rows, &step.spans, &step.segments, &step.pages) {
            for head in 0..self.shape.heads {
                self.attend_head(layer, head, &view);
                if step.counters.contains(layer) {
                    self.count(&view, step.counters.count());
                }
            }
        }
    }

    fn attend_head(&mut self, layer: u32, head: u32, view: &View<'_>) {
        let head_dim = self.shape.head_dim as usize;
        let first = (view.row * self.shape.heads as usize + head as usize) * head_dim;
        let kv_head = head / self.shape.group();
        self.shares.clear();
        for token in view.tokens() {
            if token.offset == 0 {
                let query = &self.regs[Reg::Query as usize][first..][..head_dim];
                let distance = view.address - token.base;
                self.shape.rope.rotate(&self.frequencies, distance, query, &mut self.head);
            }
            let keys = (0..head_dim).map(|dim| self.pages.key(token, layer, kv_head, dim));
            let product: f64 = self.head.iter().zip(keys).map(|(q, key)| q * key).sum();
            self.shares.push(product / libm::sqrt(head_dim as f64));
        }
        softmax(&mut self.shares);
        let context = &mut self.regs[Reg::Context as usize][first..][..head_dim];
        for (dim, out) in context.iter_mut().enumerate() {
            let values = view.tokens().map(|token| self.pages.value(token, layer, kv_head, dim));
            *out = self.shares.iter().zip(values).map(|(share, value)| share * value).sum::<f64>() as f32;
        }
    }

    /// Adds one head's shares to the counters, which are means over this many layers.
    fn count(&mut self, view: &View<'_>, layers: u32) {
        let mut left = self.shares.as_slice();
        for (segment, _, seen) in view.segments() {
            let (shares, behind) = left.split_at(seen as usize);
            self.mass[segment] += Mass::from_share(shares.iter().sum::<f64>() as f32);
            left = behind;
        }
        for (token, &share) in view.tokens().zip(&self.shares) {
            self.pages.mass[token.page.0 as usize][token.place] += Mass::from_share(share as f32);
        }
        let positive = self.shares.iter().filter(|&&share| share > 0.0);
        let entropy: f64 = positive.map(|share| -share * libm::log(*share)).sum();
        self.entropy[view.row] += (entropy / f64::from(self.shape.heads * layers)) as f32;
    }
}

fn softmax(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|score| libm::exp(score - largest)).sum();
    scores.iter_mut().for_each(|score| *score = libm::exp(*score - largest) / total);
}
