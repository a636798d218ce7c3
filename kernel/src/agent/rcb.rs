//! The Reasoning Control Block (paper §2.1): all that the kernel knows of one agent.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::{
    Admission, AgentId, Budget, Capabilities, Finish, MemoryMode, OnEnd, Persist, Priority, Receive, Spec,
    State, Watchdog,
};
use crate::checkpoint::CallRecord;
use crate::layout::Layout;
use crate::memory::SliceHash;
use crate::memory::admit::Promise;
use crate::sample::{Choice, Sampler};
use crate::tool::{CallNumber, CallTimes};

/// Agents whose end one agent may wait for.
pub const MOST_WAITS: usize = 8;

/// Tool calls of one agent that may be open at once.
pub const MOST_CALLS: usize = 8;

/// What came into an agent's context as slices of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Runs of slices that follow each other.
    pub runs: u32,
    /// Slices.
    pub slices: u32,
    /// Tokens of them.
    pub tokens: u32,
    /// Pages of them.
    pub pages: u32,
}

/// How far it is counted what slices hold of the attention of an agent's rows: a row that is computed again, in a fork,
/// does not count again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Rows before this address are counted.
    pub tokens: u32,
    /// What the slice that is begun next has already: a fork's last row may have begun it before.
    pub begun: u64,
}

/// What an agent has used and seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Tokens generated.
    pub generated: u64,
    /// Rows that devices computed for it.
    pub rows: u64,
    /// Rows of those that computed again what this system had computed before.
    pub recomputed: u64,
    /// Tokens that were mapped from other agents' slices instead of computed, with the same bits.
    pub shared: u64,
    /// Tokens whose slices it brought in from the cold store instead of computing them, with the same bits.
    pub recalled: u64,
    /// Tokens that were mapped from slices that other agents sent.
    pub relocated: u64,
    /// Steps taken part in.
    pub steps: u64,
    /// Times that it could have gone on and was left out of a step.
    pub preemptions: u64,
    /// Pages of it that left page memory.
    pub paged_out: u64,
    /// Pages that came back for it.
    pub paged_in: u64,
    /// Time from its spawn to its first token in microseconds; 0 before that.
    pub first_token_us: u64,
    /// The last cognitive latency L_c (paper §5.1) in microseconds: from what last made it ready (a
    /// spawn, a message, a resumption) to the first token that it committed after.
    pub latency_us: u64,
    /// The worst L_c.
    pub worst_latency_us: u64,
    /// Tool calls made.
    pub calls: u64,
    /// Tokens that came from tools.
    pub tool_tokens: u64,
    /// Slices that a question looked for and that were left out of what its agent attends to.
    pub faults: u64,
    /// Times that a question was computed again for their sake.
    pub replays: u64,
    /// Rows of those questions.
    pub replayed: u64,
    /// Choices that it made by relevance of what it attends to.
    pub choices: u64,
    /// Slices that they brought back after others had left them out; those that questions looked for are among them.
    pub returned: u64,
    /// Sum over them of what share of its latest queries' attention, estimated over all of its context, falls on
    /// what was chosen, in millionths.
    pub covered_ppm: u64,
}

impl Metrics {
    /// Contextual utilisation η (paper §5.1): rows that brought new content, of all rows; 1 before
    /// the first.
    pub fn utilization(&self) -> f32 {
        if self.rows == 0 { 1.0 } else { (self.rows - self.recomputed) as f32 / self.rows as f32 }
    }

    /// Attention coverage: the share of its latest queries' attention that falls on what it attends to, on average
    /// over its choices; `None` before the first.
    pub fn coverage(&self) -> Option<f32> {
        let mean_ppm = self.covered_ppm.checked_div(self.choices)?;
        Some(mean_ppm as f32 / 1e6)
    }
}

