// Sums over the vocabulary, block by block: one invocation a block.

@group(1) @binding(0) var<storage, read> logits: array<f32>;
@group(1) @binding(1) var<storage, read_write> blocks: array<vec4<f32>>;

@compute @workgroup_size(16)
fn head_blocks(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= BLOCKS || id.y >= step[WANTS] {
        return;
    }
    let mask = mask_of(id.y);
    let row = id.y * LOGITS_STRIDE;
    let first = id.x * BLOCK;
    let end = min(first + BLOCK, VOCAB);
    var greatest = LOWEST;
    var numbers = 1.0;
    for (var token = first; token < end; token++) {
        let logit = logits[row + token];
        if !is_finite(logit) {
            numbers = 0.0;
        } else if allows(mask, token) {
            greatest = max(greatest, logit);
        }
    }
    var sum = 0.0;
    var weighted = 0.0;
    for (var token = first; token < end; token++) {
        if allows(mask, token) {
            let below = logits[row + token] - greatest;
            let power = exp_of(below);
            sum += power;
            weighted = fma(power, below, weighted);
        }
    }
    blocks[id.y * BLOCKS + id.x] = vec4(greatest, sum, weighted, numbers);
}
