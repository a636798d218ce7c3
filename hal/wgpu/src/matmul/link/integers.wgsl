/// Eight inputs as integers, in the order in which the weights' codes are unpacked.
alias Inputs = vec2<u32>;

/// A sum of products of codes.
alias Dots = i32;

/// 32 inputs as integers: multiples of `scale`, which is 1/127 of the greatest of them, and their sum.
struct Narrow {
    codes: array<Inputs, 4>,
    scale: f32,
    sum: Dots,
}