/// How far an agent's context has come: what must be known to go on, or to go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The place of the next token.
    pub layout: Layout,
    /// Identity of the sealed slices before it, or of what they stand for where one was `packed`; `None` once a slice was
    /// mapped, dropped or packed that was made for another context.
    pub chain: Option<SliceHash>,
    /// A slice before it was packed, so that what is computed behind it is not what `chain` names. It is not in
    /// checkpoints: whoever reads one gets no `chain` either.
    #[serde(skip)]
    pub packed: bool,
    /// From a bounded agent's first choice on, the identity of all that its rows came from: its tokens, and where it was
    /// asked. `None` before that, where there is no store, and once anything else had a say (a pin, a slice that was
    /// sent, a packed page). It is not in checkpoints: who trusts one does not pass that on to readers of the store.
    #[serde(skip)]
    pub trail: Option<SliceHash>,
    /// The address before which nothing is computed again for a question: a slice that was mapped from elsewhere
    /// cannot be.
    pub floor: u32,
}

impl Cursor {
    /// The beginning of a context.
    pub const fn start(root: SliceHash) -> Cursor {
        let layout = Layout { tokens: 0, slices: 0, pages: 0, open: 0 };
        Cursor { layout, chain: Some(root), packed: false, trail: None, floor: 0 }
    }
}

/// A bounded agent's way over what the cold store has of its context, to where its state was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retrace {
    /// Where its state was stored.
    pub to: Cursor,
    /// How far slices are there, in page memory or the arena.
    pub at: Cursor,
    /// Tokens of those that were found there.
    pub shared: u32,
}

/// A change that waits for the end of the step in which the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterStep {
    /// Nothing.
    Nothing,
    /// It is suspended.
    Suspend,
    /// It is killed.
    Kill,
}

/// An agent that is being read from a checkpoint, where agents are named by numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Restoring {
    /// Its number.
    pub number: u16,
    /// What it was doing.
    pub state: State,
    /// Whom it was forked from.
    pub parent: Option<u16>,
    /// Agents whose end it waits for.
    pub waits_for: Vec<u16, MOST_WAITS>,
    /// Tool calls that were open.
    pub calls: Vec<CallRecord, MOST_CALLS>,
}

/// The return from tool calls, for L_c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resuming {
    /// The call that was over last.
    pub number: CallNumber,
    /// When it was over, in microseconds.
    pub over_us: u64,
    /// When the last of the agent's calls was returned, in microseconds.
    pub returned_us: u64,
    /// Where its time went.
    pub times: CallTimes,
}

