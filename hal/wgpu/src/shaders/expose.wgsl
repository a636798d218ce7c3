// Copies a register of the exposed rows into the report, for every tap that names it here.

@group(1) @binding(0) var<storage, read> operands: array<u32>;
@group(1) @binding(1) var<storage, read> input: array<f32>;
@group(1) @binding(2) var<storage, read_write> report: array<u32>;

@compute @workgroup_size(64)
fn expose(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= WIDTH || id.y >= step[EXPOSED] {
        return;
    }
    let row = step[step[EXPOSED_TABLE] + id.y];
    let x = bitcast<u32>(input[row * STRIDE + id.x]);
    let line = step[REPORT_EXPOSED] + id.y * step[EXPOSED_STRIDE];
    for (var tap = 0u; tap < step[TAPS]; tap++) {
        let at = step[TAP_TABLE] + 3u * tap;
        if step[at] == operands[0] && step[at + 1u] == REG {
            report[line + step[at + 2u] + id.x] = x;
        }
    }
}
