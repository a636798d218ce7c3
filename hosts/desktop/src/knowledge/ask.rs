//! Answering one question from passages, on the kernel: what was computed when they were entered is mapped.
//!
//! The first passage stands behind the collection's beginning, as it did when it was computed: its slices are in the
//! cold store under their own hashes, and come from there to the bit, or nearly so if the library keeps them packed and
//! the choice of fidelity accepts that. Of further ones there is a choice ([`Fidelity`]). Computed here, they are what the model makes of them behind the first. Or each is mapped as it
//! is: an agent that says nothing, whose context is the beginning and that passage, sends its slices to the one that
//! answers. Or that is done for all but the last, which decides the answer.

use std::ops::Range;

use agentos_hal::{Clock, ColdStore, KvType, TensorDevice};
use agentos_kernel::agent::{
    Admission, AgentId, BlockedOn, Budget, Capabilities, Finish, MemoryMode, OnEnd, Persist, Priority,
    Receive, Spec, State, Watchdog,
};
use agentos_kernel::call::{Call, CallError, Forward, Reply, Tokens};
use agentos_kernel::event::Event;
use agentos_kernel::guard::Unguarded;
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::admit::SPARE_PAGES;
use agentos_kernel::sample::Sampling;
use agentos_kernel::sched::cost::NO_TARGET;
use agentos_kernel::system::{Config, Devices, Kernel, Tick};
use agentos_kernel::tool::NoTools;
use serde::{Deserialize, Serialize};

/// How passages behind the first come into a context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// Computed behind those before them: what the model makes of them there.
    Exact,
    /// As they were computed behind the collection's beginning alone: nothing is computed, and the answer may differ.
    #[default]
    Relocated,
    /// As relocated ones, but for the last, which fits best: that is computed behind all others.
    Decisive,
}

impl Fidelity {
    /// Which of so many passages are mapped as they are. Those before come in exactly, those behind are computed.
    pub fn mapped(self, passages: usize) -> Range<usize> {
        let first = passages.min(1);
        let end = match self {
            Fidelity::Exact => first,
            Fidelity::Relocated => passages,
            Fidelity::Decisive => passages.saturating_sub(1),
        };
        first..end.max(first)
    }

    /// Whether slices that were packed may stand for what would be computed.
    pub fn accepts_packed(self) -> bool {
        self != Fidelity::Exact
    }

    /// How the passage at a place of a prompt with so many comes into it. `packed`: its slices are not kept bit for bit.
    pub fn how(self, number: usize, passages: usize, packed: bool) -> &'static str {
        match number {
            0 if !packed => "exact",
            0 if self.accepts_packed() => "packed",
            0 => "computed",
            _ if self.mapped(passages).contains(&number) => "relocated",
            _ => "computed",
        }
    }
}

/// A question with its passages.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// What all passages stand behind.
    pub before: &'q [u32],
    /// The passages' tokens, in the order of the prompt: the decisive one last.
    pub passages: &'q [&'q [u32]],
    /// The question, and what stands behind it.
    pub after: &'q [u32],
    /// How passages behind the first come into the context.
    pub fidelity: Fidelity,
    /// Tokens of the answer at most.
    pub max_tokens: u32,
    /// How they are chosen.
    pub sampling: Sampling,
}

/// How large a question can become, known before its passages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Tokens that all passages stand behind.
    pub before: u32,
    /// Passages.
    pub passages: u16,
    /// Tokens of all passages together.
    pub passage_tokens: u32,
    /// Tokens of the question, and of what stands behind it.
    pub after: u32,
    /// Tokens of the answer.
    pub max_tokens: u32,
}

impl Bounds {
    /// Tokens of the answering agent's context.
    pub fn context(&self) -> u32 {
        let parts = [self.before, self.passage_tokens, self.after, self.max_tokens];
        parts.iter().fold(0, |sum: u32, &part| sum.saturating_add(part))
    }

