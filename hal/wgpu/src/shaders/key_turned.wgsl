// A key is turned by its offset inside its slice, as rotate.wgsl does it.

@group(1) @binding(3) var<storage, read> angles: array<vec2<f32>>;

fn key_of(row: u32, head: u32, dim: u32) -> f32 {
    let at = row * KV_STRIDE + head * HEAD_DIM;
    if dim >= 2u * PAIRS {
        return keys[at + dim];
    }
    let pair = select(dim / 2u, dim % PAIRS, HALVES);
    let dims = pair_of(pair);
    let turn = turn_of(row_at(row).offset, pair);
    let x = vec2(keys[at + dims.x], keys[at + dims.y]);
    if dim == dims.x {
        return fma(x.x, turn.x, -(x.y * turn.y));
    }
    return fma(x.x, turn.y, x.y * turn.x);
}
