// Eight chunks: 4 words of eight nibbles each, half a word of 6-bit scale and minimum each, and a word
// of what both are counted in.
struct Chunk {
    base: u32,
    scale: f32,
    min: f32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    let units = word(base, 36u);
    let counts = half_at(base, 32u, member);
    let scale = half_number(units) * f32(i32(counts & 0xffu));
    let min = -(half_number(units >> 16u) * f32(i32(counts >> 8u)));
    return Chunk(base + 128u * member, scale, min);
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let codes = word(chunk.base, i);
    return Eight(
        with_min(low_nibbles(codes), chunk.scale, chunk.min),
        with_min(high_nibbles(codes), chunk.scale, chunk.min),
    );
}

fn codes(chunk: Chunk, i: u32) -> vec2<u32> {
    return nibbles_apart(word(chunk.base, i));
}
