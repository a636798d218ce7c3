// Root-mean-square norm: one workgroup a vector. Each invocation sums every LANES-th square, and the sums are
// folded: one order, whatever the step.

@compute @workgroup_size(LANES)
fn norm(@builtin(workgroup_id) group: vec3<u32>, lanes: Lanes) {
    let lane = lane_of(lanes);
    let at = group.y * STRIDE + group.x * WIDTH;
    var sum = 0.0;
    for (var i = lane; i < WIDTH; i += LANES) {
        let x = old(at + i);
        sum = fma(x, x, sum);
    }
    let root = sqrt(sum_of(lane, vec2(sum, 0.0)).x / f32(WIDTH) + EPS);
    for (var i = lane; i < WIDTH; i += LANES) {
        out[at + i] = old(at + i) / root * weight[i];
    }
}
