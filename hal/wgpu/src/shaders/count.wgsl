// The counters of a layer that is counted: one invocation for a row and a page that it sees. Shares are
// computed once more; masses are whole numbers, so that the order of additions decides nothing.

@group(1) @binding(0) var<storage, read> angles: array<vec2<f32>>;
@group(1) @binding(1) var<storage, read> queries: array<f32>;
@group(1) @binding(2) var<storage, read> pages: array<vec4<u32>>;
@group(1) @binding(3) var<storage, read> totals: array<vec4<f32>>;
@group(1) @binding(4) var<storage, read_write> masses: array<atomic<u32>>;
@group(1) @binding(5) var<storage, read_write> report: array<atomic<u32>>;

// Units of 2^-32, as two words, the lower one first.
fn mass_of(share: f32) -> vec2<u32> {
    let whole = floor(share);
    let units = vec2(u32((share - whole) * 4294967296.0), u32(whole));
    return select(vec2(0u), units, is_finite(share));
}

fn plus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn add_mass(at: u32, mass: vec2<u32>) {
    let before = atomicAdd(&masses[at], mass.x);
    let carry = select(0u, 1u, before + mass.x < before);
    if mass.y + carry != 0u {
        atomicAdd(&masses[at + 1u], mass.y + carry);
    }
}

fn add_segment_mass(at: u32, mass: vec2<u32>) {
    let before = atomicAdd(&report[at], mass.x);
    let carry = select(0u, 1u, before + mass.x < before);
    if mass.y + carry != 0u {
        atomicAdd(&report[at + 1u], mass.y + carry);
    }
}

@compute @workgroup_size(8)
fn count(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.y >= step[ROWS] {
        return;
    }
    let row = row_at(id.y);
    if id.x >= row.pages {
        return;
    }
    let seen = seen_at(row.first_page + id.x, row.address);
    var of_tokens: array<vec2<u32>, 8>;
    for (var token = 0u; token < 8u; token++) {
        of_tokens[token] = vec2(0u);
    }
    var entropy = 0.0;
    for (var head = 0u; head < HEADS; head++) {
        let query = id.y * QUERY_STRIDE + head * HEAD_DIM;
        let scores = scores_of(query, seen.distance, block_of(seen.page, head / GROUP), seen.count);
        let of_head = totals[id.y * HEADS + head];
        for (var token = 0u; token < seen.count; token++) {
            let share = exp_of(score_of(scores, token) - of_head.x) / of_head.y;
            of_tokens[token] = plus(of_tokens[token], mass_of(share));
        }
        entropy += of_head.z;
    }
    var of_page = vec2(0u);
    for (var token = 0u; token < seen.count; token++) {
        add_mass(2u * (seen.page * 8u + token), of_tokens[token]);
        of_page = plus(of_page, of_tokens[token]);
    }
    add_segment_mass(step[REPORT_MASS] + 2u * seen.segment, of_page);
    // One invocation of the row counts for all of it.
    if id.x == 0u {
        let before = bitcast<f32>(atomicLoad(&report[id.y]));
        atomicStore(&report[id.y], bitcast<u32>(before + entropy));
    }
}
