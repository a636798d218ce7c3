// The best candidates of a wanting row by one invocation. A block whose greatest logit is not above the
// worst that is kept is not looked at.

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

fn choose_alone(want: u32, first: u32) -> u32 {
    let mask = mask_of(want);
    var kept = 0u;
    var worst = LOWEST;
    for (var block = 0u; block < BLOCKS && CANDIDATES > 0u; block++) {
        if kept == CANDIDATES && blocks[want * BLOCKS + block].x <= worst {
            continue;
        }
        let end = min((block + 1u) * BLOCK, VOCAB);
        for (var token = block * BLOCK; token < end; token++) {
            let logit = logits[want * LOGITS_STRIDE + token];
            if (kept == CANDIDATES && logit <= worst) || !allows(mask, token) {
                continue;
            }
            insert(first, kept, token, logit);
            kept = min(kept + 1u, CANDIDATES);
            worst = logit_at(first + 2u * (kept - 1u));
        }
    }
    return kept;
}
