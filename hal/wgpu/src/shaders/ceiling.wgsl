// Multiply-adds in registers: eight chains that do not wait for each other.

@group(1) @binding(0) var<storage, read_write> seeds: array<vec4<f32>>;

@compute @workgroup_size(256)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    let seed = seeds[id.x];
    let factor = seed * 0.5 + 0.25;
    var a = seed;
    var b = seed + 1.0;
    var c = seed + 2.0;
    var d = seed + 3.0;
    var e = seed + 4.0;
    var f = seed + 5.0;
    var g = seed + 6.0;
    var h = seed + 7.0;
    for (var turn = 0u; turn < 64u; turn += 1u) {
        a = fma(a, factor, seed);
        b = fma(b, factor, seed);
        c = fma(c, factor, seed);
        d = fma(d, factor, seed);
        e = fma(e, factor, seed);
        f = fma(f, factor, seed);
        g = fma(g, factor, seed);
        h = fma(h, factor, seed);
    }
    seeds[id.x] = (a + b + c + d + e + f + g + h) * 0.001;
}
