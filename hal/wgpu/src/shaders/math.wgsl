// Elementary functions, so that every driver computes them alike and exactly enough.

// e^x to about two units in the last place for x up to 88; zero below -87.
// e^x = 2^n e^r with |r| <= ln 2 / 2; ln 2 in two parts keeps r exact.
fn exp_of(x: f32) -> f32 {
    let bounded = clamp(x, -87.0, 88.0);
    let n = floor(fma(bounded, 1.44269504, 0.5));
    var r = fma(n, -0.693359375, bounded);
    r = fma(n, 2.1219444e-4, r);
    var p = 1.9875691e-4;
    p = fma(p, r, 1.3981999e-3);
    p = fma(p, r, 8.333452e-3);
    p = fma(p, r, 4.1665796e-2);
    p = fma(p, r, 1.6666665e-1);
    p = fma(p, r, 0.5);
    p = fma(p, r * r, r) + 1.0;
    let power = p * bitcast<f32>(u32(i32(n) + 127) << 23u);
    return select(0.0, power, x > -87.0);
}

// Not infinite and a number. Comparisons of floats may be compiled as if neither existed.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
