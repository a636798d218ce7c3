//! Packing a matrix by several workers.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use agentos_hal::Tensor;

use crate::pack;
use crate::team::Team;

/// Packs a matrix into `out`, which is a whole number of strips long.
pub fn pack_matrix(team: &dyn Team, tensor: &Tensor<'_>, out: &mut [u8]) {
    let (rows, cols) = (tensor.info.rows as usize, tensor.info.cols as usize);
    let bytes = pack::strip_bytes(tensor.info.dtype, cols);
    let strips = pack::strips(rows);
    assert_eq!(out.len(), strips * bytes, "room for every strip");
    let out = Strips(out.as_mut_ptr());
    let next = AtomicUsize::new(0);
    team.run(&|_worker| {
        let out = &out;
        loop {
            let strip = next.fetch_add(1, Relaxed);
            if strip >= strips {
                return;
            }
            // SAFETY: each strip number is claimed once, strips do not overlap, and all lie in `out`.
            let out = unsafe { core::slice::from_raw_parts_mut(out.0.add(strip * bytes), bytes) };
            pack::pack_strip(tensor.info.dtype, tensor.bytes, rows, cols, strip, out);
        }
    });
}

struct Strips(*mut u8);

// SAFETY: workers write disjoint strips.
unsafe impl Sync for Strips {}
