//! `Attend`: two passes over all visible tokens, one head of one row at a time.

use core::ops::Range;

use agentos_hal::{Mass, PAGE_TOKENS, PageId, Reg};

use crate::interpret::turn;
use crate::memory::Machine;
use crate::pages::Slot;

/// A token that a row can see.
#[derive(Clone, Copy)]
pub struct Visible {
    /// Its segment, counted within the step.
    segment: usize,
    /// From the segment's base to the row: how far the query turns.
    distance: u32,
    page: PageId,
    place: usize,
}

impl Machine {
    /// Attention of all rows in one layer.
    pub fn attend(&mut self, layer: u32) {
        let (mut row, mut first_segment, mut first_page) = (0, 0, 0);
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            let segments = first_segment..first_segment + span.segments as usize;
            for _ in 0..span.rows {
                self.look(row, segments.clone(), first_page);
                (0..self.shape.heads as usize).for_each(|head| self.attend_head(layer, row, head));
                row += 1;
            }
            first_segment = segments.end;
            first_page += self.segments[segments]
                .iter()
                .map(|s| s.pages() as usize)
                .sum::<usize>();
        }
    }

    /// Lists the tokens that a row can see, in address order.
    fn look(&mut self, row: usize, segments: Range<usize>, mut first_page: usize) {
        self.visible.clear();
        for index in segments {
            let segment = self.segments[index];
            let Some(distance) = self.rows[row].address.checked_sub(segment.base) else {
                break;
            };
            for offset in 0..segment.len.min(distance + 1) as usize {
                let page = self.page_ids[first_page + offset / PAGE_TOKENS];
                self.visible.push(Visible {
                    segment: index,
                    distance,
                    page,
                    place: offset % PAGE_TOKENS,
                });
            }
            first_page += segment.pages() as usize;
        }
    }

    fn attend_head(&mut self, layer: u32, row: usize, head: usize) {
        let kv_head = head / self.shape.group() as usize;
        let head_dim = self.shape.head_dim as usize;
        let at = (row * self.shape.heads as usize + head) * head_dim;
        self.score(layer, kv_head, at..at + head_dim);
        let largest = self.shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = self.shares.iter().map(|score| libm::exp(score - largest)).sum();
        self.shares
            .iter_mut()
            .for_each(|share| *share = libm::exp(*share - largest) / total);
        if self.counters.contains(layer) {
            self.count(row);
        }
        self.gather(layer, kv_head, at..at + head_dim);
    }

    /// First pass: the score of every visible key.
    fn score(&mut self, layer: u32, kv_head: usize, at: Range<usize>) {
        self.shares.clear();
        let mut turned_for = None;
        for seen in &self.visible {
            if turned_for != Some(seen.segment) {
                let query = &self.regs[Reg::Query as usize][at.clone()];
                turn(
                    &self.shape.rope,
                    &self.turns,
                    seen.distance,
                    query,
                    &mut self.head,
                );
                turned_for = Some(seen.segment);
            }
            let slot = Slot {
                page: seen.page,
                place: seen.place,
                layer,
                head: kv_head,
            };
            let products = self
                .head
                .iter()
                .enumerate()
                .map(|(dim, q)| q * self.pages.key(slot, dim));
            self.shares
                .push(products.sum::<f64>() / libm::sqrt(f64::from(self.shape.head_dim)));
        }
    }

    /// Second pass: the values, weighted with the shares that the scores have become.
    fn gather(&mut self, layer: u32, kv_head: usize, at: Range<usize>) {
        for (dim, out) in self.regs[Reg::Context as usize][at].iter_mut().enumerate() {
            let shares = self.visible.iter().zip(&self.shares);
            let slot = |seen: &Visible| Slot {
                page: seen.page,
                place: seen.place,
                layer,
                head: kv_head,
            };
            *out = shares
                .map(|(seen, share)| share * self.pages.value(slot(seen), dim))
                .sum::<f64>() as f32;
        }
    }

    /// Adds one head's shares to the counters.
    fn count(&mut self, row: usize) {
        let layers = self.counters.end - self.counters.start;
        let mut entropy = 0.0;
        let mut shares = self.visible.iter().zip(&self.shares).peekable();
        while let Some(&(&Visible { segment, .. }, _)) = shares.peek() {
            let mut of_segment = 0.0;
            while let Some((seen, &share)) = shares.next_if(|(seen, _)| seen.segment == segment) {
                of_segment += share;
                entropy -= if share > 0.0 {
                    share * libm::log(share)
                } else {
                    0.0
                };
                self.pages
                    .add_mass(seen.page, seen.place, Mass::from_share(share as f32));
            }
            self.mass[segment].0 += Mass::from_share(of_segment as f32).0;
        }
        self.entropy[row] += (entropy / f64::from(layers * self.shape.heads)) as f32;
    }
}
