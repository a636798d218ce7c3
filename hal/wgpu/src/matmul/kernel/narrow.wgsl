// Inputs of a product as numbers of fewer bits, 32 to an invocation: the greatest of them is STEPS.

@group(1) @binding(0) var<storage, read> product: Product;
@group(1) @binding(2) var<storage, read_write> narrowed: array<Narrow>;

/// Below it, inputs count as zeros: the reciprocal of a smaller number would overflow.
const LEAST: f32 = 1e-30;

/// Eight inputs, and their sum.
struct Rounded {
    codes: Inputs,
    sum: Dots,
}

fn greatest_of(x: vec4<f32>) -> f32 {
    let sizes = abs(x);
    return max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
}

fn are_finite(x: vec4<f32>) -> bool {
    return is_finite(x.x) && is_finite(x.y) && is_finite(x.z) && is_finite(x.w);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= product.chunks || id.y >= rows() {
        return;
    }
    let x = source_of(id.y);
    let first = id.x * 8u;
    var greatest = 0.0;
    var finite = true;
    for (var i = 0u; i < 8u; i++) {
        let four = four_of(x, first + i);
        greatest = max(greatest, greatest_of(four));
        finite = finite && are_finite(four);
    }
    let counts = finite && greatest > LEAST;
    let inverse = select(0.0, STEPS / greatest, counts);
    let to = id.y * product.chunks + id.x;
    var sum = Dots();
    for (var i = 0u; i < 4u; i++) {
        let a = four_of(x, first + 2u * i) * inverse;
        let b = four_of(x, first + 2u * i + 1u) * inverse;
        var eight = rounded(a, b);
        if APART {
            eight = rounded(vec4(a.xz, b.xz), vec4(a.yw, b.yw));
        }
        narrowed[to].codes[i] = eight.codes;
        sum += eight.sum;
    }
    // What is no number, or infinite, makes sums that are no numbers.
    let fault = bitcast<f32>(0x7fc00000u | product.chunks);
    narrowed[to].scale = select(fault, select(0.0, greatest / STEPS, counts), finite);
    narrowed[to].sum = sum;
}
