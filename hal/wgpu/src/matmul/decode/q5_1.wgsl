// 4 words of eight nibbles, a word of fifth bits, and a word of scale and minimum.
struct Chunk {
    base: u32,
    fifths: u32,
    scale: f32,
    min: f32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    let both = word(base, 5u);
    return Chunk(base, word(base, 4u), half_number(both), half_number(both >> 16u));
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
