// Folds of numbers that have nothing in common, as every invocation gets them.

@group(1) @binding(0) var<storage, read_write> found: array<u32>;

// Marsaglia's xorshift.
fn noise(seed: u32) -> f32 {
    var word = seed * 2654435761u + 12345u;
    word ^= word << 13u;
    word ^= word >> 17u;
    word ^= word << 5u;
    return f32(word >> 8u) * 0x1p-20f - 7.0;
}

@compute @workgroup_size(LANES)
fn probe(@builtin(workgroup_id) group: vec3<u32>, lanes: Lanes) {
    let lane = lane_of(lanes);
    let at = group.x * LANES + lane;
    let x = noise(at);
    let sum = sum_of(lane, vec2(x, x * x));
    let greatest = greatest_of(lane, x);
    let again = sum_of(lane, vec2(greatest - x, 0.0));
    found[3u * at] = bitcast<u32>(sum.x) ^ bitcast<u32>(again.x);
    found[3u * at + 1u] = bitcast<u32>(sum.y);
    found[3u * at + 2u] = bitcast<u32>(greatest);
}
