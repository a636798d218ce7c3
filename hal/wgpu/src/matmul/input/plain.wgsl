// Rows of a register as they are.

@group(1) @binding(INPUT) var<storage, read> input: array<vec4<f32>>;

/// Where a row is.
alias Source = u32;

fn source_of(row: u32) -> Source {
    return row * product.input_stride;
}

/// Four inputs of a row.
fn four_of(x: Source, index: u32) -> vec4<f32> {
    return input[x + index];
}
