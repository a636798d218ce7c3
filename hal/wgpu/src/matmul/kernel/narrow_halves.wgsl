const STEPS: f32 = 1.0;

fn rounded(x: vec4<f32>, y: vec4<f32>) -> Rounded {
    let a = vec4<f16>(x);
    let b = vec4<f16>(y);
    let sum = vec4<f32>(a) + vec4<f32>(b);
    return Rounded(Inputs(a, b), (sum.x + sum.y) + (sum.z + sum.w));
}
