//! Forgetting: a bounded agent's own choice of what it attends to no more.

use super::Kernel;
use crate::agent::{AgentId, MemoryMode, State};
use crate::call::CallError;
use crate::memory::select;

impl Kernel<'_> {
    /// From here on a bounded agent attends no more to the slices that a range of addresses touches. The sink, and
    /// what is still being written, it keeps. The tokens stay in its context; the pages are paged out.
    pub(super) fn forget(&mut self, agent: AgentId, start: u32, end: u32) -> Result<(), CallError> {
        let index = self.alive(agent)?;
        let rcb = self.rcb(index);
        if rcb.memory == MemoryMode::Exact {
            return Err(CallError::NotBounded { agent });
        }
        if rcb.state == State::Running {
            return Err(CallError::State { agent, state: rcb.state });
        }
        let layout = rcb.committed.layout;
        if self.any_cold(&self.table(index)[..layout.slices as usize]) {
            // What does not come from the store is computed again, which takes a context of which nothing is left out.
            return Err(CallError::State { agent, state: rcb.state });
        }
        let whole = (layout.slices as usize).saturating_sub(usize::from(layout.open > 0));
        let mut any = false;
        for entry in 1..whole {
            if self.table(index)[entry].forgotten || !self.touches(index, entry, start, end) {
                continue;
            }
            self.unpin(index, entry);
            let mapping = &mut self.table_mut(index)[entry];
            (mapping.selected, mapping.forgotten, mapping.mass, mapping.relevant) = (false, true, 0, 0);
            any = true;
        }
        if any {
            self.give_retrace_up(index);
            select::link(self.table_mut(index));
            // What comes after is not what the whole context would have given.
            let rcb = self.rcb_mut(index);
            (rcb.cursor.chain, rcb.committed.chain) = (None, None);
            self.leave_trail(index);
        }
        Ok(())
    }
}
