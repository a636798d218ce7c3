// A matrix product, Σ weight[o][k] · x[r][k] for every row r and output o, and the one order in which every
// kernel sums: a chain of fused multiply-adds over each chunk of 32 inner elements, starting at zero, and then
// the chunks' sums one after the other. So the number of rows, and with it the kernel, does not change a bit.

/// Some columns whose sums go to one register.
struct Out {
    /// The first column.
    start: u32,
    /// Outputs; columns that fill up a strip are none.
    outputs: u32,
    /// Where the first output goes in a row.
    first: u32,
    /// From one row to the next, in elements.
    stride: u32,
}

struct Product {
    /// Inner elements, in chunks of 32; the input has zeros beyond the last element.
    chunks: u32,
    /// Groups of chunks that share scales, in all of a column.
    groups: u32,
    /// The last column that there is: strips are whole.
    last: u32,
    /// From one row of the input to the next, in fours of elements.
    input_stride: u32,
    /// 1: add to the output.
    accumulate: u32,
    /// 1: of the rows that want an outcome.
    wants: u32,
    /// What of these is in use, the kind of store says.
    outs: array<Out, 3>,
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
