// Of two or three matrices, one behind the other in whole strips, each to its own register.

@group(1) @binding(4) var<storage, read_write> second: array<f32>;
//: for t in THIRD
@group(1) @binding(5) var<storage, read_write> third: array<f32>;
//: end

fn store(row: u32, column: u32, sum: f32) {
    if row >= rows() {
        return;
    }
    //: for t in THIRD
    if column >= product.outs[2].start {
        let nth = column - product.outs[2].start;
        if nth < product.outs[2].outputs {
            third[row * product.outs[2].stride + nth] = sum;
        }
        return;
    }
    //: end
    if column >= product.outs[1].start {
        let nth = column - product.outs[1].start;
        if nth < product.outs[1].outputs {
            second[row * product.outs[1].stride + nth] = sum;
        }
        return;
    }
    if column < product.outs[0].outputs {
        output[row * product.outs[0].stride + column] = sum;
    }
}
