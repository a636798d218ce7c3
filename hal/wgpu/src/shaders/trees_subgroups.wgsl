// The folds of trees.wgsl to the same bits: a subgroup folds what it has by shuffling, and what is left of all goes
// through workgroup memory to the next round. ROUNDS are enough for the smallest subgroups that the adapter has;
// with larger ones the last rounds find nothing to do. Invocations are numbered through their subgroups, whatever
// their places in the workgroup are.

struct Lanes {
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) place: u32,
    @builtin(subgroup_size) size: u32,
}

var<private> subgroup_width: u32;

fn lane_of(lanes: Lanes) -> u32 {
    subgroup_width = lanes.size;
    return lanes.subgroup * lanes.size + lanes.place;
}

var<workgroup> leaves: array<vec2<f32>, LANES>;

// What is left of `left` values, one for each subgroup's worth of them, as every invocation is to fold it next.
fn gathered(lane: u32, left: u32, reach: u32, folded: vec2<f32>) -> vec2<f32> {
    workgroupBarrier();
    if lane < left && (lane & (reach - 1u)) == 0u {
        leaves[lane / reach] = folded;
    }
    workgroupBarrier();
    return leaves[lane & (left / reach - 1u)];
}

fn greatest_of(lane: u32, x: f32) -> f32 {
    var greatest = x;
    var left = LANES;
    for (var round = 1u; round <= ROUNDS; round++) {
        let reach = min(subgroup_width, left);
        for (var apart = 1u; apart < reach; apart *= 2u) {
            greatest = max(greatest, subgroupShuffleXor(greatest, apart));
        }
        if round < ROUNDS {
            greatest = gathered(lane, left, reach, vec2(greatest)).x;
            left /= reach;
        }
    }
    return greatest;
}

fn sum_of(lane: u32, x: vec2<f32>) -> vec2<f32> {
    var sum = x;
    var left = LANES;
    for (var round = 1u; round <= ROUNDS; round++) {
        let reach = min(subgroup_width, left);
        for (var apart = 1u; apart < reach; apart *= 2u) {
            sum += subgroupShuffleXor(sum, apart);
        }
        if round < ROUNDS {
            sum = gathered(lane, left, reach, sum);
            left /= reach;
        }
    }
    return sum;
}
