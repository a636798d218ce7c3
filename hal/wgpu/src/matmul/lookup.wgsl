@group(1) @binding(0) var<storage, read> weights: array<f32>;
@group(1) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn lookup(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= INNER || id.y >= step[ROWS] { return; }
    out[id.y * OUT + id.x] = weights[row_token(id.y) * INNER + id.x];
}
