// 32 words.
struct Chunk {
    base: u32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    return Chunk(base);
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let base = chunk.base + 256u * i;
    let a = vec4<u32>(word(base, 0u), word(base, 1u), word(base, 2u), word(base, 3u));
    let b = vec4<u32>(word(base, 4u), word(base, 5u), word(base, 6u), word(base, 7u));
    return Eight(bitcast<vec4<f32>>(a), bitcast<vec4<f32>>(b));
}
