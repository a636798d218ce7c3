/// The half-precision number in the low 16 bits. Small scales are subnormal in half precision, and a
/// driver's own conversion may flush them.
fn half_number(bits: u32) -> f32 {
    let size = bits & 0x7fffu;
    let usual = (size << 13u) + select(0x38000000u, 0x70000000u, size >= 0x7c00u);
    let tiny = bitcast<u32>(f32(i32(size)) * 0x1p-24f);
    return bitcast<f32>(select(usual, tiny, size < 0x400u) | ((bits & 0x8000u) << 16u));
}
