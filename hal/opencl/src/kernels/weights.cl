// What every kernel shares: the tables of a step as `batch.rs` writes them, and what the bytes of a weight
// mean. Products and sums are fused where `fma` says so and nowhere else.
#pragma OPENCL FP_CONTRACT OFF
#pragma OPENCL EXTENSION cl_khr_int64_base_atomics : enable

#define NONE 0xffffffffu

// A row of the step; it sees tokens of the `pages` page references from `first` on.
typedef struct {
    uint token, address, page, place, offset, first, pages;
} Row;

// A page that a span may look at: tokens at addresses from `start`, of a segment with this base.
typedef struct {
    uint page, base, start, tokens, segment;
} Mapped;

// A row that wants an outcome; mask and scored token may be NONE.
typedef struct {
    uint row, mask, scored;
} Wanted;

static float half_at(global const uchar *bytes) { return vload_half(0, (global const half *)bytes); }

static float sum8(float8 x) {
    float4 a = x.lo + x.hi;
    float2 b = a.lo + a.hi;
    return b.x + b.y;
}

static float sum16(float16 x) { return sum8(x.lo + x.hi); }

// Bits `from` ... `from` + 15 of a word, each as 16 or 0: the fifth bit of a code.
static uint16 fifth(uint bits, uint from) {
    const uint16 lane = (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return ((uint16)bits >> (lane + from) & 1) << 4;
}

// Scale and minimum of group j of a superblock of 4 or 5 bits.
static float2 super_scale(global const uchar *b, uint j) {
    global const uchar *packed = b + 4;
    uint scale, least;
    if (j < 4) {
        scale = packed[j] & 63;
        least = packed[j + 4] & 63;
    } else {
        scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
        least = (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
    }
    return (float2)(half_at(b) * scale, -(half_at(b + 2) * least));
}

// Elements 32 · block ... 32 · block + 31 of a row of weights.
static void decode(uint type, global const uchar *row, uint block, float16 *low, float16 *high) {
    uint j = block % 8;
    float2 scale = 0, min = 0; // of the lower and the upper half
    uint16 a, b;               // codes
    float zero = 0;            // of the codes
    switch (type) {
    case TYPE_F32:
        row += 128 * block;
        *low = vload16(0, (global const float *)row);
        *high = vload16(1, (global const float *)row);
        return;
    case TYPE_F16:
        row += 64 * block;
        *low = vload_half16(0, (global const half *)row);
        *high = vload_half16(1, (global const half *)row);
        return;
    case TYPE_BF16:
        row += 64 * block;
        *low = as_float16(convert_uint16(vload16(0, (global const ushort *)row)) << 16);
        *high = as_float16(convert_uint16(vload16(1, (global const ushort *)row)) << 16);
        return;
    case TYPE_Q8_0:
        row += 34 * block;
        *low = half_at(row) * convert_float16(vload16(0, (global const char *)row + 2));
        *high = half_at(row) * convert_float16(vload16(1, (global const char *)row + 2));
        return;
    case TYPE_Q4_0:
    case TYPE_Q4_1: {
        bool with_min = type == TYPE_Q4_1;
        row += (with_min ? 20 : 18) * block;
        a = convert_uint16(vload16(0, row + (with_min ? 4 : 2)));
        b = a >> 4;
        a &= 15;
        scale = half_at(row);
        if (with_min) min = half_at(row + 2);
        else zero = 8;
        break;
    }
    case TYPE_Q5_0:
    case TYPE_Q5_1: {
        bool with_min = type == TYPE_Q5_1;
        row += (with_min ? 24 : 22) * block;
        global const uchar *bits = row + (with_min ? 4 : 2);
        uint word = bits[0] | bits[1] << 8 | bits[2] << 16 | (uint)bits[3] << 24;
        a = convert_uint16(vload16(0, bits + 4));
        b = a >> 4 | fifth(word, 16);
        a = (a & 15) | fifth(word, 0);
        scale = half_at(row);
        if (with_min) min = half_at(row + 2);
        else zero = 16;
        break;
    }
    case TYPE_Q4_K:
    case TYPE_Q5_K: {
        bool five = type == TYPE_Q5_K;
        row += (five ? 176 : 144) * (block / 8);
        float2 both = super_scale(row, j);
        scale = both.x;
        min = both.y;
        global const uchar *nibbles = row + (five ? 48 : 16) + 32 * (j / 2);
        a = convert_uint16(vload16(0, nibbles)) >> 4 * (j % 2) & 15;
        b = convert_uint16(vload16(1, nibbles)) >> 4 * (j % 2) & 15;
        if (five) {
            a |= (convert_uint16(vload16(0, row + 16)) >> j & 1) << 4;
            b |= (convert_uint16(vload16(1, row + 16)) >> j & 1) << 4;
        }
        break;
    }
    default: { // TYPE_Q6_K
        row += 210 * (block / 8);
        global const uchar *nibbles = row + 64 * (j / 4) + 32 * (j % 2);
        global const uchar *bits = row + 128 + 32 * (j / 4);
        a = convert_uint16(vload16(0, nibbles)) >> j % 4 / 2 * 4 & 15;
        b = convert_uint16(vload16(1, nibbles)) >> j % 4 / 2 * 4 & 15;
        a |= (convert_uint16(vload16(0, bits)) >> 2 * (j % 4) & 3) << 4;
        b |= (convert_uint16(vload16(1, bits)) >> 2 * (j % 4) & 3) << 4;
        global const char *scales = (global const char *)row + 192 + 2 * j;
        scale = half_at(row + 208) * (float2)(scales[0], scales[1]);
        zero = 32;
    }
    }
    *low = fma((float16)scale.x, convert_float16(a) - zero, (float16)min.x);
    *high = fma((float16)scale.y, convert_float16(b) - zero, (float16)min.y);
}
