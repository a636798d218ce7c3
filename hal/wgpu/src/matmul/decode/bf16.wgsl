// 16 words of two.
struct Chunk {
    base: u32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    return Chunk(base);
}

fn two(first: u32, second: u32) -> vec4<f32> {
    let high = 0xffff0000u;
    return bitcast<vec4<f32>>(vec4<u32>(first << 16u, first & high, second << 16u, second & high));
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let base = chunk.base + 128u * i;
    return Eight(two(word(base, 0u), word(base, 1u)), two(word(base, 2u), word(base, 3u)));
}
