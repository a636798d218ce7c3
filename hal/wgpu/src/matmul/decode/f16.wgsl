// 16 words of two.
struct Chunk {
    base: u32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    return Chunk(base);
}

fn two(first: u32, second: u32) -> vec4<f32> {
    return vec4<f32>(
        half_number(first),
        half_number(first >> 16u),
        half_number(second),
        half_number(second >> 16u),
    );
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let base = chunk.base + 128u * i;
    return Eight(two(word(base, 0u), word(base, 1u)), two(word(base, 2u), word(base, 3u)));
}
