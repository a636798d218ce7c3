//! Times of a step's kernels, from timestamps that its pass leaves. For benchmarks: asking for them costs
//! time, and reading them waits for the device.

use agentos_hal::{PrepareError, Resource};

use crate::gpu::Gpu;

/// Time of one kind of kernel in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpTime {
    /// The kernel.
    pub op: &'static str,
    /// Its dispatches.
    pub dispatches: u32,
    /// From the end of what ran before to its own end, in nanoseconds, all dispatches together.
    pub ns: u64,
}

/// The features that timing kernels takes.
pub const FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// Timestamps of the last step.
pub struct Profiler {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
    /// What ended at each timestamp but the first: its name and dispatches.
    marks: Vec<(&'static str, u32)>,
}

/// Bytes of a timestamp.
const BYTES: u64 = 8;

impl Profiler {
    /// Room for the timestamps of a step; `None` where the device was not opened with [`FEATURES`].
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu) -> Result<Option<Profiler>, PrepareError> {
        use wgpu::BufferUsages as Usage;
        if !gpu.device.features().contains(FEATURES) {
            return Ok(None);
        }
        let bytes = u64::from(wgpu::QUERY_SET_MAX_QUERIES) * BYTES;
        let buffer = |usage| gpu.buffer(Resource::ScratchBytes, bytes, usage);
        Ok(Some(Profiler {
            set: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: wgpu::QUERY_SET_MAX_QUERIES,
            }),
            resolved: buffer(Usage::QUERY_RESOLVE | Usage::COPY_SRC)?,
            read: buffer(Usage::MAP_READ | Usage::COPY_DST)?,
            marks: Vec::with_capacity(wgpu::QUERY_SET_MAX_QUERIES as usize),
        }))
    }

    /// The pass begins.
    pub fn begin(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        self.marks.clear();
        pass.write_timestamp(&self.set, 0);
    }

    /// Another pass of the same step begins. What was between the two is nobody's time but the wait's.
    pub fn go_on(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        self.note(pass, "waiting", 1);
    }

    /// A kernel was encoded. Of a step with more kernels than there is room for, the last ones count as
    /// nothing.
    pub fn note(&mut self, pass: &mut wgpu::ComputePass<'_>, name: &'static str, dispatches: u32) {
        let next = self.marks.len() as u32 + 1;
        if dispatches > 0 && next < wgpu::QUERY_SET_MAX_QUERIES {
            self.marks.push((name, dispatches));
            pass.write_timestamp(&self.set, next);
        }
    }

    /// The pass has ended.
    pub fn end(&self, encoder: &mut wgpu::CommandEncoder) {
        let count = self.marks.len() as u32 + 1;
        encoder.resolve_query_set(&self.set, 0..count, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, u64::from(count) * BYTES);
    }

    /// The times of the last step, most first. Waits for it. Nothing where the device fails.
    pub fn times(&self, gpu: &Gpu) -> Vec<OpTime> {
        let bytes = (self.marks.len() as u64 + 1) * BYTES;
        let slice = self.read.slice(..bytes);
        slice.map_async(wgpu::MapMode::Read, |_| ());
        let stamps: Vec<u64> = match gpu.device.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) => match slice.get_mapped_range() {
                Ok(range) => range.chunks_exact(8).map(|bytes| u64::from_le_bytes(array(bytes))).collect(),
                Err(_) => Vec::new(),
            },
            Err(_) => Vec::new(),
        };
        self.read.unmap();
        summed(&self.marks, &stamps, f64::from(gpu.queue.get_timestamp_period()))
    }
}

fn array(bytes: &[u8]) -> [u8; 8] {
    let mut array = [0; 8];
    array.copy_from_slice(bytes);
    array
}

/// Times between timestamps by name, most first; `period` is nanoseconds of a tick. A clock that goes back
/// counts as nothing.
fn summed(marks: &[(&'static str, u32)], stamps: &[u64], period: f64) -> Vec<OpTime> {
    let mut times: Vec<OpTime> = Vec::new();
    for (&(op, dispatches), pair) in marks.iter().zip(stamps.windows(2)) {
        let ns = (pair[1].saturating_sub(pair[0]) as f64 * period) as u64;
        match times.iter_mut().find(|time| time.op == op) {
            Some(time) => (time.dispatches, time.ns) = (time.dispatches + dispatches, time.ns + ns),
            None => times.push(OpTime { op, dispatches, ns }),
        }
    }
    times.sort_by_key(|time| std::cmp::Reverse(time.ns));
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_one_kernel_are_summed_and_the_longest_comes_first() {
        let marks = [("norm", 1), ("matmul", 2), ("norm", 1), ("end", 1)];
        let time = |op, dispatches, ns| OpTime { op, dispatches, ns };
        let times = summed(&marks, &[10, 12, 20, 23, 5], 2.0);
        assert_eq!(times, [time("matmul", 2, 16), time("norm", 2, 10), time("end", 1, 0)]);
        assert_eq!(summed(&marks, &[], 1.0), []);
    }
}
