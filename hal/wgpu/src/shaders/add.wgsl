// The same vector added to every row.

@group(1) @binding(0) var<storage, read> weight: array<f32>;
@group(1) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < WIDTH && id.y < step[ROWS] {
        out[id.y * STRIDE + id.x] += weight[id.x];
    }
}
