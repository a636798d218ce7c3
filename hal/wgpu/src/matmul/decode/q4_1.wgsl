// 4 words of eight nibbles, and a word of scale and minimum.
struct Chunk {
    base: u32,
    scale: f32,
    min: f32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    let both = word(base, 4u);
    return Chunk(base, half_number(both), half_number(both >> 16u));
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