/// The Reasoning Control Block.
#[derive(Clone, Debug)]
pub struct Rcb {
    /// Its name.
    pub id: AgentId,
    /// Whom it was forked from.
    pub parent: Option<AgentId>,
    /// What it is doing.
    pub state: State,
    /// What it declared.
    pub priority: Priority,
    /// The most urgent of its own priority and those that wait for it.
    pub effective: Priority,
    /// What becomes of what does not fit.
    pub memory: MemoryMode,
    /// Most tokens of its context.
    pub context: u32,
    /// How tokens are chosen.
    pub sampler: Sampler,
    /// What it may use.
    pub budget: Budget,
    /// What it may do.
    pub capabilities: Capabilities,
    /// When it counts as repeating itself.
    pub watchdog: Watchdog,
    /// What it does when the model is done.
    pub on_end: OnEnd,
    /// How slices of others come into its context.
    pub receive: Receive,
    /// The host's guard says what its next token may be.
    pub guarded: bool,
    /// A token that ends answers, if it comes next, ends its answer: but for what a guard says, it does.
    pub ends: bool,
    /// What of its context goes to the cold store.
    pub persist: Persist,
    /// It accepts slices that were packed.
    pub packed: bool,
    /// The host's number.
    pub tag: u64,
    /// What it was promised when it was admitted; no page while it waits for that.
    pub promise: Promise,
    /// Tokens of its context: prompt, answers, messages.
    pub tokens: u32,
    /// Tokens that wait in its inbox.
    pub inbox: u32,
    /// Slices that it maps.
    pub mapped: u32,
    /// Slices that were sent to it and that its context has not come to yet. They stand at the end of
    /// its part of the table of mappings, the first of them last.
    pub offers: u32,
    /// Those of them whose message it has taken: their bases are addresses. The rest count from the
    /// beginning of its inbox.
    pub offers_taken: u32,
    /// What was sent to it as slices so far.
    pub received: Received,
    /// Attention focus (paper §2.1): the first address of the slice that held most attention in its last
    /// step, the sink not counted; `None` while there are no counts.
    pub focus: Option<u32>,
    /// Tool calls that are open, in the order in which they were made: how many is the semantic stack depth
    /// (paper §2.1).
    pub calls: Vec<u64, MOST_CALLS>,
    /// What it goes on from, until its next token: its calls that were returned.
    pub resuming: Option<Resuming>,
    /// Where the tokens that were put into a step end.
    pub cursor: Cursor,
    /// Where the tokens end whose step was good.
    pub committed: Cursor,
    /// Most tokens that were ever computed of it: what is computed again below counts as such.
    pub reached: u32,
    /// How far its rows' attention is counted in its page table.
    pub counted: Counted,
    /// It was asked something, and has not said the first token of its answer.
    pub asked: bool,
    /// How often the question was computed again.
    pub replays: u32,
    /// An answer's first token that is not said yet: whether its question found all that it looked for is
    /// being decided.
    pub held: Option<Choice>,
    /// Queries of its rows that were noted since it last went back.
    pub queries: u32,
    /// Entries of its page table, from the first, whose slices have schemas.
    pub known: u32,
    /// Choices of what it attends to.
    pub choices: u32,
    /// Pages of the slices that its last few choices selected.
    pub working: u32,
    /// The planning round in which none of its slices in page memory was found that it does not attend to.
    pub searched: u64,
    /// The way that it is on over what the cold store has of its context.
    pub retrace: Option<Retrace>,
    /// How many tokens it had when it last looked for such a way.
    pub sought: u32,
    /// Where its state was last stored.
    pub stored_at: u32,
    /// Something that the store had did not come: it asks for no more.
    pub forsaken: bool,
    /// Tokens generated since the last message.
    pub turn_tokens: u32,
    /// Its answer is over: its last token is computed together with the message that comes behind it.
    pub turn_over: bool,
    /// Rows that it may still compute before its level's next agent is preferred.
    pub turn_rows: u32,
    /// Agents whose end it waits for.
    pub waits_for: Vec<AgentId, MOST_WAITS>,
    /// It was reached in the search for a circle of waits that is under way.
    pub reached_through: bool,
    /// Pages that it pinned.
    pub pinned: u32,
    /// Steps in a row that failed with it.
    pub strikes: u8,
    /// What happens at the end of the step.
    pub after_step: AfterStep,
    /// The last step that it took part in.
    pub last_step: u64,
    /// When it was spawned or restored, in microseconds.
    pub spawned_us: u64,
    /// How long it had lived before it was restored, in microseconds.
    pub lived_us: u64,
    /// When it was last in a step, or began to have something to do, in microseconds.
    pub progress_us: u64,
    /// When it last became ready by something from outside, and has not committed a token since.
    pub stirred_us: Option<u64>,
    /// It has been in a step since it was stirred.
    pub dispatched: bool,
    /// The entry of its page table that is looked at next to bring it in before its turn; `None` where nothing stirred
    /// it.
    pub ahead: Option<u32>,
    /// When it was blocked or suspended: its lease on page memory runs from here.
    pub rested_us: u64,
    /// When it first lacked a page that its next row attends to, unless a step has had a row of it since.
    pub lacks_since_us: Option<u64>,
    /// What the checkpoint that it is being read from says of it and of others.
    pub restoring: Option<Restoring>,
    /// What it used and saw.
    pub metrics: Metrics,
}

