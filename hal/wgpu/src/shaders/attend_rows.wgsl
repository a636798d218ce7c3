// Attention of one head of one row over one split: SPLIT_PAGES pages of its span, in address order, by
// the running softmax. One invocation, no barrier; sums are kept where they are left.

@group(1) @binding(0) var<storage, read> angles: array<vec2<f32>>;
@group(1) @binding(1) var<storage, read> queries: array<f32>;
@group(1) @binding(2) var<storage, read> pages: array<vec4<u32>>;
@group(1) @binding(3) var<storage, read_write> parts: array<vec4<f32>>;
@group(1) @binding(4) var<storage, read_write> context: array<vec4<f32>>;
@group(1) @binding(5) var<storage, read_write> totals: array<vec4<f32>>;

@compute @workgroup_size(8)
fn attend(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x % HEADS;
    let split = id.x / HEADS;
    if id.y >= step[ROWS] {
        return;
    }
    let row = row_at(id.y);
    let first = split * SPLIT_PAGES;
    if first >= row.pages {
        return;
    }
    let query = id.y * QUERY_STRIDE + head * HEAD_DIM;
    let part = part_of(id.y, head, split) / 4u;
    let eighths = min(HEAD_DIM / 8u, arrayLength(&parts));
    for (var i = 0u; i < 2u * eighths; i++) {
        parts[part + 1u + i] = vec4(0.0);
    }
    var greatest = LEAST;
    var total = 0.0;
    // The sum of share * (score - greatest), for the entropy.
    var weighted = 0.0;
    let end = row.first_page + min(first + SPLIT_PAGES, row.pages);
    for (var position = row.first_page + first; position < end; position++) {
        let seen = seen_at(position, row.address);
        let block = block_of(seen.page, head / GROUP);
        let scores = scores_of(query, seen.distance, block, seen.count);
        let peak = max(greatest, peak_of(scores));
        let shrink = exp_of(greatest - peak);
        weighted = shrink * fma(greatest - peak, total, weighted);
        total *= shrink;
        greatest = peak;
        var shares = array<f32, 8>();
        for (var token = 0u; token < seen.count; token++) {
            let below = score_of(scores, token) - peak;
            shares[token] = exp_of(below);
            total += shares[token];
            weighted = fma(shares[token], below, weighted);
        }
        for (var eighth = 0u; eighth < eighths; eighth++) {
            let at = part + 1u + 2u * eighth;
            var sum = mat2x4(parts[at] * shrink, parts[at + 1u] * shrink);
            for (var token = 0u; token < seen.count; token++) {
                let share = vec4(shares[token]);
                let values = values_of(block, token, eighth);
                sum = mat2x4(fma(share, values[0], sum[0]), fma(share, values[1], sum[1]));
            }
            parts[at] = sum[0];
            parts[at + 1u] = sum[1];
        }
    }
    if row.pages <= SPLIT_PAGES {
        for (var i = 0u; i < 2u * eighths; i++) {
            context[query / 4u + i] = parts[part + 1u + i] / total;
        }
        totals[id.y * HEADS + head] = totals_of(greatest, total, weighted);
        return;
    }
    parts[part] = vec4(greatest, total, weighted, 0.0);
}
