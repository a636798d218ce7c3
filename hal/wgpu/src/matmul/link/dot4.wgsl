// Inputs as integers of 8 bits (`kernel/narrow.wgsl`): a chunk's sum is a whole number, which no order changes.

alias Sum = Dots;

fn unpacked(chunk: Chunk, i: u32) -> Weight {
    return codes(chunk, i);
}

/// Goes on with a chunk's sum.
fn linked(sum: Sum, chunk: Chunk, i: u32, weight: Weight, x: Inputs) -> Sum {
    return sum + weighed(chunk, i, dot4I8Packed(weight.x, x.x) + dot4I8Packed(weight.y, x.y));
}

/// What a chunk's sum means. Written so that no compiler contracts it with the addition behind it.
fn ended(sum: Sum, packed: Chunk, x: u32, chunk: u32) -> f32 {
    return fma(input[x + chunk].scale, of_chunk(packed, sum, input[x + chunk].sum), 0.0);
}
