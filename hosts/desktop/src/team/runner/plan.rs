//! What a team will need, known before anything runs: what its agents open with, and how long their
//! contexts can become.

use std::sync::Arc;

use agentos_kernel::agent::Spec;
use agentos_kernel::layout::SliceLimits;

use agentos_tools::{Descriptor, Effect};
use serde_json::Value;

use crate::team::knowledge::{Given, Opening, SentPassage};
use crate::team::prompt::{Answer, Chat, opening};

use crate::team::tools::{Choose, REQUEST_TOKENS, Reduce, tokens_read, words};
use crate::team::{Problem, Results, Team, TeamError};
use crate::text::{CallFormat, Message, Role};

/// A team with what its agents open with.
pub struct Plan {
    /// The agents, in the order of the file.
    pub agents: Vec<Planned>,
    /// Most tokens of any context on the model.
    pub model_context: u32,
    /// What every sampling seed of the file is moved by.
    pub seed: u64,
    /// What each agent has to do with tools, in the order of the file.
    pub kits: Vec<Option<Kit>>,
    /// What each agent is given to read, in the order of the file.
    pub knowledge: Vec<Option<Given>>,
    /// Tokens that a person may have with each agent; 0 where nobody is there.
    pub spoken: u32,
}

/// What an agent has to do with tools.
#[derive(Clone, Debug)]
pub struct Kit {
    /// What is known of its tools, by their numbers.
    pub tools: Vec<Descriptor>,
    /// The one that was chosen for it; `None` where it chooses itself.
    pub chosen: Option<usize>,
    /// Those that it calls behind that one, each with what came of the one before.
    pub then: Vec<usize>,
    /// How the model's own template writes calls, where the agent chooses itself and calls so.
    pub format: Option<Arc<CallFormat>>,
}

impl Kit {
    /// The tools that are called one after the other; none where its agent chooses itself.
    pub fn chain(&self) -> Vec<usize> {
        let first = self.chosen.into_iter();
        first.flat_map(|first| std::iter::once(first).chain(self.then.iter().copied())).collect()
    }
}

/// What an agent will need.
pub struct Planned {
    /// The tokens that it opens with, if it waits for nobody and nothing is sent to it.
    pub opening: Option<Arc<[u32]>>,
    /// What is sent to it behind what it opens with; `None` where that is all.
    pub sent: Option<Sent>,
    /// What it declares; with the longest answers that it may get to build on.
    pub spec: Spec,
    /// Most tokens of its answer.
    pub answer: u32,
    /// The tools that it calls one after the other, by their numbers in its registry, where they were chosen for it.
    pub chain: Vec<usize>,
    /// Tokens that results of its calls may take of its context, with all that stands around them.
    pub results: Results,
    /// Tokens of a long result that the model reads before it does; 0 where words decide what of it stays.
    pub reads: u32,
    /// Tokens by which its opening may still be longer: an answer's text may come back from the tokenizer
    /// in more tokens than it was said in.
    pub slack: u32,
}

/// What is sent to an agent before it speaks: passages that are mapped as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Those who send it, a passage each.
    pub senders: u16,
    /// Pages that they need, however their slices fall.
    pub pages: u32,
    /// Tokens that are sent, with what stands between and behind them.
    pub tokens: u32,
}

/// Most tokens that a text may need beyond its own, of those it was said in: one that begins no
/// character becomes U+FFFD, which is three bytes and may be three tokens.
const REPLACEMENT: u32 = 2;

impl Plan {
    /// Looks at every agent of a team.
    ///
    /// # Errors
    /// [`Problem::Opening`], and those of [`Team::spec`].
    pub fn new(
        team: &Team,
        chat: &Chat<'_>,
        model_context: u32,
        seed: u64,
        (kits, knowledge): (Vec<Option<Kit>>, Vec<Option<Given>>),
        spoken: u32,
    ) -> Result<Plan, TeamError> {
        let agents = Vec::with_capacity(team.agents.len());
        let mut plan = Plan { agents, model_context, seed, kits, knowledge, spoken };
        for index in 0..team.agents.len() {
            let planned = plan.look_at(team, index, chat)?;
            plan.agents.push(planned);
        }
        Ok(plan)
    }

