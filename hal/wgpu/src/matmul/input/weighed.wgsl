// Rows that are to be normed, times the norm's weights (`store/weighing.wgsl`): what is left of the norm is one
// factor a row, which follows from the sums of squares that were left with them.

@group(1) @binding(INPUT) var<storage, read> input: array<vec4<f32>>;
@group(1) @binding(SQUARES) var<storage, read> squares: array<vec4<f32>>;

/// Where a row is, and its factor.
struct Source {
    at: u32,
    factor: f32,
}

fn source_of(row: u32) -> Source {
    let fours = 2u * ((product.inner + 63u) / 64u);
    var sums = vec4<f32>(0.0);
    for (var i = 0u; i < fours; i++) {
        sums += squares[row * fours + i];
    }
    let mean = ((sums.x + sums.y) + (sums.z + sums.w)) / f32(product.inner);
    return Source(row * product.input_stride, 1.0 / sqrt(mean + product.eps));
}

/// Four inputs of a row.
fn four_of(x: Source, index: u32) -> vec4<f32> {
    return input[x.at + index] * x.factor;
}
