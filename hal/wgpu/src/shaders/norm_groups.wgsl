// Root-mean-square norm: one workgroup a vector. Each invocation sums every 64th square, and the sums
// fold in halves: one order, whatever the step.

const SHARERS: u32 = 64u;

var<workgroup> sums: array<f32, SHARERS>;

@compute @workgroup_size(SHARERS)
fn norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = group.y * STRIDE + group.x * WIDTH;
    var sum = 0.0;
    for (var i = lane; i < WIDTH; i += SHARERS) {
        let x = old(at + i);
        sum = fma(x, x, sum);
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = SHARERS / 2u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    let root = sqrt(sums[0] / f32(WIDTH) + EPS);
    for (var i = lane; i < WIDTH; i += SHARERS) {
        out[at + i] = old(at + i) / root * weight[i];
    }
}
