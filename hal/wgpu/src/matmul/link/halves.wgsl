/// Eight inputs in half precision, in the order in which the weights' codes are unpacked.
struct Inputs {
    a: vec4<f16>,
    b: vec4<f16>,
}

/// A sum of products of codes.
alias Dots = f32;

/// 32 inputs in half precision, in parts of `scale`, which is the greatest of them, and their sum.
struct Narrow {
    codes: array<Inputs, 4>,
    scale: f32,
    sum: Dots,
}
