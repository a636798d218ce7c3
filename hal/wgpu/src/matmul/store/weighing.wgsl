// out += sum, and what the norm behind it is made of: out times the norm's weights, and sums of its squares, each of
// what one invocation stores.

@group(1) @binding(4) var<storage, read_write> weighed_rows: array<f32>;
@group(1) @binding(5) var<storage, read_write> squares: array<f32>;
@group(1) @binding(6) var<storage, read> norm_weight: array<f32>;

/// Goes on with a sum of squares.
fn store_weighed(row: u32, column: u32, sum: f32, before: f32) -> f32 {
    let out = product.outs[0];
    if row >= rows() || column >= out.outputs {
        return before;
    }
    let at = row * out.stride + column;
    let x = output[at] + sum;
    output[at] = x;
    weighed_rows[at] = x * norm_weight[column];
    return fma(x, x, before);
}

/// Keeps the sum of eight columns: every eighth of 64.
fn keep_squares(row: u32, nth: u32, sum: f32) {
    if row < rows() {
        squares[row * 8u * ((product.outs[0].outputs + 63u) / 64u) + nth] = sum;
    }
}
