// For drivers that run on a processor, where barriers are dear, and loads too, which they do lane by lane: one
// invocation computes COLUMNS outputs of HEIGHT rows by itself, so that it uses each number it loads often.

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let first = group.x * (WIDTH * COLUMNS) + index;
    let row = group.y * HEIGHT;
    // A column beyond the last reads the last, and is not stored.
    let last = product.last;
    //: for r in HEIGHT
    let x$r = input_at(row + $ru);
    //: for c in COLUMNS
    var total$r_$c = 0.0;
    //: end
    //: end
    for (var chunk = 0u; chunk < product.chunks; chunk += 1u) {
        //: for c in COLUMNS
        let packed$c = chunk_at(min(first + WIDTH * $cu, last), chunk);
        //: for r in HEIGHT
        var sum$r_$c = Sum();
        //: end
        //: end
        for (var i = 0u; i < 4u; i += 1u) {
            //: for r in HEIGHT
            let inputs$r = inputs_of(x$r, chunk, i);
            //: end
            //: for c in COLUMNS
            let weight$c = unpacked(packed$c, i);
            //: for r in HEIGHT
            sum$r_$c = linked(sum$r_$c, packed$c, i, weight$c, inputs$r);
            //: end
            //: end
        }
        //: for r in HEIGHT
        //: for c in COLUMNS
        total$r_$c += ended(sum$r_$c, packed$c, x$r, chunk);
        //: end
        //: end
    }
    //: for r in HEIGHT
    let totals$r = array<f32, COLUMNS>(
        //: for c in COLUMNS
        total$r_$c,
        //: end
    );
    //: for g in GATED
    //: for c in HALF_COLUMNS
    store_gated(row + $ru, first + WIDTH * $cu, totals$r[$c], totals$r[$c + HALF_COLUMNS]);
    //: end
    //: end
    //: for w in WEIGHING
    var squares$r = 0.0;
    //: for c in COLUMNS
    squares$r = store_weighed(row + $ru, first + WIDTH * $cu, totals$r[$c], squares$r);
    //: end
    keep_squares(row + $ru, group.x * WIDTH + index, squares$r);
    //: end
    //: for p in PLAIN
    //: for c in COLUMNS
    store(row + $ru, first + WIDTH * $cu, totals$r[$c]);
    //: end
    //: end
    //: end
}
