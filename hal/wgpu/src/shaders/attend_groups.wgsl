// Attention of one head of one row over one split, shared by a workgroup: sixteen pages at a time, by the
// running softmax. For scores an invocation has a token; for values it has two dimensions, of every
// TEAMS-th token.

@group(1) @binding(0) var<storage, read> angles: array<vec2<f32>>;
@group(1) @binding(1) var<storage, read> queries: array<f32>;
@group(1) @binding(2) var<storage, read> pages: array<vec4<u32>>;
@group(1) @binding(3) var<storage, read_write> parts: array<f32>;
@group(1) @binding(4) var<storage, read_write> context: array<f32>;
@group(1) @binding(5) var<storage, read_write> totals: array<vec4<f32>>;

const LEAST: f32 = -1e30;
const SLOTS: u32 = LANES / 8u;
const COUPLES: u32 = HEAD_DIM / 2u;
const TEAMS: u32 = LANES / COUPLES;

// Per page: where its head begins, tokens that are seen, and the slot that has its turned query.
var<workgroup> blocks: array<u32, SLOTS>;
var<workgroup> counts: array<u32, SLOTS>;
var<workgroup> turners: array<u32, SLOTS>;
var<workgroup> distances: array<u32, SLOTS>;
var<workgroup> turned: array<f32, SLOTS * HEAD_DIM>;
var<workgroup> shares: array<f32, LANES>;
var<workgroup> team_sums: array<vec2<f32>, LANES>;

fn key_at(block: u32, dim: u32, token: u32) -> f32 {
    if KV_F16 {
        return unpack2x16float(pages[block + dim][token / 2u])[token & 1u];
    }
    return bitcast<f32>(pages[block + 2u * dim + token / 4u][token & 3u]);
}

fn values_at(block: u32, token: u32, couple: u32) -> vec2<f32> {
    let half = block + HALF_WORDS / 4u;
    if KV_F16 {
        let word = token * COUPLES + couple;
        return unpack2x16float(pages[half + word / 4u][word & 3u]);
    }
    let word = token * HEAD_DIM + 2u * couple;
    let four = pages[half + word / 4u];
    return bitcast<vec2<f32>>(select(four.xy, four.zw, vec2((word & 2u) != 0u)));
}

// Fills the slots with the pages from a position on.
fn look(lane: u32, row: Row, head: u32, position: u32, end: u32) {
    if lane < SLOTS {
        counts[lane] = 0u;
        if position + lane < end {
            let seen = seen_at(position + lane, row.address);
            let first = step[step[SEGMENT_TABLE] + 4u * seen.segment + 2u];
            blocks[lane] = block_of(seen.page, head / GROUP);
            counts[lane] = seen.count;
            distances[lane] = seen.distance;
            turners[lane] = lane - min(lane, position + lane - first);
        }
    }
    workgroupBarrier();
}

// Turns the query once for each segment among the slots.
fn turn(lane: u32, query: u32) {
    for (var work = lane; work < SLOTS * COUPLES; work += LANES) {
        let slot = work / COUPLES;
        let couple = work % COUPLES;
        if counts[slot] == 0u || turners[slot] != slot {
            continue;
        }
        if couple < PAIRS {
            let by = turn_of(distances[slot], couple);
            let dims = pair_of(couple);
            let x = vec2(queries[query + dims.x], queries[query + dims.y]);
            turned[slot * HEAD_DIM + dims.x] = fma(x.x, by.x, -(x.y * by.y));
            turned[slot * HEAD_DIM + dims.y] = fma(x.x, by.y, x.y * by.x);
        } else {
            turned[slot * HEAD_DIM + 2u * couple] = queries[query + 2u * couple];
            turned[slot * HEAD_DIM + 2u * couple + 1u] = queries[query + 2u * couple + 1u];
        }
    }
    workgroupBarrier();
}

fn score(lane: u32) -> f32 {
    let slot = lane / 8u;
    let token = lane & 7u;
    if token >= counts[slot] {
        return LEAST;
    }
    let query = turners[slot] * HEAD_DIM;
    var sum = 0.0;
    for (var dim = 0u; dim < HEAD_DIM; dim++) {
        sum = fma(turned[query + dim], key_at(blocks[slot], dim, token), sum);
    }
    return sum * SCALE;
}

@compute @workgroup_size(LANES)
fn attend(@builtin(workgroup_id) group: vec3<u32>, lanes: Lanes) {
    let lane = lane_of(lanes);
    let head = group.x % HEADS;
    let split = group.x / HEADS;
    let row = row_at(group.y);
    let first = split * SPLIT_PAGES;
    let end = row.first_page + min(first + SPLIT_PAGES, row.pages);
    let query = group.y * QUERY_STRIDE + head * HEAD_DIM;
    let team = lane / COUPLES;
    let couple = lane % COUPLES;
    var greatest = LEAST;
    var running = vec2(0.0);
    var sums = vec2(0.0);
    for (var position = row.first_page + first; position < end; position += SLOTS) {
        look(lane, row, head, position, end);
        turn(lane, query);
        let mine = score(lane);
        let peak = max(greatest, greatest_of(lane, mine));
        let below = mine - peak;
        let share = select(0.0, exp_of(below), (lane & 7u) < counts[lane / 8u]);
        shares[lane] = share;
        let shrink = exp_of(greatest - peak);
        let old = vec2(running.x, fma(greatest - peak, running.x, running.y));
        running = fma(vec2(shrink), old, sum_of(lane, vec2(share, share * max(below, -1e3))));
        greatest = peak;
        sums *= shrink;
        if team < TEAMS {
            for (var token = team; token < LANES; token += TEAMS) {
                let slot = token / 8u;
                if (token & 7u) < counts[slot] {
                    sums = fma(vec2(shares[token]), values_at(blocks[slot], token & 7u, couple), sums);
                }
            }
        }
        // What the others still read is about to be written.
        workgroupBarrier();
    }
    team_sums[lane] = sums;
    workgroupBarrier();
    if first >= row.pages || lane >= COUPLES {
        return;
    }
    for (var other = 1u; other < TEAMS; other++) {
        sums += team_sums[other * COUPLES + lane];
    }
    if row.pages <= SPLIT_PAGES {
        context[query + 2u * lane] = sums.x / running.x;
        context[query + 2u * lane + 1u] = sums.y / running.x;
        if lane == 0u {
            totals[group.y * HEADS + head] = totals_of(greatest, running.x, running.y);
        }
        return;
    }
    let part = part_of(group.y, head, split);
    parts[part + 4u + 2u * lane] = sums.x;
    parts[part + 5u + 2u * lane] = sums.y;
    if lane == 0u {
        parts[part] = greatest;
        parts[part + 1u] = running.x;
        parts[part + 2u] = running.y;
    }
}
