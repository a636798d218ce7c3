// out = sum, or out += sum.

fn store(row: u32, column: u32, sum: f32) {
    let out = product.outs[0];
    if row < rows() && column < out.outputs {
        let at = row * out.stride + out.first + column;
        if product.accumulate == 1u {
            output[at] += sum;
        } else {
            output[at] = sum;
        }
    }
}
