//! What a benchmark tells of a GPU besides its speed: what a step costs the bus and the host, and what the
//! adapter can do at best.

use std::time::Duration;

use agentos_hal::PrepareError;
use agentos_wgpu::{Gpu, OpTime, Traffic};
use serde::Serialize;

use super::Ceiling;

/// What steps cost besides the device's own time: of all steps of a run, means where nothing else is said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepCost {
    /// Steps that were counted.
    pub steps: u64,
    /// Submissions of a step.
    pub submits: f64,
    /// Compute passes of a step.
    pub passes: f64,
    /// Dispatches of a step.
    pub dispatches: f64,
    /// Bytes that describe a step to the device.
    pub bytes_written: f64,
    /// Bytes of its report.
    pub bytes_read: f64,
    /// Milliseconds that the host took to describe, encode and submit a step: the median, since other programs
    /// of the machine take the processor away at times.
    pub encode_ms: f64,
    /// Time of the last step by kind of work, most first; empty where the adapter has no timestamps.
    pub ops: Vec<Op>,
}

/// Time of one kind of work in a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Op {
    /// Its kernel.
    pub name: &'static str,
    /// Its dispatches.
    pub dispatches: u32,
    /// Its time on the device, in microseconds.
    pub us: f64,
}

impl StepCost {
    /// What the steps between two readings of an adapter's counters cost; `encoded` are the times that they took
    /// to be encoded.
    pub fn between(before: &Traffic, after: &Traffic, encoded: &mut [Duration], ops: &[OpTime]) -> StepCost {
        encoded.sort_unstable();
        let encode = encoded.get(encoded.len() / 2).copied().unwrap_or_default();
        let steps = after.steps - before.steps;
        let mean = |of: fn(&Traffic) -> u64| (of(after) - of(before)) as f64 / steps.max(1) as f64;
        let op = |op: &OpTime| Op { name: op.op, dispatches: op.dispatches, us: op.ns as f64 / 1e3 };
        StepCost {
            steps,
            submits: mean(|traffic| traffic.submits),
            passes: mean(|traffic| traffic.passes),
            dispatches: mean(|traffic| traffic.dispatches),
            bytes_written: mean(|traffic| traffic.bytes_written),
            bytes_read: mean(|traffic| traffic.bytes_read),
            encode_ms: encode.as_secs_f64() * 1e3,
            ops: ops.iter().map(op).collect(),
        }
    }
}

/// Measures an adapter's own limits.
///
/// # Errors
/// Those of [`agentos_wgpu::ceiling::measure`].
pub fn measure_ceiling(gpu: &Gpu) -> Result<Ceiling, PrepareError> {
    let found = agentos_wgpu::ceiling::measure(gpu)?;
    Ok(Ceiling {
        operations_per_s: found.operations_per_s,
        integer_operations_per_s: None,
        bytes_per_s: found.bytes_per_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_those_of_the_steps_between() {
        let before = Traffic { steps: 2, dispatches: 100, bytes_read: 7, ..Traffic::default() };
        let after = Traffic { steps: 6, dispatches: 500, bytes_read: 47, ..Traffic::default() };
        let op = OpTime { op: "matmul", dispatches: 3, ns: 1500 };
        let mut encoded = [900, 1, 2].map(Duration::from_millis);
        let cost = StepCost::between(&before, &after, &mut encoded, &[op]);
        assert_eq!(cost.encode_ms, 2.0);
        assert_eq!((cost.steps, cost.dispatches, cost.bytes_read, cost.submits), (4, 100.0, 10.0, 0.0));
        assert_eq!(cost.ops, [Op { name: "matmul", dispatches: 3, us: 1.5 }]);
        let nothing = StepCost::between(&after, &after, &mut [], &[]);
        assert_eq!((nothing.dispatches, nothing.encode_ms), (0.0, 0.0));
    }
}
