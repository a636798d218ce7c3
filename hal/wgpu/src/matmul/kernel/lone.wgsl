// For drivers that run on a processor, where barriers are dear: one invocation computes one output of HEIGHT
// rows by itself.

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let column = group.x * WIDTH + index;
    let row = group.y * HEIGHT;
    // The last strip may be half beyond the workgroups' outputs; no strip lies behind it.
    if column >= product.outputs {
        return;
    }
    //: for r in HEIGHT
    let x$r = input_at(row + $ru);
    var total$r = 0.0;
    //: end
    for (var chunk = 0u; chunk < product.chunks; chunk += 1u) {
        let packed = chunk_at(column, chunk);
        //: for r in HEIGHT
        var sum$r = 0.0;
        //: end
        let at = chunk * 8u;
        //: for i in EIGHTS
        let weight$i = eight(packed, $iu);
        //: for r in HEIGHT
        sum$r = chain(sum$r, weight$i, input[x$r + at + 2u * $iu], input[x$r + at + 2u * $iu + 1u]);
        //: end
        //: end
        //: for r in HEIGHT
        total$r += sum$r;
        //: end
    }
    //: for r in HEIGHT
    store(row + $ru, column, total$r);
    //: end
}
