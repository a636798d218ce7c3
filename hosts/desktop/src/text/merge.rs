//! The merging of SentencePiece vocabularies: the best pair of neighbours becomes one, again and again,
//! the leftmost of equals first. As llama.cpp's `llm_tokenizer_spm_session`; the time grows as n log n.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No token, or no neighbour.
pub(crate) const NONE: u32 = u32::MAX;

/// A run of bytes of the text that is one symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    /// Its first byte.
    pub(crate) start: u32,
    /// Its bytes; 0 once it has become a part of its left neighbour.
    pub(crate) len: u32,
    /// Its token, or [`NONE`].
    pub(crate) id: u32,
    prev: u32,
    next: u32,
}

/// What two neighbours become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    /// The lower, the sooner.
    pub(crate) order: u32,
    /// The token.
    pub(crate) id: u32,
}

/// A pair of neighbours that may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    order: u32,
    left: u32,
    right: u32,
    /// The bytes of both when they were paired: if they have more by now, the pair is no more.
    len: u32,
    id: u32,
}

/// Memory that is used again from text to text.
#[derive(Default)]
pub(crate) struct Merger {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

impl Merger {
    /// Begins a new run of symbols.
    pub(crate) fn clear(&mut self) {
        self.symbols.clear();
        self.queue.clear();
    }

    /// Appends a symbol of `len` bytes.
    pub(crate) fn push(&mut self, len: u32, id: u32) {
        let index = self.symbols.len() as u32;
        let (start, prev) = match self.symbols.last_mut() {
            Some(last) => {
                last.next = index;
                (last.start + last.len, index - 1)
            }
            None => (0, NONE),
        };
        self.symbols.push(Symbol { start, len, id, prev, next: NONE });
    }

    /// Joins neighbours as `join` says until it knows no more, and returns what is left, in order.
    pub(crate) fn merge(
        &mut self,
        join: impl Fn(&Symbol, &Symbol) -> Option<Joined>,
    ) -> impl Iterator<Item = &Symbol> {
        for right in 1..self.symbols.len() as u32 {
            self.pair(right - 1, right, &join);
        }
        while let Some(Reverse(best)) = self.queue.pop() {
            let (left, right) = (self.symbols[best.left as usize], self.symbols[best.right as usize]);
            if left.len == 0 || right.len == 0 || left.len + right.len != best.len {
                continue;
            }
            self.symbols[best.right as usize].len = 0;
            let joined = &mut self.symbols[best.left as usize];
            joined.len = best.len;
            joined.id = best.id;
            joined.next = right.next;
            if right.next != NONE {
                self.symbols[right.next as usize].prev = best.left;
            }
            self.pair(left.prev, best.left, &join);
            self.pair(best.left, right.next, &join);
        }
        self.symbols.iter().filter(|symbol| symbol.len > 0)
    }

    fn pair(&mut self, left: u32, right: u32, join: impl Fn(&Symbol, &Symbol) -> Option<Joined>) {
        if left == NONE || right == NONE {
            return;
        }
        let (a, b) = (&self.symbols[left as usize], &self.symbols[right as usize]);
        if let Some(Joined { order, id }) = join(a, b) {
            let len = a.len + b.len;
            self.queue.push(Reverse(Candidate { order, left, right, len, id }));
        }
    }
}
