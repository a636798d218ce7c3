// The best candidates of a wanting row, best first, equal logits by lower token: one invocation a row.
// A block whose greatest logit is below the worst that is kept is not looked at.

@group(1) @binding(0) var<storage, read> logits: array<f32>;
@group(1) @binding(1) var<storage, read> blocks: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> report: array<u32>;

fn logit_at(place: u32) -> f32 {
    return bitcast<f32>(report[place + 1u]);
}

// Makes room among the `kept` candidates from `first` on, and puts one there. Tokens come in ascending
// order: an equal logit stays in front.
fn insert(first: u32, kept: u32, token: u32, logit: f32) {
    var place = min(kept, max(CANDIDATES, 1u) - 1u);
    loop {
        if place == 0u || logit_at(first + 2u * (place - 1u)) >= logit {
            break;
        }
        report[first + 2u * place] = report[first + 2u * (place - 1u)];
        report[first + 2u * place + 1u] = report[first + 2u * (place - 1u) + 1u];
        place -= 1u;
    }
    report[first + 2u * place] = token;
    report[first + 2u * place + 1u] = bitcast<u32>(logit);
}

@compute @workgroup_size(1)
fn choose(@builtin(global_invocation_id) id: vec3<u32>) {
    let want = id.y;
    let mask = mask_of(want);
    let first = step[REPORT_CANDIDATES] + want * CANDIDATES * 2u;
    var kept = 0u;
    var bound = LOWEST;
    for (var block = 0u; block < BLOCKS && CANDIDATES > 0u; block++) {
        if kept == CANDIDATES && blocks[want * BLOCKS + block].x <= bound {
            continue;
        }
        let end = min((block + 1u) * BLOCK, VOCAB);
        for (var token = block * BLOCK; token < end; token++) {
            let logit = logits[want * LOGITS_STRIDE + token];
            if (kept == CANDIDATES && logit <= bound) || !allows(mask, token) {
                continue;
            }
            insert(first, kept, token, logit);
            kept = min(kept + 1u, CANDIDATES);
            bound = logit_at(first + 2u * (kept - 1u));
        }
    }
    write_outcome(want, whole_of(want), kept);
}
