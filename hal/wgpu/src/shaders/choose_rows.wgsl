// The best candidates of a wanting row, best first, equal logits by lower token: one invocation a row.

@group(1) @binding(0) var<storage, read> logits: array<f32>;
@group(1) @binding(1) var<storage, read> blocks: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> report: array<u32>;

@compute @workgroup_size(1)
fn choose(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = step[REPORT_CANDIDATES] + id.y * CANDIDATES * 2u;
    write_outcome(id.y, whole_of(id.y), choose_alone(id.y, first));
}
