// The non-linearity of a gate: GELU says which. Needs math.wgsl.

// x / (1 + e^-x); GELU's tanh form is x / (1 + e^-2u) with u = sqrt(2/pi) (x + 0.044715 x^3).
fn activation(x: f32) -> f32 {
    var power = -x;
    if GELU {
        power = -1.5957691 * fma(x * x * 0.044715, x, x);
    }
    // Beyond this the quotient is zero in any case, and the power would overflow.
    return x / (1.0 + exp_of(min(power, 88.0)));
}