impl Rcb {
    /// The block of an agent that nothing was computed for yet.
    pub fn new(id: AgentId, spec: &Spec, sampler: Sampler, root: SliceHash, now_us: u64) -> Rcb {
        let start = Cursor::start(root);
        Rcb {
            id,
            parent: None,
            state: State::New,
            priority: spec.priority,
            effective: spec.priority,
            memory: spec.memory,
            context: spec.context,
            sampler,
            budget: spec.budget,
            capabilities: spec.capabilities,
            watchdog: spec.watchdog,
            on_end: spec.on_end,
            receive: spec.receive,
            guarded: spec.guarded,
            ends: true,
            persist: spec.persist,
            packed: spec.packed,
            tag: spec.tag,
            promise: Promise::NONE,
            tokens: 0,
            inbox: 0,
            mapped: 0,
            offers: 0,
            offers_taken: 0,
            received: Received::default(),
            focus: None,
            calls: Vec::new(),
            resuming: None,
            cursor: start,
            committed: start,
            reached: 0,
            counted: Counted::default(),
            asked: true,
            replays: 0,
            held: None,
            queries: 0,
            known: 0,
            choices: 0,
            working: 0,
            searched: 0,
            retrace: None,
            sought: 0,
            stored_at: 0,
            forsaken: false,
            turn_tokens: 0,
            turn_over: false,
            turn_rows: 0,
            waits_for: Vec::new(),
            reached_through: false,
            pinned: 0,
            strikes: 0,
            after_step: AfterStep::Nothing,
            last_step: 0,
            spawned_us: now_us,
            lived_us: 0,
            progress_us: now_us,
            stirred_us: Some(now_us),
            dispatched: false,
            ahead: None,
            rested_us: now_us,
            lacks_since_us: None,
            restoring: None,
            metrics: Metrics::default(),
        }
    }

    /// Whether its answer is what comes next: with a budget of no tokens a context is only computed.
    pub const fn generates(&self) -> bool {
        self.budget.turn_tokens > 0 && self.budget.tokens > 0
    }

    /// Microseconds since it was spawned, those before it was restored included.
    pub const fn age_us(&self, now_us: u64) -> u64 {
        self.lived_us.saturating_add(now_us.saturating_sub(self.spawned_us))
    }

    /// Tool calls that are open (paper §2.1).
    pub fn stack_depth(&self) -> usize {
        self.calls.len()
    }

    /// What it declared, as it is now. An agent that exists is not refused any more: it waits.
    pub const fn spec(&self) -> Spec {
        Spec {
            priority: self.priority,
            context: self.context,
            memory: self.memory,
            admission: Admission::Wait,
            sampling: *self.sampler.sampling(),
            budget: self.budget,
            capabilities: self.capabilities,
            watchdog: self.watchdog,
            on_end: self.on_end,
            receive: self.receive,
            guarded: self.guarded,
            persist: self.persist,
            packed: self.packed,
            tag: self.tag,
        }
    }

    /// Whether there are tokens that are in no step yet and belong into one, or will be.
    pub const fn has_work(&self) -> bool {
        !self.turn_over && self.cursor.layout.tokens < self.tokens || self.held.is_some()
    }

    /// Something came for it to answer.
    pub const fn ask(&mut self) {
        (self.asked, self.replays) = (true, 0);
    }

    /// The budget that is used up, if one is.
    pub fn exhausted(&self, now_us: u64) -> Option<Finish> {
        if self.turn_tokens >= self.budget.turn_tokens || self.metrics.generated >= self.budget.tokens {
            Some(Finish::Length)
        } else {
            self.is_used_up(now_us).then_some(Finish::Budget)
        }
    }

    /// Whether it has had all steps, or all time, that it may have.
    pub fn is_used_up(&self, now_us: u64) -> bool {
        self.metrics.steps >= self.budget.steps || self.age_us(now_us) >= self.budget.time_us
    }

    /// Whether it has had something to do and been in no step for too long.
    pub const fn is_stalled(&self, now_us: u64) -> bool {
        matches!(self.state, State::Ready)
            && now_us.saturating_sub(self.progress_us) >= self.watchdog.stall_us
    }
}
