// Folds over a workgroup of LANES invocations, a power of two, in one order. Every invocation gets the
// result; all have to call.

var<workgroup> leaves: array<vec2<f32>, LANES>;

fn greatest_of(lane: u32, x: f32) -> f32 {
    workgroupBarrier();
    leaves[lane].x = x;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            leaves[lane].x = max(leaves[lane].x, leaves[lane + half].x);
        }
        workgroupBarrier();
    }
    return leaves[0].x;
}

fn sum_of(lane: u32, x: vec2<f32>) -> vec2<f32> {
    workgroupBarrier();
    leaves[lane] = x;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            leaves[lane] += leaves[lane + half];
        }
        workgroupBarrier();
    }
    return leaves[0];
}
