// The best candidates of a wanting row, best first, equal logits by lower token: one workgroup a row.
//
// The greatest logits of as many blocks as there are candidates bound the worst candidate from below. What
// reaches the bound is listed in any order, and each entry's place is the number of those before it: the
// order of the list decides nothing. Where the list overflows (logits that are equal, or sorted) the worst
// candidate itself is found bit by bit, and what is not worse is listed instead.

@group(1) @binding(0) var<storage, read> logits: array<f32>;
@group(1) @binding(1) var<storage, read> blocks: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> report: array<u32>;

const LIST: u32 = 1024u;

var<workgroup> bound: f32;
var<workgroup> listed: atomic<u32>;
var<workgroup> reaching: u32;
var<workgroup> tokens: array<u32, LIST>;
var<workgroup> values: array<f32, LIST>;

// A block's place among the greatest logits, those of lower blocks first.
fn place_of(want: u32, block: u32) -> u32 {
    let mine = blocks[want * BLOCKS + block].x;
    var place = 0u;
    for (var other = 0u; other < BLOCKS; other++) {
        let theirs = blocks[want * BLOCKS + other].x;
        if theirs > mine || (theirs == mine && other < block) {
            place += 1u;
        }
    }
    return place;
}

fn list(want: u32, lane: u32) {
    let mask = mask_of(want);
    for (var block = 0u; block < BLOCKS; block++) {
        if blocks[want * BLOCKS + block].x < bound {
            continue;
        }
        let token = block * BLOCK + lane;
        if token >= VOCAB {
            continue;
        }
        let logit = logits[want * LOGITS_STRIDE + token];
        if logit >= bound && allows(mask, token) {
            let at = atomicAdd(&listed, 1u);
            if at < LIST {
                tokens[at] = token;
                values[at] = logit;
            }
        }
    }
}

// Orders as logits do; both zeros are the same.
fn ordered(logit: f32) -> u32 {
    let bits = select(bitcast<u32>(logit), 0u, logit == 0.0);
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

// Whether a token comes before all of those behind `last` that have the logit of `key`.
fn reaches(want: u32, mask: u32, token: u32, key: u32, last: u32) -> bool {
    let mine = ordered(logits[want * LOGITS_STRIDE + token]);
    return (mine > key || (mine == key && token <= last)) && allows(mask, token);
}

// How many tokens do. Whole numbers of this size are exact in any order.
fn count_reaching(want: u32, lane: u32, key: u32, last: u32) -> u32 {
    let mask = mask_of(want);
    var count = 0u;
    for (var token = lane; token < VOCAB; token += LANES) {
        count += select(0u, 1u, reaches(want, mask, token, key, last));
    }
    return u32(sum_of(lane, vec2(f32(count), 0.0)).x);
}

// Lists the candidates and nothing else.
fn list_exactly(want: u32, lane: u32) {
    var key = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        if count_reaching(want, lane, key | bit, VOCAB) >= CANDIDATES {
            key |= bit;
        }
    }
    // The last token of those with the worst logit that is still a candidate.
    var last = 0u;
    for (var bit = 1u << firstLeadingBit(VOCAB); bit > 0u; bit >>= 1u) {
        if count_reaching(want, lane, key, last + bit - 1u) < CANDIDATES {
            last += bit;
        }
    }
    if lane == 0u {
        atomicStore(&listed, 0u);
    }
    workgroupBarrier();
    let mask = mask_of(want);
    for (var token = lane; token < VOCAB; token += LANES) {
        if reaches(want, mask, token, key, last) {
            let at = atomicAdd(&listed, 1u);
            if at < LIST {
                tokens[at] = token;
                values[at] = logits[want * LOGITS_STRIDE + token];
            }
        }
    }
}

fn before(other: u32, entry: u32) -> bool {
    return values[other] > values[entry] || (values[other] == values[entry] && tokens[other] < tokens[entry]);
}

@compute @workgroup_size(LANES)
fn choose(@builtin(workgroup_id) group: vec3<u32>, lanes: Lanes) {
    let lane = lane_of(lanes);
    let want = group.y;
    if lane == 0u {
        bound = LOWEST;
        atomicStore(&listed, 0u);
    }
    workgroupBarrier();
    if BLOCKS >= CANDIDATES && CANDIDATES > 0u {
        for (var block = lane; block < BLOCKS; block += LANES) {
            if place_of(want, block) + 1u == CANDIDATES {
                bound = blocks[want * BLOCKS + block].x;
            }
        }
    }
    workgroupBarrier();
    list(want, lane);
    let whole = whole_shared(want, lane);
    workgroupBarrier();
    if lane == 0u {
        reaching = atomicLoad(&listed);
    }
    if workgroupUniformLoad(&reaching) > LIST {
        list_exactly(want, lane);
    }
    workgroupBarrier();
    let count = atomicLoad(&listed);
    let first = step[REPORT_CANDIDATES] + want * CANDIDATES * 2u;
    for (var entry = lane; entry < count; entry += LANES) {
        var place = 0u;
        for (var other = 0u; other < count; other++) {
            place += select(0u, 1u, before(other, entry));
        }
        if place < CANDIDATES {
            report[first + 2u * place] = tokens[entry];
            report[first + 2u * place + 1u] = bitcast<u32>(values[entry]);
        }
    }
    if lane == 0u {
        write_outcome(want, whole, min(count, CANDIDATES));
    }
}

// As `whole_of`, each invocation over every LANES-th block.
fn whole_shared(want: u32, lane: u32) -> vec4<f32> {
    var greatest = LOWEST;
    var numbers = 1.0;
    for (var block = lane; block < BLOCKS; block += LANES) {
        let next = blocks[want * BLOCKS + block];
        greatest = max(greatest, next.x);
        numbers = min(numbers, next.w);
    }
    greatest = greatest_of(lane, greatest);
    numbers = -greatest_of(lane, -numbers);
    var sums = vec2(0.0);
    for (var block = lane; block < BLOCKS; block += LANES) {
        let next = blocks[want * BLOCKS + block];
        let below = max(next.x - greatest, -1e30);
        sums = fma(vec2(exp_of(below)), vec2(next.y, fma(below, next.y, next.z)), sums);
    }
    return vec4(greatest, sum_of(lane, sums), numbers);
}
