// Where inputs are that are rounded (`kernel/narrow.wgsl`), whatever numbers they are.

@group(1) @binding(INPUT) var<storage, read> input: array<Narrow>;

alias Weight = Inputs;

/// Where a row of the input starts. A row beyond the last reads the last, and is not stored.
fn input_at(row: u32) -> u32 {
    return min(row, max(rows(), 1u) - 1u) * product.chunks;
}

/// Eight inputs of a chunk.
fn inputs_of(x: u32, chunk: u32, i: u32) -> Inputs {
    return input[x + chunk].codes[i];
}
