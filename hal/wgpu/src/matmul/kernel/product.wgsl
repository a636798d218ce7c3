// A matrix product, Σ weight[o][k] · x[r][k] for every row r and output o, and the one order in which every
// kernel sums: each chunk of 32 inner elements by itself, as `link/` says, and then the chunks' sums one after the
// other. So the number of rows, and with it the kernel, does not change a bit.

@group(1) @binding(0) var<storage, read> weights: array<u32>;
@group(1) @binding(1) var<storage, read> product: Product;
@group(1) @binding(2) var<storage, read_write> output: array<f32>;

/// A chunk of a column.
fn chunk_at(column: u32, chunk: u32) -> Chunk {
    let group = (column / 32u) * product.groups + chunk / GROUP_CHUNKS;
    return chunk_of(group * (32u * GROUP_WORDS) + column % 32u, chunk % GROUP_CHUNKS);
}
