/// The half-precision number in the low 16 bits, by a conversion that was tried on every one of them.
fn half_number(bits: u32) -> f32 {
    return unpack2x16float(bits).x;
}