    /// The sizes of a kernel that answers any question within them.
    pub fn config(&self, kv: KvType) -> Config {
        let limits = SliceLimits::DEFAULT;
        let context = self.context();
        // Those that send passages have the rest of them, each behind the beginning.
        let senders = u32::from(self.passages.saturating_sub(1));
        let sent = self.passage_tokens + senders * self.before;
        let pages = limits.worst_pages(context) + limits.worst_pages(sent) + senders + SPARE_PAGES;
        let slices = limits.worst_slices(context) + limits.worst_slices(sent) + senders;
        let config = Config::new(self.passages.max(1), context, pages, 0);
        // All slices may be in the store alone at first.
        // One conversation: nobody waits for a step of another's.
        Config { kv, cold_slices: slices, step_target_us: NO_TARGET, ..config }.checked()
    }
}

/// What a question came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of it that were computed, over all agents.
    pub computed_tokens: u64,
    /// Tokens of it that came from the library for the place that they have.
    pub exact_tokens: u64,
    /// Tokens of it that were mapped from another context.
    pub relocated_tokens: u64,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// Slices that came from the library.
    pub loads: u64,
    /// Half of them were there so soon after they were needed, in microseconds.
    pub load_us: u64,
    /// From the question to when all passages that are sent were in page memory; 0 where none is sent.
    pub mapped_us: u64,
    /// From the question to the first token.
    pub first_us: u64,
    /// From the question to the last token.
    pub last_us: u64,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AskError {
    /// The kernel refuses an agent, or what is sent to it.
    Call(CallError),
    /// The agent did not end as agents do.
    Ended(State),
    /// The device was lost.
    Lost,
    /// The answer is taken by nobody any more.
    Closed,
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AskError::Call(error) => error.fmt(f),
            AskError::Ended(state) => write!(f, "the answer ended: {:?}", state.kind()),
            AskError::Lost => f.write_str("the device was lost; ask again"),
            AskError::Closed => f.write_str("nobody takes the answer any more"),
        }
    }
}

impl std::error::Error for AskError {}

impl From<CallError> for AskError {
    fn from(error: CallError) -> AskError {
        AskError::Call(error)
    }
}

impl Question<'_> {
    /// The tokens of the prompt.
    pub fn prompt(&self) -> Vec<u32> {
        [&[self.before][..], self.passages, &[self.after][..]].concat().concat()
    }

    /// How many those are.
    fn prompt_tokens(&self) -> u32 {
        let passages: usize = self.passages.iter().map(|passage| passage.len()).sum();
        u32::try_from(self.before.len() + passages + self.after.len()).unwrap_or(u32::MAX)
    }

    /// Tokens that the answering agent's context holds at most.
    pub fn context(&self) -> u32 {
        self.prompt_tokens().saturating_add(self.max_tokens)
    }

    /// The passages that other agents send.
    fn sent(&self) -> &[&[u32]] {
        &self.passages[self.fidelity.mapped(self.passages.len())]
    }

    /// What is computed behind those: passages, then what is asked.
    fn behind(&self) -> Vec<u32> {
        let computed = &self.passages[self.fidelity.mapped(self.passages.len()).end..];
        [computed, &[self.after]].concat().concat()
    }

    fn sender_context(&self, passage: &[u32]) -> u32 {
        (self.before.len() + passage.len()) as u32
    }

    fn spec(&self, context: u32, tokens: u32, on_end: OnEnd) -> Spec {
        Spec {
            priority: Priority::NORMAL,
            context,
            memory: MemoryMode::Exact,
            admission: Admission::Refuse,
            sampling: self.sampling,
            budget: Budget { turn_tokens: tokens, ..Budget::UNBOUNDED },
            capabilities: Capabilities::NONE,
            watchdog: Watchdog::OFF,
            on_end,
            receive: Receive::Mapped,
            guarded: false,
            persist: Persist::Nothing,
            packed: self.fidelity.accepts_packed(),
            tag: 0,
        }
    }
}

