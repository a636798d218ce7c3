// Codes of a type whose chunks have a scale and a minimum.

/// The sum of eight products of codes, as it counts in a chunk.
fn weighed(chunk: Chunk, i: u32, dot: Dots) -> Dots {
    return dot;
}

/// What a chunk is, by the sum of all its products and that of its inputs.
fn of_chunk(chunk: Chunk, dots: Dots, sum: Dots) -> f32 {
    return fma(chunk.scale, f32(dots), chunk.min * f32(sum));
}
