// Eight chunks: 4 words of eight nibbles each, 2 words of sixteen upper pairs of bits each, half a word of
// two 8-bit scales each, and a word of what they are counted in.
struct Chunk {
    base: u32,
    pairs: vec2<u32>,
    counts: vec2<i32>,
    unit: f32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    let counts = half_at(base, 48u, member);
    let unit = half_number(word(base, 52u));
    let both = bitcast<vec2<i32>>(vec2<u32>(counts) << vec2<u32>(24u, 16u)) >> vec2<u32>(24u);
    let pairs = vec2<u32>(word(base, 32u + 2u * member), word(base, 33u + 2u * member));
    return Chunk(base + 128u * member, pairs, both, unit);
}

fn four_pairs(bits: u32) -> vec4<i32> {
    return vec4<i32>(((vec4<u32>(bits) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u)) << vec4<u32>(4u));
}

/// The upper pairs of bits of eight elements.
fn bits_of(chunk: Chunk, i: u32) -> u32 {
    return select(chunk.pairs.x, chunk.pairs.y, i >= 2u) >> (16u * (i % 2u));
}

fn weighed(chunk: Chunk, i: u32, dot: Dots) -> Dots {
    return Dots(select(chunk.counts.x, chunk.counts.y, i >= 2u)) * dot;
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let codes = word(chunk.base, i);
    let bits = bits_of(chunk, i);
    let scale = f32(weighed(chunk, i, 1)) * chunk.unit;
    let zero = vec4<i32>(32);
    return Eight(
        vec4<f32>((low_nibbles(codes) | four_pairs(bits)) - zero) * scale,
        vec4<f32>((high_nibbles(codes) | four_pairs(bits >> 8u)) - zero) * scale,
    );
}

/// Pairs 0, 2, 4 and 6, each as the fifth and sixth bit of a byte.
fn even_pairs(bits: u32) -> u32 {
    return ((bits & 3u) << 4u) | ((bits & 0x30u) << 8u) | ((bits & 0x300u) << 12u) | ((bits & 0x3000u) << 16u);
}

fn codes(chunk: Chunk, i: u32) -> vec2<u32> {
    let bits = bits_of(chunk, i);
    let upper = vec2<u32>(even_pairs(bits), even_pairs(bits >> 2u));
    return less(nibbles_apart(word(chunk.base, i)) | upper, 32u);
}

fn of_chunk(chunk: Chunk, dots: Dots, sum: Dots) -> f32 {
    return chunk.unit * f32(dots);
}
