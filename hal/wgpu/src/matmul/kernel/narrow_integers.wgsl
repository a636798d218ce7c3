const STEPS: f32 = 127.0;

/// The low bytes of four numbers.
fn bytes_of(x: vec4<i32>) -> u32 {
    let low = vec4<u32>(x) & vec4<u32>(0xffu);
    return low.x | (low.y << 8u) | (low.z << 16u) | (low.w << 24u);
}

fn rounded(x: vec4<f32>, y: vec4<f32>) -> Rounded {
    let a = vec4<i32>(round(x));
    let b = vec4<i32>(round(y));
    let sum = a + b;
    return Rounded(vec2(bytes_of(a), bytes_of(b)), sum.x + sum.y + sum.z + sum.w);
}
