// The rows that want an outcome, one after the other.

@group(1) @binding(0) var<storage, read> input: array<f32>;
@group(1) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < WIDTH && id.y < step[WANTS] {
        let row = step[step[WANT_TABLE] + 3u * id.y];
        out[id.y * STRIDE + id.x] = input[row * STRIDE + id.x];
    }
}
