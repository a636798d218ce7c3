// Inputs in single precision: a chunk's sum is a chain of fused multiply-adds.

@group(1) @binding(3) var<storage, read> input: array<vec4<f32>>;

alias Weight = Eight;
alias Sum = f32;

/// Where a row of the input starts. A row beyond the last reads the last, and is not stored.
fn input_at(row: u32) -> u32 {
    return min(row, max(rows(), 1u) - 1u) * product.input_stride;
}

/// Eight inputs of a chunk.
fn inputs_of(x: u32, chunk: u32, i: u32) -> Eight {
    let at = x + chunk * 8u + 2u * i;
    return Eight(input[at], input[at + 1u]);
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
fn ended(sum: Sum, packed: Chunk, x: u32, chunk: u32) -> f32 {
    return sum;
}
