// out[r] = the row of the matrix for the token of r, eight elements an invocation.

@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    if row >= rows() || id.x >= product.chunks * 4u {
        return;
    }
    // Another part of the matrix may hold the token: then this wraps around, or is too large.
    let out = product.outs[0];
    let column = row_token(row) - out.first;
    if column >= out.outputs {
        return;
    }
    let found = eight(chunk_at(column, id.x / 4u), id.x % 4u);
    let at = row * out.stride + id.x * 8u;
    output[at + 0u] = found.a.x;
    output[at + 1u] = found.a.y;
    output[at + 2u] = found.a.z;
    output[at + 3u] = found.a.w;
    output[at + 4u] = found.b.x;
    output[at + 5u] = found.b.y;
    output[at + 6u] = found.b.z;
    output[at + 7u] = found.b.w;
}
