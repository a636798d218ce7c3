// Inputs in half precision (`kernel/narrow.wgsl`): products with codes, which are exact in it, are summed in half
// precision, four to a lane. What sixteen elements come to goes on in single precision. No sum overflows: inputs are
// at most 1, and codes at most 128.

struct Sum {
    halves: vec4<f16>,
    dots: Dots,
}

fn unpacked(chunk: Chunk, i: u32) -> Weight {
    let bytes = codes(chunk, i);
    return Weight(vec4<f16>(unpack4xI8(bytes.x)), vec4<f16>(unpack4xI8(bytes.y)));
}

/// Goes on with a chunk's sum.
fn linked(sum: Sum, chunk: Chunk, i: u32, weight: Weight, x: Inputs) -> Sum {
    let halves = fma(weight.b, x.b, fma(weight.a, x.a, sum.halves));
    if i % 2u == 0u {
        return Sum(halves, sum.dots);
    }
    let four = vec4<f32>(halves);
    return Sum(vec4<f16>(), sum.dots + weighed(chunk, i, (four.x + four.y) + (four.z + four.w)));
}

/// What a chunk's sum means. Written so that no compiler contracts it with the addition behind it.
fn ended(sum: Sum, packed: Chunk, x: u32, chunk: u32) -> f32 {
    return fma(input[x + chunk].scale, of_chunk(packed, sum.dots, input[x + chunk].sum), 0.0);
}
