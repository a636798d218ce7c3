// A few rows: COLUMNS columns of HEIGHT rows in a workgroup. Its chunks are spread over SLICES invocations a
// column, ROUND chunks at a time, and their sums added in order.

var<workgroup> sums: array<f32, SUMS>;

/// The nth column of a workgroup. Of woven matrices, the second half are the ups of the first.
fn column_of(group: u32, nth: u32) -> u32 {
    //: for g in GATED
    let gate = group * HALF_COLUMNS + nth % HALF_COLUMNS;
    return gate / 32u * 64u + gate % 32u + nth / HALF_COLUMNS * 32u;
    //: end
    //: for p in PLAIN
    return group * COLUMNS + nth;
    //: end
}

@compute @workgroup_size(COLUMNS, SLICES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let column = column_of(group.x, local.x);
    let row = group.y * HEIGHT;
    //: for r in HEIGHT
    let x$r = input_at(row + $ru);
    //: end
    var total = 0.0;
    for (var first = 0u; first < product.chunks; first += ROUND) {
        let count = min(ROUND, product.chunks - first);
        for (var nth = local.y; nth < count; nth += SLICES) {
            let chunk = first + nth;
            let packed = chunk_at(column, chunk);
            //: for r in HEIGHT
            var sum$r = Sum();
            //: end
            //: for i in EIGHTS
            let weight$i = unpacked(packed, $iu);
            //: for r in HEIGHT
            sum$r = linked(sum$r, packed, $iu, weight$i, inputs_of(x$r, chunk, $iu));
            //: end
            //: end
            //: for r in HEIGHT
            sums[(nth * HEIGHT + $ru) * COLUMNS + local.x] = ended(sum$r, packed, x$r, chunk);
            //: end
        }
        workgroupBarrier();
        if index < HEIGHT * COLUMNS {
            for (var nth = 0u; nth < count; nth += 1u) {
                total += sums[nth * (HEIGHT * COLUMNS) + index];
            }
        }
        workgroupBarrier();
    }
    let column_here = column_of(group.x, index % COLUMNS);
    let row_here = row + index / COLUMNS;
    //: for g in GATED
    if index < HEIGHT * COLUMNS {
        sums[index] = total;
    }
    workgroupBarrier();
    if index < HEIGHT * COLUMNS && index % COLUMNS < HALF_COLUMNS {
        store_gated(row_here, column_here, total, sums[index + HALF_COLUMNS]);
    }
    //: end
    //: for p in PLAIN
    if index < HEIGHT * COLUMNS {
        store(row_here, column_here, total);
    }
    //: end
}
