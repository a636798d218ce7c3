// Inputs as integers of 8 bits (`kernel/narrow.wgsl`): a chunk's sum is a whole number, which no order changes.

@group(1) @binding(3) var<storage, read> input: array<Narrow>;

alias Weight = Inputs;
alias Sum = Dots;

/// Where a row of the input starts. A row beyond the last reads the last, and is not stored.
fn input_at(row: u32) -> u32 {
    return min(row, max(rows(), 1u) - 1u) * product.chunks;
}

/// Eight inputs of a chunk.
fn inputs_of(x: u32, chunk: u32, i: u32) -> Inputs {
    return input[x + chunk].codes[i];
}

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
