// Rows of a register, normed on their way: to the very bits that `shaders/norm_rows.wgsl` leaves, which norms in
// front of products of many rows.

@group(1) @binding(INPUT) var<storage, read> input: array<vec4<f32>>;
@group(1) @binding(NORM) var<storage, read> norm_weight: array<vec4<f32>>;

/// Where a row is, and what its elements are multiplied with.
struct Source {
    at: u32,
    inverse: f32,
}

fn source_of(row: u32) -> Source {
    let at = row * product.input_stride;
    var squares = vec4<f32>(0.0);
    for (var i = 0u; i < 8u * product.chunks; i++) {
        squares = fma(input[at + i], input[at + i], squares);
    }
    let sum = (squares.x + squares.y) + (squares.z + squares.w);
    return Source(at, inverse_root(sum, f32(product.inner), product.eps));
}

/// Four inputs of a row.
fn four_of(x: Source, index: u32) -> vec4<f32> {
    return input[x.at + index] * x.inverse * norm_weight[index];
}
