//! What a simulation knows of one agent: what was asked of it, what it was seen to say, and whether it may
//! say that.

use std::collections::BTreeMap;

use agentos_kernel::agent::{AgentId, Budget, Finish, MemoryMode, Spec, StateKind, legal};
use agentos_kernel::event::Event;

use crate::tiny::Given;

/// An agent that was spawned or forked.
pub struct Life {
    pub id: AgentId,
    /// As it was accepted; a fork's memory is its parent's.
    pub spec: Spec,
    /// What its context began with.
    pub prompt: Vec<u32>,
    /// All messages that were accepted for it, one after the other.
    pub sent: Vec<u32>,
    /// What it said, by address.
    pub given: BTreeMap<u32, Given>,
    /// Its context, as last seen.
    pub text: Vec<u32>,
    /// Whose beginnings it may share.
    pub family: usize,
    pub kind: StateKind,
    pub finish: Option<Finish>,
    /// A call to kill it was taken.
    pub condemned: bool,
    /// Killed and gone.
    pub gone: bool,
    /// Pins are asked of its slices, which a bounded agent's choice depends on.
    pub pinned: bool,
    /// Events were lost, so it may have said more than was seen.
    pub unseen: bool,
    /// Its answer is over, until a message comes.
    resting: bool,
    /// Tokens of messages in its context, as far as its answers tell.
    taken: u32,
    /// Tokens of the answer under way, and the most that it may have.
    turn: u32,
    turn_most: u32,
    /// The most tokens that it may generate in all.
    most: u64,
    /// What it may use was changed.
    changed: bool,
}

impl Life {
    pub fn new(id: AgentId, spec: Spec, prompt: Vec<u32>, family: usize) -> Life {
        Life {
            id,
            text: prompt.clone(),
            prompt,
            sent: Vec::new(),
            given: BTreeMap::new(),
            family,
            kind: StateKind::New,
            finish: None,
            condemned: false,
            gone: false,
            pinned: false,
            unseen: false,
            resting: false,
            taken: 0,
            turn: 0,
            turn_most: spec.budget.turn_tokens,
            most: spec.budget.tokens,
            changed: false,
            spec,
        }
    }

    pub fn bounded(&self) -> bool {
        matches!(self.spec.memory, MemoryMode::Bounded { .. })
    }

    pub fn packed(&self) -> bool {
        matches!(self.spec.memory, MemoryMode::Bounded { packed: true, .. })
    }

    pub fn over(&self) -> bool {
        self.gone || matches!(self.kind, StateKind::Stopped | StateKind::Faulted)
    }

    /// It may use more, or less, from now on.
    pub fn allow(&mut self, budget: Budget) {
        (self.spec.budget, self.changed) = (budget, true);
        self.turn_most = self.turn_most.max(budget.turn_tokens);
        self.most = self.most.max(budget.tokens);
    }

    /// Takes note of an event that concerns it.
    pub fn note(&mut self, event: &Event, ends: &[u32]) -> Result<(), String> {
        match *event {
            Event::State { from, to, .. } => self.goes(from, to),
            Event::Token { address, token, logit, .. } => self.says(address, (token, logit.to_bits())),
            Event::Finished { finish, .. } => self.finishes(finish, ends),
            Event::Killed { .. } => {
                self.gone = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn goes(&mut self, from: StateKind, to: StateKind) -> Result<(), String> {
        // Whether a queued agent is in the step is told by no event.
        let queued = |kind| matches!(kind, StateKind::Ready | StateKind::Running);
        let continues = from == self.kind || queued(from) && queued(self.kind);
        if !continues || !legal(from, to) {
            return Err(format!("agent {} was {:?} and went from {from:?} to {to:?}", self.id, self.kind));
        }
        self.kind = to;
        Ok(())
    }

    fn says(&mut self, address: u32, given: Given) -> Result<(), String> {
        let id = self.id;
        if self.over() {
            return Err(format!("agent {id} is over and said a token at {address}"));
        }
        let before = self.prompt.len() as u32 + self.given.len() as u32;
        let Some(taken) = address.checked_sub(before).filter(|&taken| taken >= self.taken) else {
            return Err(format!("agent {id} said a token at {address}, behind what it had said"));
        };
        if taken > self.taken {
            (self.resting, self.turn, self.turn_most) = (false, 0, self.spec.budget.turn_tokens);
        }
        if self.resting {
            return Err(format!("agent {id} went on at {address} though its answer was over"));
        }
        self.taken = taken;
        self.turn += 1;
        self.given.insert(address, given);
        let said = self.given.len() as u64;
        if self.turn > self.turn_most || said > self.most {
            let (turn, most) = (self.turn, self.turn_most);
            return Err(format!("agent {id} said {turn} of {most} tokens, {said} of {} in all", self.most));
        }
        Ok(())
    }

    fn finishes(&mut self, finish: Finish, ends: &[u32]) -> Result<(), String> {
        self.finish = Some(finish);
        self.resting = true;
        let last = self.given.values().last().map(|&(token, _)| token);
        let ended = last.is_some_and(|token| ends.contains(&token));
        let right = match finish {
            Finish::Stop => ended,
            // An answer is as long as it may be, when nothing else ends it.
            Finish::Length => {
                let Budget { turn_tokens, tokens, .. } = self.spec.budget;
                self.changed || self.turn >= turn_tokens || self.given.len() as u64 >= tokens
            }
            // The rest may come at any time.
            _ => true,
        };
        let id = self.id;
        if right { Ok(()) } else { Err(format!("agent {id} finished by {finish:?} behind {last:?}")) }
    }

    /// Looks at its context: it only ever grows, by what it said and by what it was sent.
    pub fn read(&mut self, text: &[u32], inbox: u32) -> Result<(), String> {
        let id = self.id;
        if !text.starts_with(&self.text) {
            return Err(format!("agent {id}: what was in its context changed"));
        }
        self.text.clear();
        self.text.extend_from_slice(text);
        if self.unseen {
            return Ok(());
        }
        let (mut taken, mut sent) = (0, self.sent.iter());
        for (address, &token) in (0u32..).zip(text).skip(self.prompt.len()) {
            let expected = match self.given.get(&address) {
                Some(&(token, _)) => Some(token),
                None => {
                    taken += 1;
                    sent.next().copied()
                }
            };
            if expected != Some(token) {
                return Err(format!("agent {id}: {token} at {address} is not {expected:?}"));
            }
        }
        let full = text.len() == self.spec.context as usize;
        if !full && !self.over() && taken + inbox as usize != self.sent.len() {
            let sent = self.sent.len();
            return Err(format!("agent {id}: {sent} tokens were sent, {taken} are read and {inbox} wait"));
        }
        Ok(())
    }
}
