// What products leave of a norm (`matmul/store/weighing.wgsl`), where no product is in front of it: one invocation
// for every eighth of 64 columns.

@group(1) @binding(0) var<storage, read> weight: array<f32>;
@group(1) @binding(1) var<storage, read> input: array<f32>;
@group(1) @binding(2) var<storage, read_write> weighed: array<f32>;
@group(1) @binding(3) var<storage, read_write> squares: array<f32>;

const SUMS: u32 = 8u * ((WIDTH + 63u) / 64u);

@compute @workgroup_size(16)
fn weigh(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= SUMS || id.y >= step[ROWS] {
        return;
    }
    let first = id.x / 8u * 64u + id.x % 8u;
    var sum = 0.0;
    for (var column = first; column < min(first + 64u, WIDTH); column += 8u) {
        let at = id.y * STRIDE + column;
        let x = input[at];
        weighed[at] = x * weight[column];
        sum = fma(x, x, sum);
    }
    squares[id.y * SUMS + id.x] = sum;
}
