// Keys turned by their offset inside their slice: one invocation a pair.

@group(1) @binding(0) var<storage, read> angles: array<vec2<f32>>;
@group(1) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn rotate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= KV_HEADS * PAIRS || id.y >= step[ROWS] {
        return;
    }
    let pair = id.x % PAIRS;
    let turn = turn_of(row_at(id.y).offset, pair);
    let at = vec2(id.y * KV_STRIDE + id.x / PAIRS * HEAD_DIM) + pair_of(pair);
    let x = vec2(out[at.x], out[at.y]);
    out[at.x] = fma(x.x, turn.x, -(x.y * turn.y));
    out[at.y] = fma(x.x, turn.y, x.y * turn.x);
}
