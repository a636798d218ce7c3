// What all element types share. A chunk is 32 inner elements of one output; a strip is 32 outputs. Words
// of neighbouring outputs are neighbours, so that neighbouring invocations read neighbouring words.

/// Eight elements of a chunk.
struct Eight {
    a: vec4<f32>,
    b: vec4<f32>,
}

/// Word `index` of a group of chunks of one output.
fn word(base: u32, index: u32) -> u32 {
    return weights[base + index * 32u];
}

/// Half number `index` of the halves that start at a word.
fn half_at(base: u32, first: u32, index: u32) -> u32 {
    return (word(base, first + index / 2u) >> (16u * (index % 2u))) & 0xffffu;
}

/// The eight nibbles of a word, from the least significant.
fn low_nibbles(codes: u32) -> vec4<i32> {
    return vec4<i32>((vec4<u32>(codes) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
}

fn high_nibbles(codes: u32) -> vec4<i32> {
    return vec4<i32>((vec4<u32>(codes) >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u));
}

/// Bits 0 to 3 and 4 to 7, each in the place of a fifth bit.
fn low_fifths(bits: u32) -> vec4<i32> {
    return vec4<i32>(((vec4<u32>(bits) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) << vec4<u32>(4u));
}

fn high_fifths(bits: u32) -> vec4<i32> {
    return low_fifths(bits >> 4u);
}

/// The eight nibbles of a word as bytes: those of even elements, and those of odd ones.
fn nibbles_apart(codes: u32) -> vec2<u32> {
    return vec2<u32>(codes, codes >> 4u) & vec2<u32>(0x0f0f0f0fu);
}

/// Bits 0, 2, 4 and 6, each as the fifth bit of a byte.
fn even_fifths(bits: u32) -> u32 {
    return ((bits & 1u) << 4u) | ((bits & 4u) << 10u) | ((bits & 16u) << 16u) | ((bits & 64u) << 22u);
}

fn fifths_apart(bits: u32) -> vec2<u32> {
    return vec2<u32>(even_fifths(bits), even_fifths(bits >> 1u));
}

/// Bytes below 64, less a number of at most 32, with signs.
fn less(bytes: vec2<u32>, zero: u32) -> vec2<u32> {
    return (bytes + vec2<u32>((128u - zero) * 0x01010101u)) ^ vec2<u32>(0x80808080u);
}

/// scale · code + min, rounded once: the product is exact.
fn with_min(codes: vec4<i32>, scale: f32, min: f32) -> vec4<f32> {
    return fma(vec4<f32>(codes), vec4<f32>(scale), vec4<f32>(min));
}
