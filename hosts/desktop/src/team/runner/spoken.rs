//! What a person says to all agents while they pause (SIG_USER).

use agentos_hal::Clock;
use agentos_kernel::call::{Call, Tokens};

use super::mute::bytes_of;
use super::roster::Phase;
use super::run::Runner;

/// Tokens that a person may have with each agent: what is said, and room for more answers to it than that.
pub const SPOKEN_TOKENS: u32 = 256;

impl Runner<'_> {
    /// Everybody who still speaks reads this at the end of the answer that is under way, and answers it too.
    pub(super) fn say_to_all(&mut self, words: &str) {
        if words.trim().is_empty() {
            return;
        }
        let now_us = self.clock.now().micros;
        for index in 0..self.roster.members.len() {
            let Phase::Alive(agent) = self.roster.members[index].phase else { continue };
            let tokens = self.turn_of_person(index, words);
            let bytes = bytes_of(&tokens);
            if let Err(error) = self.kernel.call(None, &Call::Send(agent, Tokens(&bytes)), now_us) {
                self.desk.tell(&format!("{} was not told: {error}", self.team.agents[index].name));
            }
        }
    }

    /// The tokens by which an agent is told something behind an answer that ends as the model ends answers.
    fn turn_of_person(&self, index: usize, words: &str) -> Vec<u32> {
        let member = &self.roster.members[index];
        let said = match &member.caller {
            Some(caller) => caller.said.clone(),
            None => self.plan.conversation(self.team, index, &self.said(index)).0,
        };
        let turn = |end| self.chat.follow_up(&said, words, end).ok();
        let whole = turn(None);
        let ends = |token: &u32| self.chat.tokenizer.is_end_of_generation(*token);
        let end = whole.as_ref().and_then(|tokens| tokens.iter().copied().find(ends));
        // A template that cannot go on leaves it without a turn of its own: the agent reads it all the same.
        turn(end).or(whole).unwrap_or_else(|| self.chat.text(words).unwrap_or_default())
    }
}
