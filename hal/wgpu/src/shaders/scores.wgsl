// The scores of a page's eight tokens for one head of one row, in one invocation. The query is turned pair
// by pair on the way, so that nothing is kept in arrays: drivers unroll those, and compile for minutes.

const LEAST: f32 = -1e30;

struct Scores {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn plus_product(scores: Scores, x: f32, block: u32, dim: u32) -> Scores {
    let keys = keys_of(block, dim);
    return Scores(fma(vec4(x), keys[0], scores.low), fma(vec4(x), keys[1], scores.high));
}

// `query` is where the head's query begins. Scores of tokens that are not seen are LEAST.
fn scores_of(query: u32, distance: u32, block: u32, count: u32) -> Scores {
    var scores = Scores(vec4(0.0), vec4(0.0));
    // Bounds that the compiler cannot know keep it from unrolling.
    let pairs = min(PAIRS, arrayLength(&queries));
    for (var pair = 0u; pair < pairs; pair++) {
        let turn = turn_of(distance, pair);
        let dims = pair_of(pair);
        let x = vec2(queries[query + dims.x], queries[query + dims.y]);
        scores = plus_product(scores, fma(x.x, turn.x, -(x.y * turn.y)), block, dims.x);
        scores = plus_product(scores, fma(x.x, turn.y, x.y * turn.x), block, dims.y);
    }
    let dims = min(HEAD_DIM, arrayLength(&queries));
    for (var dim = 2u * pairs; dim < dims; dim++) {
        scores = plus_product(scores, queries[query + dim], block, dim);
    }
    let seen_low = vec4(0u, 1u, 2u, 3u) < vec4(count);
    let seen_high = vec4(4u, 5u, 6u, 7u) < vec4(count);
    scores.low = select(vec4(LEAST), scores.low * SCALE, seen_low);
    scores.high = select(vec4(LEAST), scores.high * SCALE, seen_high);
    return scores;
}

fn score_of(scores: Scores, token: u32) -> f32 {
    return select(scores.high[token & 3u], scores.low[token & 3u], token < 4u);
}

fn peak_of(scores: Scores) -> f32 {
    let most = max(scores.low, scores.high);
    return max(max(most.x, most.y), max(most.z, most.w));
}
