// Two chunks: 8 words of four bytes each, and a word of both scales.
struct Chunk {
    base: u32,
    scale: f32,
}

fn chunk_of(base: u32, member: u32) -> Chunk {
    return Chunk(base + 256u * member, half_number(half_at(base, 16u, member)));
}

fn four(codes: u32, scale: f32) -> vec4<f32> {
    let bytes = bitcast<vec4<i32>>(vec4<u32>(codes) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
    return vec4<f32>(bytes) * scale;
}

fn eight(chunk: Chunk, i: u32) -> Eight {
    let base = chunk.base + 64u * i;
    return Eight(four(word(base, 0u), chunk.scale), four(word(base, 1u), chunk.scale));
}

fn codes(chunk: Chunk, i: u32) -> vec2<u32> {
    let base = chunk.base + 64u * i;
    return vec2<u32>(word(base, 0u), word(base, 1u));
}
