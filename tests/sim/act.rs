//! What may happen to a system besides its own work, and asking for it at random.

use agentos_kernel::agent::{
    Admission, AgentId, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Receive, Spec, Watchdog,
};
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::interrupt::{Posted, VectorId};
use agentos_kernel::memory::SLICE_PAGES;
use agentos_kernel::memory::admit::Unfit;
use agentos_kernel::sample::Sampling;
use agentos_kernel::system::Config;

use crate::alone::bytes;
use crate::draw::Draw;
use crate::life::Life;
use crate::setup::tokens;
use crate::tiny::SHAPE;
use crate::world::World;

/// A kind of act.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Spawn,
    Fork,
    Kill,
    Suspend,
    Resume,
    Send,
    Wait,
    SetPriority,
    SetBudget,
    Pin,
    Unpin,
    Pause,
    GoOn,
    Timer,
    Flood,
    Mask,
    Unmask,
    Nonsense,
}

/// Number of kinds.
pub const KINDS: usize = 18;

impl Act {
    pub const ALL: [Act; KINDS] = {
        use Act::*;
        [
            Spawn,
            Fork,
            Kill,
            Suspend,
            Resume,
            Send,
            Wait,
            SetPriority,
            SetBudget,
            Pin,
            Unpin,
            Pause,
            GoOn,
            Timer,
            Flood,
            Mask,
            Unmask,
            Nonsense,
        ]
    };

    /// How often it is chosen, where a seed does not say otherwise.
    pub const fn usual(self) -> u32 {
        match self {
            Act::Spawn => 14,
            Act::Fork | Act::Send => 7,
            Act::Resume | Act::GoOn | Act::Unmask => 5,
            Act::Kill | Act::Suspend | Act::Wait | Act::SetPriority | Act::Pin => 3,
            Act::SetBudget | Act::Unpin | Act::Pause | Act::Mask | Act::Nonsense => 2,
            Act::Timer | Act::Flood => 1,
        }
    }
}

type Done = Result<(), String>;

