// gate = activation(gate) * up, element by element.

@group(1) @binding(0) var<storage, read_write> out: array<f32>;
@group(1) @binding(1) var<storage, read> up: array<f32>;

// x / (1 + e^-x); GELU's tanh form is x / (1 + e^-2u) with u = sqrt(2/pi) (x + 0.044715 x^3).
fn activation(x: f32) -> f32 {
    var power = -x;
    if GELU {
        power = -1.5957691 * fma(x * x * 0.044715, x, x);
    }
    // Beyond this the quotient is zero in any case, and the power would overflow.
    return x / (1.0 + exp_of(min(power, 88.0)));
}

@compute @workgroup_size(64)
fn gate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < WIDTH && id.y < step[ROWS] {
        let at = id.y * STRIDE + id.x;
        out[at] = activation(out[at]) * up[at];
    }
}
