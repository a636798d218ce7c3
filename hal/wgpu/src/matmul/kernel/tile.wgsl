// Many rows: a tile of 64 outputs and 16 · HEIGHT rows in a workgroup, 4 outputs and HEIGHT rows in the registers
// of an invocation. A chunk of the weights is unpacked once for all rows of the tile; the next one is fetched
// meanwhile.

/// Fours of inner elements, by output. The fours of output o are permuted by o, so that neighbouring outputs
/// lie in different banks.
var<workgroup> left: array<vec4<f32>, 512>;
/// Fours of inner elements, by row.
var<workgroup> right: array<vec4<f32>, RIGHT>;

fn four_outputs(sum: vec4<f32>, w: array<vec4<f32>, 4>, x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        four_links(sum.x, w[0], x),
        four_links(sum.y, w[1], x),
        four_links(sum.z, w[2], x),
        four_links(sum.w, w[3], x),
    );
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let first_column = group.x * 64u;
    let first_row = group.y * (16u * HEIGHT);

    // Each invocation unpacks eight elements of one output, and copies fours of elements of some rows.
    let unpacks = index % 64u;
    let eighth = index / 64u;
    let left_at = unpacks * 8u + ((2u * eighth) ^ (unpacks & 6u));
    let swapped = (unpacks & 1u) == 1u;
    // A column beyond the last reads the last, and is not stored.
    let column = min(first_column + unpacks, product.last);
    let four = index % 8u;
    //: for c in COPIES
    let x$c = input_at(first_row + index / 8u + 32u * $cu) + four;
    //: end

    var weight = eight(chunk_at(column, 0u), eighth);
    //: for c in COPIES
    var next$c = input[x$c];
    //: end
    //: for r in HEIGHT
    var total$r = vec4<f32>(0.0);
    //: end
    for (var chunk = 0u; chunk < product.chunks; chunk += 1u) {
        left[left_at] = select(weight.a, weight.b, swapped);
        left[left_at + 1u] = select(weight.b, weight.a, swapped);
        //: for c in COPIES
        right[index + 256u * $cu] = next$c;
        //: end
        workgroupBarrier();
        let ahead = min(chunk + 1u, product.chunks - 1u);
        weight = eight(chunk_at(column, ahead), eighth);
        //: for c in COPIES
        next$c = input[x$c + ahead * 8u];
        //: end
        //: for r in HEIGHT
        var sum$r = vec4<f32>(0.0);
        //: end
        //: for k in FOURS
        let at$k = local.x * 8u + ($ku ^ (local.x & 7u));
        let w$k = array<vec4<f32>, 4>(left[at$k], left[at$k + 128u], left[at$k + 256u], left[at$k + 384u]);
        //: for r in HEIGHT
        sum$r = four_outputs(sum$r, w$k, right[(local.y + 16u * $ru) * 8u + $ku]);
        //: end
        //: end
        //: for r in HEIGHT
        total$r += sum$r;
        //: end
        workgroupBarrier();
    }
    let to = first_column + local.x;
    //: for r in HEIGHT
    let row$r = first_row + local.y + 16u * $ru;
    //: for g in GATED
    store_gated(row$r, to, total$r.x, total$r.z);
    store_gated(row$r, to + 16u, total$r.y, total$r.w);
    //: end
    //: for p in PLAIN
    store(row$r, to, total$r.x);
    store(row$r, to + 16u, total$r.y);
    store(row$r, to + 32u, total$r.z);
    store(row$r, to + 48u, total$r.w);
    //: end
    //: end
}