/// A kernel that answers, and what it drives.
pub struct Answerer<'a, 'm> {
    /// The kernel, of the sizes that [`Bounds::config`] says.
    pub kernel: Kernel<'m>,
    /// The device, prepared for it.
    pub device: &'a mut dyn TensorDevice,
    /// The library's store.
    pub store: &'a mut dyn ColdStore,
    /// The time.
    pub clock: &'a dyn Clock,
}

/// What is told of an answer: each token as it comes. Says whether to go on.
pub type OnToken<'a> = &'a mut dyn FnMut(u32) -> bool;

impl Answerer<'_, '_> {
    /// Answers a question.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn answer(&mut self, question: &Question<'_>, on_token: OnToken<'_>) -> Result<Answered, AskError> {
        let began_us = self.clock.now().micros;
        let is_whole = question.sent().is_empty();
        let (agent, mapped_us) = if is_whole {
            (self.ask_whole(question)?, began_us)
        } else {
            (self.ask_in_parts(question)?, self.clock.now().micros)
        };
        let mut answered = self.listen(agent, began_us, on_token)?;
        let metrics = |kernel: &Kernel<'_>| kernel.agents().map(|rcb| rcb.metrics.rows).sum::<u64>();
        answered.prompt_tokens = question.prompt_tokens();
        answered.computed_tokens = metrics(&self.kernel).saturating_sub(u64::from(answered.answer_tokens));
        answered.mapped_us = mapped_us.saturating_sub(began_us);
        answered.loads = self.kernel.figures().store.loaded;
        answered.load_us = self.kernel.load_latencies().quantile_us(0.5).unwrap_or(0);
        answered.exact_tokens = self.kernel.figures().store.loaded_tokens;
        let relocated = self.kernel.agents().find(|rcb| rcb.id == agent);
        answered.relocated_tokens = relocated.map_or(0, |rcb| rcb.metrics.relocated);
        Ok(answered)
    }

    /// One agent with all of it.
    fn ask_whole(&mut self, question: &Question<'_>) -> Result<AgentId, AskError> {
        self.spawn(question.spec(question.context(), question.max_tokens, OnEnd::Stop), &question.prompt())
    }

    /// One agent with the first passage, which others send theirs.
    fn ask_in_parts(&mut self, question: &Question<'_>) -> Result<AgentId, AskError> {
        let before = question.before;
        let first = question.passages.first().copied().unwrap_or_default();
        let agent =
            self.spawn(question.spec(question.context(), 0, OnEnd::Listen), &[before, first].concat())?;
        let mut senders = Vec::new();
        for passage in question.sent() {
            let spec = question.spec(question.sender_context(passage), 0, OnEnd::Listen);
            senders.push(self.spawn(spec, &[before, passage].concat())?);
        }
        self.until_all_rest()?;
        // Nobody says anything before the question is there.
        let budget = Budget { turn_tokens: question.max_tokens, ..Budget::UNBOUNDED };
        self.call(&Call::SetBudget(agent, budget))?;
        let asked = bytes_of(&question.behind());
        // All in one go: they are mapped one behind another, and then what is behind them is computed.
        for (number, (sender, passage)) in senders.iter().zip(question.sent()).enumerate() {
            let is_last = number + 1 == senders.len();
            let forward = Forward {
                from: *sender,
                start: before.len() as u32,
                end: (before.len() + passage.len()) as u32,
                to: agent,
                before: Tokens(&[]),
                after: Tokens(if is_last { &asked } else { &[] }),
            };
            self.call(&Call::Forward(forward))?;
        }
        Ok(agent)
    }

    /// Hears the answer to its end.
    fn listen(&mut self, agent: AgentId, began_us: u64, on_token: OnToken<'_>) -> Result<Answered, AskError> {
        let mut answered = Answered::default();
        loop {
            let tick = self.tick()?;
            while let Some(record) = self.kernel.next_event() {
                let Event::Token { agent: who, token, .. } = record.event else { continue };
                if who != agent {
                    continue;
                }
                answered.answer_tokens += 1;
                answered.last_us = record.at_us.saturating_sub(began_us);
                if answered.answer_tokens == 1 {
                    answered.first_us = answered.last_us;
                }
                if !on_token(token) {
                    return Err(AskError::Closed);
                }
            }
            match self.state(agent) {
                State::Stopped(Finish::Stop | Finish::Length | Finish::Context) => return Ok(answered),
                State::Blocked(BlockedOn::Message | BlockedOn::Host) if answered.answer_tokens > 0 => {
                    return Ok(answered);
                }
                state if state.is_over() || tick == Tick::Idle => return Err(AskError::Ended(state)),
                _ => {}
            }
        }
    }

    /// Ticks until every agent waits for a message.
    fn until_all_rest(&mut self) -> Result<(), AskError> {
        loop {
            let resting = |state: State| state == State::Blocked(BlockedOn::Message);
            if self.kernel.agents().all(|rcb| resting(rcb.state)) {
                return Ok(());
            }
            let tick = self.tick()?;
            while self.kernel.next_event().is_some() {}
            let over = self
                .kernel
                .agents()
                .find(|rcb| rcb.state.is_over() || tick == Tick::Idle && !resting(rcb.state));
            if let Some(rcb) = over {
                return Err(AskError::Ended(rcb.state));
            }
        }
    }

    fn tick(&mut self) -> Result<Tick, AskError> {
        let tick = self.kernel.tick(&mut Devices {
            tensor: &mut *self.device,
            clock: self.clock,
            tools: &mut NoTools,
            guard: &mut Unguarded,
            store: &mut *self.store,
        });
        match tick {
            Tick::DeviceLost | Tick::Halted => Err(AskError::Lost),
            Tick::Pending => {
                std::thread::yield_now();
                Ok(tick)
            }
            Tick::Idle | Tick::Stepped { .. } | Tick::Submitted { .. } => Ok(tick),
        }
    }

    fn state(&self, agent: AgentId) -> State {
        self.kernel.agents().find(|rcb| rcb.id == agent).map_or(State::New, |rcb| rcb.state)
    }

    fn spawn(&mut self, spec: Spec, prompt: &[u32]) -> Result<AgentId, AskError> {
        match self.call(&Call::Spawn(spec, Tokens(&bytes_of(prompt))))? {
            Reply::Agent(id) => Ok(id),
            other => unreachable!("a spawn is answered with a name, not with {other:?}"),
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, AskError> {
        Ok(self.kernel.call(None, call, self.clock.now().micros)?)
    }
}

fn bytes_of(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passages_behind_the_first_are_mapped_and_the_decisive_one_is_computed() {
        use Fidelity::{Decisive, Exact, Relocated};
        let how = |fidelity: Fidelity| [0, 1, 2].map(|number| fidelity.how(number, 3, false));
        assert_eq!(how(Exact), ["exact", "computed", "computed"]);
        assert_eq!(how(Relocated), ["exact", "relocated", "relocated"]);
        assert_eq!(how(Decisive), ["exact", "relocated", "computed"]);
        assert_eq!([0, 1].map(|number| Decisive.how(number, 2, false)), ["exact", "computed"]);
        assert_eq!(
            [Exact, Relocated, Decisive].map(|how| how.how(0, 2, true)),
            ["computed", "packed", "packed"]
        );
        for fidelity in [Exact, Relocated, Decisive] {
            assert!((0..2).all(|passages| fidelity.mapped(passages).is_empty()));
        }
    }

    #[test]
    fn what_is_mapped_and_what_is_computed_make_the_prompt() {
        let passages: [&[u32]; 3] = [&[3], &[4, 5], &[6]];
        for fidelity in [Fidelity::Exact, Fidelity::Relocated, Fidelity::Decisive] {
            let question = Question {
                before: &[1, 2],
                passages: &passages,
                after: &[7, 9],
                fidelity,
                max_tokens: 1,
                sampling: Sampling::GREEDY,
            };
            let mapped = fidelity.mapped(3);
            let own = passages[..mapped.start].concat();
            let parts = [&[1, 2], &own[..], &question.sent().concat(), &question.behind()].concat();
            assert_eq!(parts, question.prompt(), "{fidelity:?}");
        }
    }
}
