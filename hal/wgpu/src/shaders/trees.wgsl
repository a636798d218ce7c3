// Folds over a workgroup of LANES invocations, a power of two, in one order: neighbours first, then neighbouring
// pairs, and so on. Every invocation gets the result; all have to call.

struct Lanes {
    @builtin(local_invocation_index) index: u32,
}

fn lane_of(lanes: Lanes) -> u32 {
    return lanes.index;
}

var<workgroup> leaves: array<vec2<f32>, LANES>;

fn greatest_of(lane: u32, x: f32) -> f32 {
    workgroupBarrier();
    leaves[lane].x = x;
    workgroupBarrier();
    for (var apart = 1u; apart < LANES; apart *= 2u) {
        if (lane & (2u * apart - 1u)) == 0u {
            leaves[lane].x = max(leaves[lane].x, leaves[lane + apart].x);
        }
        workgroupBarrier();
    }
    return leaves[0].x;
}

fn sum_of(lane: u32, x: vec2<f32>) -> vec2<f32> {
    workgroupBarrier();
    leaves[lane] = x;
    workgroupBarrier();
    for (var apart = 1u; apart < LANES; apart *= 2u) {
        if (lane & (2u * apart - 1u)) == 0u {
            leaves[lane] += leaves[lane + apart];
        }
        workgroupBarrier();
    }
    return leaves[0];
}
