//! How much room a result has in its agent's context, beside what stands around it.

use agentos_kernel::agent::AgentId;
use agentos_tools::Descriptor;

use super::run::Runner;
use super::tools::rcb;
use crate::team::prompt::Frame;
use crate::team::tools::{Around, words};

impl Runner<'_> {
    /// Tokens that stand around what an agent is told of its calls, whichever way it is told.
    pub(super) fn around(&self, index: usize, frame: Option<&Frame>, reminder: &str) -> Around {
        let Some(tools) = &self.team.agents[index].tools else { return Around::default() };
        let format = self.own_format(index);
        let around = |text: &str| match format {
            Some(format) => self.chat.around_own(text, format),
            None => self.chat.around(text, frame),
        };
        let result = match format {
            Some(_) => String::new(),
            None => words::result("", reminder),
        };
        let repair = |tool: &Descriptor| match format {
            Some(_) => words::repair_as_before(tool, "", reminder),
            None => words::repair(tool, "", reminder, tools.choose),
        };
        let closes = match format {
            None if self.writes_calls_itself(index) => words::CLOSES.len() as u32,
            _ => 0,
        };
        let repairable = self.desk.tools_of(index).filter(|tool| tool.is_repairable());
        let repairs = repairable.map(|tool| around(&repair(&tool.descriptor)));
        let behind = self.plan.agents[index].chain.iter().skip(1);
        let behind = behind.filter_map(|&next| self.desk.descriptor(index, next));
        let next = |next: &Descriptor| around(&words::result_and_next("", next, reminder));
        Around {
            result: around(&result).saturating_add(closes),
            repair: repairs.max().unwrap_or(0),
            next: behind.map(next).collect(),
        }
    }

    /// Tokens of an agent's context that each of so many results may take, beside what stands around all of them.
    pub(super) fn room(&self, agent: AgentId, count: u32, around: u32) -> u32 {
        let left = rcb(&self.kernel, agent).map_or(0, |rcb| {
            let of_all = u64::from(rcb.budget.tool_tokens).saturating_sub(rcb.metrics.tool_tokens);
            rcb.context.saturating_sub(rcb.tokens).min(u32::try_from(of_all).unwrap_or(u32::MAX))
        });
        let left = left.saturating_sub(around);
        if count <= 1 {
            return left;
        }
        let between = self.chat.text(words::NEXT).map_or(words::NEXT.len(), |tokens| tokens.len()) as u32;
        (left / count).saturating_sub(between + words::JOINT_TOKENS)
    }
}
