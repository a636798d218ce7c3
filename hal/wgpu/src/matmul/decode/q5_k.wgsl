// Eight chunks: 4 words of eight nibbles each, a word of fifth bits each, half a word of 6-bit scale and
// minimum each, and a word of what both are counted in.
struct Chunk {
    base: u32,
    fifths: u32,
    scale: f32,
    min: f32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    let units = word(base, 44u);
    let counts = half_at(base, 40u, member);
    let scale = half_number(units) * f32(i32(counts & 0xffu));
    let min = -(half_number(units >> 16u) * f32(i32(counts >> 8u)));
    return Chunk(base + 128u * member, word(base, 32u + member), scale, min);
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let codes = word(chunk.base, i);
    let bits = chunk.fifths >> (8u * i);
    return Eight(
        with_min(low_nibbles(codes) | low_fifths(bits), chunk.scale, chunk.min),
        with_min(high_nibbles(codes) | high_fifths(bits), chunk.scale, chunk.min),
    );
}

fn codes(chunk: Chunk, i: u32) -> vec2<u32> {
    return nibbles_apart(word(chunk.base, i)) | fifths_apart(chunk.fifths >> (8u * i));
}
