fn key_of(row: u32, head: u32, dim: u32) -> f32 {
    return keys[row * KV_STRIDE + head * HEAD_DIM + dim];
}
