// The blocks of a wanting row put together, in order.

const OUTCOME_WORDS: u32 = 8u;

// Greatest logit, sum of powers, the sum for the entropy, and whether all logits are numbers.
fn whole_of(want: u32) -> vec4<f32> {
    var whole = blocks[want * BLOCKS];
    for (var block = 1u; block < BLOCKS; block++) {
        let next = blocks[want * BLOCKS + block];
        whole.x = max(whole.x, next.x);
        whole.w = min(whole.w, next.w);
    }
    var sum = 0.0;
    var weighted = 0.0;
    for (var block = 0u; block < BLOCKS; block++) {
        let next = blocks[want * BLOCKS + block];
        let below = max(next.x - whole.x, -1e30);
        let shrink = exp_of(below);
        sum = fma(shrink, next.y, sum);
        weighted = fma(shrink, fma(below, next.y, next.z), weighted);
    }
    return vec4(whole.x, sum, weighted, whole.w);
}

fn write_outcome(want: u32, whole: vec4<f32>, candidates: u32) {
    let entry = step[WANT_TABLE] + 3u * want;
    let token = step[entry + 2u];
    var scored = 0.0;
    if token != NONE {
        scored = logits[want * LOGITS_STRIDE + token];
    }
    let at = step[REPORT_OUTCOMES] + want * OUTCOME_WORDS;
    report[at] = step[entry];
    report[at + 1u] = candidates;
    report[at + 2u] = bitcast<u32>(whole.x);
    report[at + 3u] = bitcast<u32>(whole.y);
    report[at + 4u] = bitcast<u32>(whole.z);
    report[at + 5u] = bitcast<u32>(scored);
    report[at + 6u] = u32(whole.w);
}