impl World<'_> {
    /// Does one thing at random.
    pub fn act(&mut self) -> Done {
        let Some(kind) = self.draw.weighted(&self.setup.weights) else { return Ok(()) };
        let agent = self.anybody();
        match Act::ALL[kind] {
            Act::Spawn => self.spawn(),
            Act::Fork => self.fork(agent),
            Act::Kill => self.kill(agent),
            Act::Suspend => self.ask(&Call::Suspend(agent)).map(drop),
            Act::Resume => self.ask(&Call::Resume(agent)).map(drop),
            Act::Send => self.send(agent),
            Act::Wait => {
                let other = self.anybody();
                self.ask(&Call::Wait(agent, other)).map(drop)
            }
            Act::SetPriority => {
                let priority = self.priority();
                self.ask(&Call::SetPriority(agent, priority)).map(drop)
            }
            Act::SetBudget => {
                let budget = self.budget();
                if self.ask(&Call::SetBudget(agent, budget))?.is_ok() {
                    self.life(agent)?.allow(budget);
                }
                Ok(())
            }
            Act::Pin => self.pin(agent, true),
            Act::Unpin => self.pin(agent, false),
            Act::Pause => self.post(VectorId::User, 0),
            Act::GoOn => self.post(VectorId::User, 1),
            Act::Timer => self.post(VectorId::Timer, 0),
            Act::Flood => {
                let vector = self.any_vector();
                (0..self.draw.between(1, 40)).try_for_each(|_| self.post(vector, 1))
            }
            Act::Mask => {
                let vector = self.any_vector();
                self.kernel.interrupts().mask(vector);
                Ok(())
            }
            Act::Unmask => {
                let vector = self.any_vector();
                self.kernel.interrupts().unmask(vector);
                Ok(())
            }
            Act::Nonsense => self.nonsense(),
        }
    }

    /// An agent: mostly one that lives, sometimes one that is gone, or nobody ever.
    fn anybody(&mut self) -> AgentId {
        let living: Vec<AgentId> = self.lives.iter().filter(|life| !life.gone).map(|life| life.id).collect();
        if !living.is_empty() && !self.draw.per_mille(50) {
            return self.draw.one_of(&living);
        }
        match self.lives.last() {
            Some(life) if self.draw.per_mille(500) => life.id,
            _ => AgentId {
                index: self.draw.between(0, 70_000 - 1) as u16,
                generation: self.draw.between(0, 9),
            },
        }
    }

    /// Vectors that an outsider posts, masks and floods. The end of everything is not among them.
    fn any_vector(&mut self) -> VectorId {
        self.draw.one_of(&[
            VectorId::ContextFull,
            VectorId::Timer,
            VectorId::Ipc,
            VectorId::User,
            VectorId::Watchdog,
            VectorId::PageFault,
            VectorId::DeviceFault,
            VectorId::ToolDone,
        ])
    }

    fn post(&mut self, vector: VectorId, payload: u64) -> Done {
        // A full context or a repetition is the kernel's to find.
        let to_all = vector == VectorId::User && self.draw.per_mille(300);
        let stray = matches!(vector, VectorId::ContextFull | VectorId::Watchdog);
        let agent = (!to_all && !stray).then(|| self.anybody());
        let posted = Posted { vector, agent, payload, at_us: self.clock.micros() };
        let refused = self.kernel.interrupts().post(posted).is_err();
        self.tally.refused_posts += u64::from(refused);
        Ok(())
    }

    pub fn spawn(&mut self) -> Done {
        let spec = self.spec();
        let (prompt, family) = self.prompt(spec.context);
        let reply = self.ask(&Call::Spawn(spec, Tokens(&bytes(&prompt))))?;
        match reply {
            Ok(Reply::Agent(id)) => {
                self.born(id, spec, prompt, family);
                Ok(())
            }
            Err(CallError::Unfit(Unfit::Now { fits_tokens, .. })) if fits_tokens >= prompt.len() as u32 => {
                let spec = Spec { context: fits_tokens, ..spec };
                match self.ask(&Call::Spawn(spec, Tokens(&bytes(&prompt))))? {
                    Ok(Reply::Agent(id)) => {
                        self.born(id, spec, prompt, family);
                        Ok(())
                    }
                    other => Err(format!("a context of {fits_tokens} tokens would fit, but: {other:?}")),
                }
            }
            // Whoever is over keeps its place until it is killed.
            Err(CallError::AgentsFull { .. }) => {
                match self.lives.iter().find(|life| !life.gone && life.over()) {
                    Some(life) => {
                        let over = life.id;
                        self.ask(&Call::Kill(over)).map(drop)
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn fork(&mut self, parent: AgentId) -> Done {
        let spec = self.spec();
        let prompt = self.kernel.tokens(parent).to_vec();
        if let Ok(Reply::Agent(id)) = self.ask(&Call::Fork(parent, spec))? {
            let parent = self.life(parent)?;
            let (memory, family, unclear) = (parent.spec.memory, parent.family, parent.pinned);
            self.born(id, Spec { memory, ..spec }, prompt, family);
            // What a bounded parent saw depends on where its answers began, which its text does not say.
            let chosen =
                matches!(memory, MemoryMode::Bounded { .. }) && self.setup.config.attention.is_some();
            self.life(id)?.pinned = unclear || chosen;
            self.tally.forks += 1;
        }
        Ok(())
    }

    fn born(&mut self, id: AgentId, spec: Spec, prompt: Vec<u32>, family: usize) {
        self.lives.push(Life::new(id, spec, prompt, family));
        self.tally.agents += 1;
    }

    /// Kills an agent. Nothing that is asked of it afterwards, while its step is under way, saves it.
    fn kill(&mut self, agent: AgentId) -> Done {
        let _ = self.ask(&Call::Kill(agent))?;
        match self.draw.between(0, 2) {
            0 => Ok(()),
            1 => self.ask(&Call::Suspend(agent)).map(drop),
            _ => self.ask(&Call::Resume(agent)).map(drop),
        }
    }

    fn send(&mut self, to: AgentId) -> Done {
        let len = self.draw.between(1, self.setup.config.inbox + 3);
        let mut message = tokens(&mut self.draw, len);
        let from = (self.draw.per_mille(300)).then(|| self.anybody());
        let mut reply = self.ask_as(from, &Call::Send(to, Tokens(&bytes(&message))))?;
        if let Err(CallError::TooLong { fits, .. }) = reply
            && fits > 0
        {
            message.truncate(fits);
            reply = self.ask_as(from, &Call::Send(to, Tokens(&bytes(&message))))?;
            if reply.is_err() {
                return Err(format!("{fits} tokens would fit, but: {reply:?}"));
            }
        }
        if reply.is_ok() {
            self.life(to)?.sent.extend(message);
            self.tally.messages += 1;
        }
        Ok(())
    }

    fn pin(&mut self, agent: AgentId, keep: bool) -> Done {
        let start = self.draw.between(0, self.setup.config.context);
        let end = self.draw.between(start, self.setup.config.context);
        if self.ask(&Call::Pin { agent, start, end, keep })?.is_ok() && keep {
            self.life(agent)?.pinned = true;
        }
        Ok(())
    }

    /// What has to be refused, whoever asks.
    fn nonsense(&mut self) -> Done {
        let spec = self.spec();
        let good = Spec { context: 1, memory: MemoryMode::Exact, sampling: Sampling::GREEDY, ..spec };
        let long = bytes(&tokens(&mut self.draw, 2));
        let (one, stranger) = (bytes(&[1]), bytes(&[0, SHAPE.vocab + self.draw.between(0, 9)]));
        let beyond = self.setup.config.context + 1;
        let sampling = self.draw.one_of(&[
            Sampling { temperature: f32::NAN, ..Sampling::GREEDY },
            Sampling { temperature: -1.0, ..Sampling::GREEDY },
            Sampling { top_p: 0.0, ..Sampling::GREEDY },
            Sampling { min_p: 1.5, ..Sampling::GREEDY },
            Sampling { repeat_penalty: f32::INFINITY, ..Sampling::GREEDY },
        ]);
        let nobody = AgentId { index: u16::MAX, generation: 7 };
        let agent = self.anybody();
        let small = MemoryMode::Bounded { pages: 3 * SLICE_PAGES as u32 - 1, packed: false };
        let calls = [
            Call::Spawn(Spec { context: beyond, ..good }, Tokens(&one)),
            Call::Spawn(Spec { context: 0, ..good }, Tokens(&one)),
            Call::Spawn(Spec { sampling, ..good }, Tokens(&one)),
            Call::Spawn(Spec { memory: small, ..good }, Tokens(&one)),
            Call::Spawn(good, Tokens(&[])),
            Call::Spawn(good, Tokens(&one[..3])),
            Call::Spawn(good, Tokens(&long)),
            Call::Spawn(Spec { context: 2, ..good }, Tokens(&stranger)),
            Call::Fork(nobody, good),
            Call::Fork(agent, Spec { context: beyond, ..good }),
            Call::Fork(agent, Spec { sampling, ..good }),
            Call::Kill(nobody),
            Call::Suspend(nobody),
            Call::Resume(nobody),
            Call::Send(agent, Tokens(&[])),
            Call::Send(agent, Tokens(&stranger)),
            Call::Send(nobody, Tokens(&one)),
            Call::Wait(nobody, agent),
            Call::Wait(agent, nobody),
            Call::SetPriority(nobody, Priority::NORMAL),
            Call::SetBudget(nobody, Budget::UNBOUNDED),
            Call::Pin { agent: nobody, start: 0, end: 1, keep: true },
            Call::Stat(nobody),
        ];
        let call = self.draw.one_of(&calls);
        match self.ask(&call)? {
            Err(_) => Ok(()),
            Ok(reply) => Err(format!("{call:?} should be refused, and gave {reply:?}")),
        }
    }

    fn priority(&mut self) -> Priority {
        let level = self.draw.between(0, self.setup.levels - 1);
        Priority::new(level as u8).expect("there are so many levels")
    }

    fn prompt(&mut self, context: u32) -> (Vec<u32>, usize) {
        let half = if self.setup.crowded { context * 3 / 4 } else { context.div_ceil(2) };
        let most = self.draw.one_of(&[context, half]).max(1);
        let len = self.draw.between(most.div_ceil(2), most);
        let family = self.draw.between(0, self.setup.families.len() as u32 - 1) as usize;
        let common = &self.setup.families[family];
        let common = &common[..self.draw.between(0, len.min(common.len() as u32)) as usize];
        let own = tokens(&mut self.draw, len - common.len() as u32);
        ([common, &own].concat(), family)
    }

    fn spec(&mut self) -> Spec {
        let Config { context, l1_pages, pinned_pages, .. } = self.setup.config;
        let exact = if self.setup.long { 300 } else { 700 };
        let draw = &mut self.draw;
        let least = 3 * SLICE_PAGES as u32;
        let pages = draw.between(least, l1_pages - pinned_pages);
        let bounded =
            MemoryMode::Bounded { pages: draw.one_of(&[least, pages]), packed: draw.per_mille(500) };
        let sampling = Sampling {
            temperature: draw.one_of(&[0.0, 0.7, 1.5]),
            top_k: draw.one_of(&[0, 3]),
            top_p: draw.one_of(&[1.0, 0.9]),
            min_p: draw.one_of(&[0.0, 0.05]),
            repeat_penalty: draw.one_of(&[1.0, 1.2]),
            repeat_window: draw.one_of(&[0, 8, 64]),
            seed: draw.word(),
        };
        Spec {
            context: if self.setup.crowded {
                context
            } else {
                draw.one_of(&[context, context, context / 2, draw_length(context)])
            },
            memory: if draw.per_mille(exact) { MemoryMode::Exact } else { bounded },
            admission: draw.one_of(&[Admission::Wait, Admission::Refuse]),
            sampling,
            capabilities: draw.one_of(&[Capabilities::ALL, Capabilities::NONE]),
            watchdog: draw.one_of(&[Watchdog::OFF, Watchdog { period: 4, repeats: 2, ..Watchdog::OFF }]),
            on_end: draw.one_of(&[OnEnd::Stop, OnEnd::Listen]),
            receive: Receive::Copied,
            guarded: false,
            persist: draw.one_of(&[Persist::Nothing, Persist::Exact, Persist::Packed]),
            packed: false,
            tag: draw.word(),
            budget: self.budget(),
            priority: self.priority(),
        }
    }

    fn budget(&mut self) -> Budget {
        let draw = &mut self.draw;
        let turn_tokens = draw.between(1, self.setup.config.context);
        Budget {
            turn_tokens: rarely(draw, &[0, 1, u32::MAX], turn_tokens),
            tokens: rarely(draw, &[0, 1, 30], u64::MAX),
            steps: rarely(draw, &[0, 20], u64::MAX),
            time_us: rarely(draw, &[0, 5_000], u64::MAX),
            pinned_pages: draw.between(0, 9),
            ..Budget::UNBOUNDED
        }
    }
}

/// One of the rare values, now and then.
fn rarely<T: Copy>(draw: &mut Draw, rare: &[T], usual: T) -> T {
    if draw.per_mille(100) { draw.one_of(rare) } else { usual }
}

/// A context that is short even here.
const fn draw_length(context: u32) -> u32 {
    if context < 20 { context } else { 20 }
}
