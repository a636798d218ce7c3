//! `Attend`: two passes over all visible tokens, one head of one row at a time.

use core::ops::Range;

use agentos_hal::{Mass, PAGE_TOKENS, Reg};

use crate::interpret::turn;
use crate::memory::Machine;
use crate::pages::Place;

/// A token that a row can see: its segment, counted within the step, and its place.
pub type Visible = (usize, Place);

impl Machine {
    /// Attention of all rows in one layer.
    pub fn attend(&mut self, layer: u32) {
        let (mut row, mut first_segment, mut first_page) = (0, 0, 0);
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            let segments = first_segment..first_segment + span.segments as usize;
            for _ in 0..span.rows {
                self.look(row, segments.clone(), first_page);
                for head in 0..self.shape.heads as usize {
                    self.attend_head(layer, row, head);
                }
                row += 1;
            }
            first_segment = segments.end;
            for segment in &self.segments[segments] {
                first_page += segment.pages() as usize;
            }
        }
    }

    /// Lists the tokens that a row can see, in address order.
    fn look(&mut self, row: usize, segments: Range<usize>, mut first_page: usize) {
        let end = self.rows[row].address + 1;
        self.visible.clear();
        for index in segments {
            let segment = self.segments[index];
            for offset in 0..segment.len.min(end.saturating_sub(segment.base)) as usize {
                let page = self.page_ids[first_page + offset / PAGE_TOKENS];
                self.visible.push((index, (page, offset % PAGE_TOKENS)));
            }
            first_page += segment.pages() as usize;
        }
    }

    fn attend_head(&mut self, layer: u32, row: usize, head: usize) {
        let head_dim = self.shape.head_dim as usize;
        let at = (row * self.shape.heads as usize + head) * head_dim;
        let stored = head / self.shape.group() as usize * head_dim;
        self.score(layer, row, at..at + head_dim, stored);
        let largest = self.shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = self.shares.iter().map(|score| libm::exp(score - largest)).sum();
        for share in &mut self.shares {
            *share = libm::exp(*share - largest) / total;
        }
        if self.counters.contains(layer) {
            self.count(row);
        }
        for (dim, out) in self.regs[Reg::Context as usize][at..at + head_dim].iter_mut().enumerate() {
            let seen = self.visible.iter().zip(&self.shares);
            let sum: f64 =
                seen.map(|((_, place), share)| share * self.pages.value(*place, layer, stored + dim)).sum();
            *out = sum as f32;
        }
    }

    /// The score of every visible key; the keys of the head begin at `stored`.
    fn score(&mut self, layer: u32, row: usize, query: Range<usize>, stored: usize) {
        self.shares.clear();
        let mut turned_for = None;
        for &(segment, place) in &self.visible {
            if turned_for != Some(segment) {
                let distance = self.rows[row].address - self.segments[segment].base;
                let query = &self.regs[Reg::Query as usize][query.clone()];
                turn(&self.shape.rope, &self.turns, distance, query, &mut self.head);
                turned_for = Some(segment);
            }
            let products =
                self.head.iter().zip(stored..).map(|(q, dim)| q * self.pages.key(place, layer, dim));
            self.shares.push(products.sum::<f64>() / libm::sqrt(f64::from(self.shape.head_dim)));
        }
    }

    /// Adds one head's shares to the counters.
    fn count(&mut self, row: usize) {
        let mut entropy = 0.0;
        let seen = self.visible.iter().zip(&self.shares);
        let (mut segment, mut of_segment) = (self.visible[0].0, 0.0);
        for (&(of, place), &share) in seen {
            if of != segment {
                self.mass[segment].0 += Mass::from_share(of_segment as f32).0;
                (segment, of_segment) = (of, 0.0);
            }
            of_segment += share;
            entropy -= if share > 0.0 { share * libm::log(share) } else { 0.0 };
            self.pages.add_mass(place, Mass::from_share(share as f32));
        }
        self.mass[segment].0 += Mass::from_share(of_segment as f32).0;
        let heads = self.shape.heads * (self.counters.end - self.counters.start);
        self.entropy[row] += (entropy / f64::from(heads)) as f32;
    }
}
