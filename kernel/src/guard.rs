//! What may come next in an answer, where the host wants it in a form.

use agentos_hal::LateMasks;

use crate::agent::AgentId;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Any token.
    Anything,
    /// The tokens whose bits are set in the mask, which is at least one.
    Masked,
    /// It is being found out, or will be while the device computes: the step begins without it, and the guard is
    /// asked again before the device needs it. Only of a device that takes late masks.
    Later,
    /// It is not known yet: the agent waits, others go on.
    NotYet,
}

/// Tells for agents that are declared as guarded what their next token may be: the mask of a grammar.
///
/// The answer must be a function of the agent's context alone; whether it is given at once or [`Allowed::Later`] may
/// depend on anything. Then neither timing nor neighbours change what the agent says. It is asked again when a step
/// has failed, or had no room.
pub trait Guard {
    /// What may follow an agent's context, of which all tokens are known to the host. `mask` has a bit for
    /// each token of the vocabulary, as [`Step::masks`](agentos_hal::Step::masks); it is written whole where
    /// the answer is [`Allowed::Masked`].
    ///
    /// `late` is what the device does with masks that come after their step. It is [`LateMasks::Refused`] of one that
    /// takes none, and of any once a step lacks only this: then it is time to find out, however long that takes.
    /// [`Allowed::Later`] and [`Allowed::NotYet`] keep the whole step waiting then.
    fn next(&mut self, agent: AgentId, mask: &mut [u32], late: LateMasks) -> Allowed;

    /// Whether a token that ends answers, if it comes next, ends the agent's answer here. Where it does not, the agent
    /// goes on behind it as behind any other: the host has it call what it has written first. A function of the
    /// agent's context alone.
    fn ends(&self, agent: AgentId) -> bool;
}

/// Allows everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unguarded;

impl Guard for Unguarded {
    fn next(&mut self, _: AgentId, _: &mut [u32], _: LateMasks) -> Allowed {
        Allowed::Anything
    }

    fn ends(&self, _: AgentId) -> bool {
        true
    }
}
