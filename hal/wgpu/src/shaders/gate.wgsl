// gate = activation(gate) * up, element by element.

@group(1) @binding(0) var<storage, read_write> out: array<f32>;
@group(1) @binding(1) var<storage, read> up: array<f32>;

@compute @workgroup_size(64)
fn gate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < WIDTH && id.y < step[ROWS] {
        let at = id.y * STRIDE + id.x;
        out[at] = activation(out[at]) * up[at];
    }
}