    fn look_at(&self, team: &Team, index: usize, chat: &Chat<'_>) -> Result<Planned, TeamError> {
        let agent = &team.agents[index];
        let (tokens, sent): (Arc<[u32]>, _) = match self.same_as_before(team, index) {
            Some(tokens) => (tokens, None),
            None => {
                let opening = self.open(team, index, &vec![""; agent.after.len()], chat)?;
                let sent = Sent::of(&opening);
                (opening.whole().into(), sent)
            }
        };
        let most_said = |index: usize| {
            let agent = &team.agents[index];
            agent.max_tokens.min(agent.context.unwrap_or(self.model_context))
        };
        let told = agent.after.iter().fold(0u32, |sum, &other| sum.saturating_add(most_said(other)));
        let told = if agent.on_call { told.saturating_add(REQUEST_TOKENS) } else { told };
        let slack = told.saturating_mul(REPLACEMENT);
        let opening = (tokens.len() as u32).saturating_add(told);
        let results = self.results(team, index, chat);
        let spec = self.spec(team, index, opening, (results, self.spoken))?;
        let sent = sent.map(|sent| Sent { tokens: sent.tokens.saturating_add(told + slack), ..sent });
        Ok(Planned {
            opening: (agent.after.is_empty() && !agent.on_call && sent.is_none()).then_some(tokens),
            sent,
            answer: most_said(index),
            chain: self.kits[index].as_ref().map_or(Vec::new(), Kit::chain),
            results,
            reads: self.reads(team, index),
            slack,
            spec,
        })
    }

    /// Tokens of a long result of an agent's that the model reads.
    fn reads(&self, team: &Team, index: usize) -> u32 {
        let (Some(tools), Some(kit)) = (&team.agents[index].tools, &self.kits[index]) else { return 0 };
        let most =
            |tool: &Descriptor| tool.output_tokens.saturating_add(words::HEADER_TOKENS).min(tools.tokens);
        // What has a declared form is no running text, and what is short fits.
        let is_long = |tool: &&Descriptor| tool.output.is_none() && tool.output_bytes > most(tool) as usize;
        let most = kit.tools.iter().filter(is_long).map(most).max();
        match tools.reduce {
            Reduce::Words => 0,
            Reduce::Model => most.map_or(0, tokens_read).min(self.model_context),
        }
    }

    /// Tokens that results of an agent's calls may take of its context, with all that stands around them.
    fn results(&self, team: &Team, index: usize, chat: &Chat<'_>) -> Results {
        let agent = &team.agents[index];
        let (Some(tools), Some(kit)) = (&agent.tools, &self.kits[index]) else { return Results::default() };
        // What others will have answered is not known yet: then it is reminded of as much as anybody is.
        let reminder = match agent.after[..] {
            [] if !agent.on_call => words::reminder(&agent.prompt, chat.tokenizer),
            _ => String::new(),
        };
        let unknown = if agent.after.is_empty() && !agent.on_call {
            0
        } else {
            words::REMINDED_TOKENS as u32 + words::JOINT_TOKENS
        };
        let closes = if tools.choose == Choose::Model { words::CLOSES.len() as u32 } else { 0 };
        let around = |text: &str| match &kit.format {
            Some(format) => chat.around_own(text, format).saturating_add(unknown),
            None => chat.around(text, None).saturating_add(unknown).saturating_add(closes),
        };
        let chain = kit.chain();
        let mine = kit.tools.iter().enumerate();
        let mine = mine.filter(|(number, _)| chain.is_empty() || chain.contains(number));
        let repair = mine.filter(|(_, tool)| tool.output.is_some() && tool.effect != Effect::Irreversible);
        let repair = repair.map(|(_, tool)| around(&words::repair(tool, "", &reminder, tools.choose))).max();
        // With a result, the next call of a chain is asked for.
        let next = |&next: &usize| around(&words::result_and_next("", &kit.tools[next], &reminder));
        let alone = around(&words::result("", &reminder));
        let onward: u32 = kit.then.iter().map(next).map(|next| next.saturating_sub(alone)).sum();
        Results {
            sure: tools.context_tokens(alone).saturating_add(onward),
            again: repair.map_or(0, |around| around + words::HEADER_TOKENS + words::REASON_TOKENS),
        }
    }

    /// The opening of the agent before, if this one's is the same: copies are many and alike.
    fn same_as_before(&self, team: &Team, index: usize) -> Option<Arc<[u32]>> {
        let before = &team.agents[index.checked_sub(1)?];
        let agent = &team.agents[index];
        let same = agent.after.is_empty()
            && !agent.on_call
            && !before.on_call
            && agent.system == before.system
            && agent.prompt == before.prompt
            && agent.knowledge == before.knowledge
            && agent.tools == before.tools;
        self.agents.last().filter(|_| same)?.opening.clone()
    }

    /// What the kernel is told of an agent that opens with so many tokens, whose calls have results of so many, and
    /// with which a person may have `spoken`.
    ///
    /// # Errors
    /// Those of [`Team::spec`].
    pub fn spec(
        &self,
        team: &Team,
        index: usize,
        opening: u32,
        (results, spoken): (Results, u32),
    ) -> Result<Spec, TeamError> {
        let mut spec = team.spec(index, opening, self.model_context, (results, spoken))?;
        spec.sampling.seed = moved(spec.sampling.seed, self.seed, index);
        Ok(spec)
    }

