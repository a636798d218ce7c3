// A matrix product out[r][o] = Σ weight[o][k] · x[r][k], or added to out, and the one order in which every
// kernel sums: a chain of fused multiply-adds over each chunk of 32 inner elements, starting at zero, and
// then the chunks' sums one after the other. So the number of rows, and with it the kernel, does not change a bit.

// Where WOVEN is 1, the matrix is two, woven strip by strip: a strip of gates, the strip of as many ups, and so
// on, and out[r][o] = activation(gate) · up.

struct Product {
    /// Inner elements, in chunks of 32; the input has zeros beyond the last element.
    chunks: u32,
    /// Chunks that share scales, in all of an output.
    groups: u32,
    /// Outputs of this part of the matrix, or of this part of each of both.
    outputs: u32,
    /// Where its first output goes in a row of the output.
    first: u32,
    /// From one row of the input to the next, in fours of elements.
    input_stride: u32,
    /// From one row of the output to the next, in elements.
    output_stride: u32,
    /// 1: add to the output.
    accumulate: u32,
    /// 1: of the rows that want an outcome.
    wants: u32,
}

@group(1) @binding(0) var<storage, read> weights: array<u32>;
@group(1) @binding(1) var<storage, read> product: Product;
@group(1) @binding(2) var<storage, read_write> output: array<f32>;
@group(1) @binding(3) var<storage, read> input: array<vec4<f32>>;

fn rows() -> u32 {
    return step[select(ROWS, WANTS, product.wants == 1u)];
}

/// A chunk of a column.
fn chunk_at(column: u32, chunk: u32) -> Chunk {
    let group = (column / 32u) * product.groups + chunk / GROUP_CHUNKS;
    return chunk_of(group * (32u * GROUP_WORDS) + column % 32u, chunk % GROUP_CHUNKS);
}

/// The last column that there is: strips are whole.
fn last_column() -> u32 {
    return ((product.outputs - 1u) / 32u + 1u) * 32u * (1u + WOVEN) - 1u;
}

/// Goes on with a chunk's chain.
fn four_links(sum: f32, weight: vec4<f32>, x: vec4<f32>) -> f32 {
    return fma(weight.w, x.w, fma(weight.z, x.z, fma(weight.y, x.y, fma(weight.x, x.x, sum))));
}

fn chain(sum: f32, weight: Eight, x: vec4<f32>, y: vec4<f32>) -> f32 {
    return four_links(four_links(sum, weight.a, x), weight.b, y);
}

/// Where a row of the input starts. A row beyond the last reads the last, and is not stored.
fn input_at(row: u32) -> u32 {
    return min(row, max(rows(), 1u) - 1u) * product.input_stride;
}

fn store(row: u32, column: u32, sum: f32) {
    if row < rows() && column < product.outputs {
        let at = row * product.output_stride + product.first + column;
        if product.accumulate == 1u {
            output[at] += sum;
        } else {
            output[at] = sum;
        }
    }
}

/// Of two woven matrices: `column` is the gate's.
fn store_gated(row: u32, column: u32, gate: f32, up: f32) {
    let nth = column / 64u * 32u + column % 32u;
    if row < rows() && nth < product.outputs {
        output[row * product.output_stride + product.first + nth] = activation(gate) * up;
    }
}
