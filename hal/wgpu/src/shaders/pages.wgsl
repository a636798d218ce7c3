// Page memory of one layer: per page and key/value head the keys as [dim][8 tokens], then the values as
// [8 tokens][dim]. Sixteen bytes at a time. Needs `pages: array<vec4<u32>>`.

fn block_of(page: u32, head: u32) -> u32 {
    return (page * KV_HEADS + head) * HALF_WORDS / 2u;
}

// One dimension of the keys of tokens 0 to 3 and 4 to 7.
fn keys_of(block: u32, dim: u32) -> mat2x4<f32> {
    if KV_F16 {
        let x = pages[block + dim];
        return mat2x4(
            vec4(unpack2x16float(x.x), unpack2x16float(x.y)),
            vec4(unpack2x16float(x.z), unpack2x16float(x.w)),
        );
    }
    let at = block + 2u * dim;
    return mat2x4(bitcast<vec4<f32>>(pages[at]), bitcast<vec4<f32>>(pages[at + 1u]));
}

// Eight dimensions of a token's value, from dimension 8 * eighth.
fn values_of(block: u32, token: u32, eighth: u32) -> mat2x4<f32> {
    if KV_F16 {
        let x = pages[block + HALF_WORDS / 4u + token * (HEAD_DIM / 8u) + eighth];
        return mat2x4(
            vec4(unpack2x16float(x.x), unpack2x16float(x.y)),
            vec4(unpack2x16float(x.z), unpack2x16float(x.w)),
        );
    }
    let at = block + HALF_WORDS / 4u + token * (HEAD_DIM / 4u) + 2u * eighth;
    return mat2x4(bitcast<vec4<f32>>(pages[at]), bitcast<vec4<f32>>(pages[at + 1u]));
}
