@group(1) @binding(0) var<storage, read_write> found: array<u32>;

@compute @workgroup_size(64)
fn probe(@builtin(global_invocation_id) id: vec3<u32>) {
    found[id.x] = bitcast<u32>(half_number(id.x));
}
