//! Agents of the kernel that read and say nothing, and what is foretold where they read.

use agentos_hal::TensorDevice;
use agentos_kernel::agent::{Budget, Capabilities, MemoryMode, Metrics, OnEnd, Priority, Spec};
use agentos_kernel::memory::select::Policy;
use agentos_kernel::sample::Sampling;

use super::witness::{Seen, Witness};
use super::{Setup, Subject};
use crate::bench::BenchError;
use crate::bench::kernel::host::{self, Host, agent};
use crate::boot::Boot;

/// A kernel whose device tells what its rows foretell.
pub type Watched<'m, 'd> = Host<'static, 'm, Witness<'d>>;

/// A kernel without agents on a device that is watched.
///
/// # Errors
/// [`BenchError::Storage`].
pub fn watched<'m, 'd>(
    boot: &'m mut Boot,
    device: &'d mut dyn TensorDevice,
    policy: Policy,
) -> Result<Watched<'m, 'd>, BenchError> {
    let mut host = Host::new(boot, Witness::new(device))?;
    host.kernel.set_policy(policy);
    Ok(host)
}

/// An agent that reads what it is sent and says nothing.
pub fn reader(memory: MemoryMode, context: u32) -> Spec {
    Spec {
        memory,
        sampling: Sampling::GREEDY,
        budget: Budget { turn_tokens: 0, ..Budget::UNBOUNDED },
        capabilities: Capabilities::NONE,
        on_end: OnEnd::Listen,
        ..host::spec(0, Priority::NORMAL, context, 0)
    }
}

/// What the rows of a text behind another foretell, and what the agent used that read both, on a device that was
/// prepared with [`Setup::telling_limits`].
///
/// # Errors
/// Any [`BenchError`].
pub fn foretold(
    setup: &Setup,
    (before, text): (&[u32], &[u32]),
    subject: &Subject<'_>,
    device: &mut dyn TensorDevice,
) -> Result<(Seen, Metrics), BenchError> {
    let mut boot = Boot::new(setup.config(subject), subject.shape, subject.delimiters.to_vec(), Vec::new());
    let mut host = watched(&mut boot, device, setup.policy())?;
    host.device.watch(before.len() as u32, text);
    let id = host.spawn(reader(setup.mode(), setup.tokens), &[before, text].concat())?;
    host.rest()?;
    Ok((host.device.take(), agent(&host.kernel, id).metrics))
}
