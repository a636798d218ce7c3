// out = activation(gate) * up, of two matrices woven strip by strip: a strip of gates, the strip of as many ups,
// and so on. `column` is the gate's.

fn store_gated(row: u32, column: u32, gate: f32, up: f32) {
    let out = product.outs[0];
    let nth = column / 64u * 32u + column % 32u;
    if row < rows() && nth < out.outputs {
        output[row * out.stride + out.first + nth] = activation(gate) * up;
    }
}
