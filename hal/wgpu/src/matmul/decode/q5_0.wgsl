// Two chunks: 4 words of eight nibbles each, a word of fifth bits each, and a word of both scales.
struct Chunk {
    base: u32,
    fifths: u32,
    scale: f32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    return Chunk(base + 128u * member, word(base, 8u + member), half_number(half_at(base, 10u, member)));
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let codes = word(chunk.base, i);
    let bits = chunk.fifths >> (8u * i);
    let zero = vec4<i32>(16);
    return Eight(
        vec4<f32>((low_nibbles(codes) | low_fifths(bits)) - zero) * chunk.scale,
        vec4<f32>((high_nibbles(codes) | high_fifths(bits)) - zero) * chunk.scale,
    );
}

fn codes(chunk: Chunk, i: u32) -> vec2<u32> {
    return less(nibbles_apart(word(chunk.base, i)) | fifths_apart(chunk.fifths >> (8u * i)), 16u);
}
