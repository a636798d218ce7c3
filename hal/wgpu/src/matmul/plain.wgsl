@group(1) @binding(0) var<storage, read> weights: array<f32>;
@group(1) @binding(1) var<storage, read> input: array<f32>;
@group(1) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn product(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= WIDTH || id.y >= step[COUNT] { return; }
    var sum = 0.0;
    for (var i = 0u; i < INNER; i++) {
        sum = fma(weights[id.x * INNER + i], input[id.y * IN + i], sum);
    }
    let at = id.y * OUT + id.x;
    if ADD { sum += out[at]; }
    out[at] = sum;
}
