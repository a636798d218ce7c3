// Writes keys and values of the step's rows into page memory of one layer.
//
// In half precision two tokens share a word of keys. One invocation writes both, or keeps the other one:
// no two invocations touch the same word, and the store table names no pair of places twice.

// `key_of` gives a key's element: as the register has it, or turned on the way.

@group(1) @binding(0) var<storage, read> keys: array<f32>;
@group(1) @binding(1) var<storage, read> values: array<f32>;
@group(1) @binding(2) var<storage, read_write> pages: array<u32>;

// To half precision, to nearest, ties to even; with subnormals, infinities and what is no number.
fn half_of(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let sign = (bits >> 16u) & 0x8000u;
    let magnitude = bits & 0x7fffffffu;
    if magnitude > 0x7f800000u {
        return sign | 0x7e00u | ((magnitude >> 13u) & 0x3ffu);
    }
    if magnitude >= 0x477ff000u {
        return sign | 0x7c00u;
    }
    if magnitude >= 0x38800000u {
        let even = (magnitude >> 13u) & 1u;
        return sign | ((magnitude - 0x38000000u + 0xfffu + even) >> 13u);
    }
    if magnitude <= 0x33000000u {
        return sign;
    }
    let shift = 126u - (magnitude >> 23u);
    let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    let whole = mantissa >> shift;
    let rest = mantissa & ((1u << shift) - 1u);
    let middle = 1u << (shift - 1u);
    let up = rest > middle || (rest == middle && (whole & 1u) == 1u);
    return sign | (whole + select(0u, 1u, up));
}

fn store_halves(block: u32, pair: u32, rows: vec2<u32>, head: u32, dim: u32) {
    let word = block + dim * 4u + pair;
    var both = pages[word];
    if rows.x != NONE {
        both = (both & 0xffff0000u) | half_of(key_of(rows.x, head, dim));
    }
    if rows.y != NONE {
        both = (both & 0xffffu) | (half_of(key_of(rows.y, head, dim)) << 16u);
    }
    pages[word] = both;
    // Half of the invocations write the values of either token, two dimensions each.
    let second = dim >= HEAD_DIM / 2u;
    let row = select(rows.x, rows.y, second);
    let couple = dim % (HEAD_DIM / 2u);
    if row != NONE {
        let value = row * KV_STRIDE + head * HEAD_DIM + 2u * couple;
        let place = 2u * pair + select(0u, 1u, second);
        let halves = half_of(values[value]) | (half_of(values[value + 1u]) << 16u);
        pages[block + HALF_WORDS + place * (HEAD_DIM / 2u) + couple] = halves;
    }
}

fn store_singles(block: u32, place: u32, row: u32, head: u32, dim: u32) {
    if row != NONE {
        pages[block + dim * 8u + place] = bitcast<u32>(key_of(row, head, dim));
        pages[block + HALF_WORDS + place * HEAD_DIM + dim] = bitcast<u32>(values[row * KV_STRIDE + head * HEAD_DIM + dim]);
    }
}

@compute @workgroup_size(64)
fn store(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= KV_HEADS * HEAD_DIM || id.y >= step[STORES] {
        return;
    }
    let entry = step[STORE_TABLE] + 4u * id.y;
    let page = step[entry];
    let pair = step[entry + 1u];
    let rows = vec2(step[entry + 2u], step[entry + 3u]);
    let head = id.x / HEAD_DIM;
    let dim = id.x % HEAD_DIM;
    let block = (page * KV_HEADS + head) * 2u * HALF_WORDS;
    if KV_F16 {
        store_halves(block, pair, rows, head, dim);
    } else {
        store_singles(block, 2u * pair, rows.x, head, dim);
        store_singles(block, 2u * pair + 1u, rows.y, head, dim);
    }
}
