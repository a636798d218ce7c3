// Eight chunks: 4 words of eight nibbles each, 2 words of sixteen upper pairs of bits each, half a word of
// two 8-bit scales each, and a word of what they are counted in.
struct Chunk {
    base: u32,
    pairs: vec2<u32>,
    scale: vec2<f32>,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    let counts = half_at(base, 48u, member);
    let unit = half_number(word(base, 52u));
    let both = bitcast<vec2<i32>>(vec2<u32>(counts) << vec2<u32>(24u, 16u)) >> vec2<u32>(24u);
    let pairs = vec2<u32>(word(base, 32u + 2u * member), word(base, 33u + 2u * member));
    return Chunk(base + 128u * member, pairs, vec2<f32>(both) * unit);
}

fn four_pairs(bits: u32) -> vec4<i32> {
    return vec4<i32>(((vec4<u32>(bits) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u)) << vec4<u32>(4u));
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let codes = word(chunk.base, i);
    let bits = select(chunk.pairs.x, chunk.pairs.y, i >= 2u) >> (16u * (i % 2u));
    let scale = select(chunk.scale.x, chunk.scale.y, i >= 2u);
    let zero = vec4<i32>(32);
    return Eight(
        vec4<f32>((low_nibbles(codes) | four_pairs(bits)) - zero) * scale,
        vec4<f32>((high_nibbles(codes) | four_pairs(bits >> 8u)) - zero) * scale,
    );
}