    /// The conversation that an agent opens with when the others have answered this, and what it is asked. One that is
    /// on call has the request instead.
    pub fn conversation(&self, team: &Team, index: usize, said: &[&str]) -> (Vec<Message>, String) {
        let agent = &team.agents[index];
        let names = agent.after.iter().map(|&other| team.agents[other].name.as_str());
        let answers: Vec<Answer<'_>> = names.zip(said).map(|(name, &text)| Answer { name, text }).collect();
        let mut messages = opening(team, index, &answers);
        if let (true, Some(message), Some(request)) = (agent.on_call, messages.last_mut(), said.first()) {
            message.content = (*request).to_owned();
        }
        let request = messages.last().map_or(String::new(), |message| message.content.clone());
        match &self.kits[index] {
            None => (),
            Some(Kit { tools, chosen: Some(chosen), .. }) => {
                if let Some(message) = messages.last_mut() {
                    message.content = words::arguments_wanted(&tools[*chosen], &request);
                }
            }
            // Its template tells it.
            Some(Kit { format: Some(_), .. }) => (),
            Some(Kit { tools, chosen: None, .. }) => {
                let several = agent.tools.as_ref().is_some_and(|tools| tools.calls > 1);
                let offered = words::tools_offered(tools.iter()) + if several { words::SEVERAL } else { "" };
                offer(&mut messages, offered);
            }
        }
        (messages, request)
    }

    /// The tools that the model's template tells an agent of.
    fn offered(&self, index: usize) -> Vec<Value> {
        match &self.kits[index] {
            Some(Kit { tools, format: Some(_), .. }) => tools.iter().map(words::offered).collect(),
            _ => Vec::new(),
        }
    }

    /// The tokens of [`Plan::conversation`], behind what the agent is given to read.
    ///
    /// # Errors
    /// [`Problem::Opening`].
    pub fn open(
        &self,
        team: &Team,
        index: usize,
        said: &[&str],
        chat: &Chat<'_>,
    ) -> Result<Opening, TeamError> {
        let agent = &team.agents[index];
        let messages = self.conversation(team, index, said).0;
        let opening = match &self.knowledge[index] {
            None => {
                let tokens = chat.encode_offering(&messages, &self.offered(index));
                tokens.map(|tokens| Opening { tokens, ..Opening::default() })
            }
            Some(given) => given.open(&messages, chat),
        };
        opening.map_err(|error| team.error(agent.place, Problem::Opening { name: agent.name.clone(), error }))
    }
}

impl Sent {
    /// What is sent of an opening, if anything is.
    fn of(opening: &Opening) -> Option<Sent> {
        let pages = |passage| SliceLimits::DEFAULT.worst_pages(sender_context(passage));
        let sent = Sent {
            senders: opening.sent.len() as u16,
            pages: opening.sent.iter().map(pages).sum(),
            tokens: u32::try_from(opening.sent_tokens()).unwrap_or(u32::MAX),
        };
        (sent.senders > 0).then_some(sent)
    }

    /// What would do for either of two, one after the other.
    pub(super) fn most(self, other: Sent) -> Sent {
        Sent {
            senders: self.senders.max(other.senders),
            pages: self.pages.max(other.pages),
            tokens: self.tokens.max(other.tokens),
        }
    }
}

/// Tokens of the context of who sends a passage.
fn sender_context(passage: &SentPassage) -> u32 {
    u32::try_from(passage.context.len()).unwrap_or(u32::MAX)
}

/// Puts what is said of tools into the system message.
fn offer(messages: &mut Vec<Message>, text: String) {
    match messages.first_mut() {
        Some(Message { role: Role::System, content }) => content.extend(["\n\n", &text]),
        _ => messages.insert(0, Message { role: Role::System, content: text }),
    }
}

/// The sampling seed of an agent in a run with a seed. Seed 0 leaves the file's seeds as they are; any
/// other moves each agent's by a different distance.
fn moved(file: u64, run: u64, index: usize) -> u64 {
    const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
    file.wrapping_add(run.wrapping_mul(STRIDE).wrapping_mul(2 * index as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::moved;

    #[test]
    fn seed_0_is_the_file_s_and_others_part_the_agents() {
        assert_eq!(moved(77, 0, 5), 77);
        assert_ne!(moved(77, 1, 5), 77);
        assert_ne!(moved(0, 1, 0), moved(0, 1, 1));
        assert_ne!(moved(0, 1, 0), moved(0, 2, 0));
        assert_eq!(moved(0, 9, 3), moved(0, 9, 3));
    }
}
