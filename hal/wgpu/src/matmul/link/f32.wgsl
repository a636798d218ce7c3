// Inputs in single precision: a chunk's sum is a chain of fused multiply-adds.

alias Weight = Eight;
alias Sum = f32;

/// Where a row of the input starts. A row beyond the last reads the last, and is not stored.
fn input_at(row: u32) -> Source {
    return source_of(min(row, max(rows(), 1u) - 1u));
}

/// Eight inputs of a chunk.
fn inputs_of(x: Source, chunk: u32, i: u32) -> Eight {
    let four = chunk * 8u + 2u * i;
    return Eight(four_of(x, four), four_of(x, four + 1u));
}

fn unpacked(chunk: Chunk, i: u32) -> Weight {
    return eight(chunk, i);
}

fn four_links(sum: f32, weight: vec4<f32>, x: vec4<f32>) -> f32 {
    return fma(weight.w, x.w, fma(weight.z, x.z, fma(weight.y, x.y, fma(weight.x, x.x, sum))));
}

/// Goes on with a chunk's sum.
fn linked(sum: Sum, chunk: Chunk, i: u32, weight: Weight, x: Eight) -> Sum {
    return four_links(four_links(sum, weight.a, x.a), weight.b, x.b);
}

/// What a chunk's sum means.
fn ended(sum: Sum, packed: Chunk, x: Source, chunk: u32) -> f32 {
    return sum;
}
