// Sums over the vocabulary, block by block: one workgroup a block, one invocation a token.

@group(1) @binding(0) var<storage, read> logits: array<f32>;
@group(1) @binding(1) var<storage, read_write> blocks: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn head_blocks(@builtin(workgroup_id) group: vec3<u32>, lanes: Lanes) {
    let lane = lane_of(lanes);
    let token = group.x * LANES + lane;
    var logit = LOWEST;
    var says = false;
    var number = 1.0;
    if token < VOCAB {
        logit = logits[group.y * LOGITS_STRIDE + token];
        number = select(0.0, 1.0, is_finite(logit));
        says = allows(mask_of(group.y), token);
    }
    let greatest = greatest_of(lane, select(LOWEST, logit, says && number == 1.0));
    let numbers = -greatest_of(lane, -number);
    let below = select(-1e30, logit - greatest, says);
    let power = select(0.0, exp_of(below), says);
    let sums = sum_of(lane, vec2(power, power * max(below, -1e3)));
    if lane == 0u {
        blocks[group.y * BLOCKS + group.x] = vec4(greatest, sums, numbers);
    }
}
