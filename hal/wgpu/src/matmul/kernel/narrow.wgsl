// Inputs of a product as integers of 8 bits, 32 to an invocation.

@group(1) @binding(0) var<storage, read> product: Product;
@group(1) @binding(1) var<storage, read> wide: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> narrowed: array<Narrow>;

/// Below it, inputs count as zeros: the reciprocal of a smaller number would overflow.
const LEAST: f32 = 1e-30;

fn greatest_of(x: vec4<f32>) -> f32 {
    let sizes = abs(x);
    return max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
}

fn are_finite(x: vec4<f32>) -> bool {
    return is_finite(x.x) && is_finite(x.y) && is_finite(x.z) && is_finite(x.w);
}

/// The low bytes of four numbers.
fn bytes_of(x: vec4<i32>) -> u32 {
    let low = vec4<u32>(x) & vec4<u32>(0xffu);
    return low.x | (low.y << 8u) | (low.z << 16u) | (low.w << 24u);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= product.chunks || id.y >= rows() {
        return;
    }
    let first = id.y * product.input_stride + id.x * 8u;
    var greatest = 0.0;
    var finite = true;
    for (var i = 0u; i < 8u; i++) {
        greatest = max(greatest, greatest_of(wide[first + i]));
        finite = finite && are_finite(wide[first + i]);
    }
    let counts = finite && greatest > LEAST;
    let inverse = select(0.0, 127.0 / greatest, counts);
    let to = id.y * product.chunks + id.x;
    var sum = vec4<i32>(0);
    for (var i = 0u; i < 4u; i++) {
        let a = vec4<i32>(round(wide[first + 2u * i] * inverse));
        let b = vec4<i32>(round(wide[first + 2u * i + 1u] * inverse));
        sum += a + b;
        if APART {
            narrowed[to].codes[i] = vec2(bytes_of(vec4(a.xz, b.xz)), bytes_of(vec4(a.yw, b.yw)));
        } else {
            narrowed[to].codes[i] = vec2(bytes_of(a), bytes_of(b));
        }
    }
    // What is no number, or infinite, makes sums that are no numbers.
    let fault = bitcast<f32>(0x7fc00000u | product.chunks);
    narrowed[to].scale = select(fault, select(0.0, greatest / 127.0, counts), finite);
    narrowed[to].sum = sum.x + sum.y + sum.z + sum.w;
}
