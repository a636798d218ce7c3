// Root-mean-square norm: one invocation a vector.

@compute @workgroup_size(16)
fn norm(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= VECTORS || id.y >= step[ROWS] {
        return;
    }
    let at = id.y * STRIDE + id.x * WIDTH;
    var sums = array<f32, 4>(0.0, 0.0, 0.0, 0.0);
    for (var i = 0u; i < WIDTH; i++) {
        let x = old(at + i);
        sums[i & 3u] = fma(x, x, sums[i & 3u]);
    }
    let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    let root = sqrt(sum / f32(WIDTH) + EPS);
    for (var i = 0u; i < WIDTH; i++) {
        out[at + i] = old(at + i) / root * weight[i];
    }
}
