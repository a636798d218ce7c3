/// 32 inputs as integers: multiples of `scale`, which is 1/127 of the greatest of them, and their sum. Bytes are in the
/// order in which the weights' codes are unpacked.
struct Narrow {
    codes: array<vec2<u32>, 4>,
    scale: f32,
    sum: i32,
}
