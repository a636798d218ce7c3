// What works row by row. Rows of registers are padded with zeros to whole blocks of 32, and so are rows of
// weights: only stores have to mind the width.

// Stores the first `count` of 16 elements.
static void put(float16 x, uint count, global float *out) {
    if (count >= 16) {
        vstore16(x, 0, out);
        return;
    }
    float element[16];
    vstore16(x, 0, element);
    for (uint i = 0; i < count; i++) out[i] = element[i];
}

kernel void embed(global const uchar *weight, uint type, uint row_bytes, global const Row *rows, uint blocks,
                  global float *out, uint lanes) {
    uint block = get_global_id(0), r = get_global_id(1);
    if (block >= blocks) return;
    float16 low, high;
    decode(type, weight + (size_t)rows[r].token * row_bytes, block, &low, &high);
    global float *to = out + (size_t)r * lanes + 32 * block;
    vstore16(low, 0, to);
    vstore16(high, 1, to);
}

// Norms `parts` parts of each row by themselves, `width` elements each.
kernel void norm(global const float *in, global const uchar *weight, uint type, uint parts, uint width,
                 float epsilon, global float *out, uint lanes) {
    uint part = get_global_id(0), r = get_global_id(1);
    if (part >= parts) return;
    size_t first = (size_t)r * lanes + part * width;
    float16 squares = 0;
    for (uint i = 0; i < width; i += 16) {
        float16 x = vload16(0, in + first + i);
        squares = fma(x, x, squares);
    }
    float root = sqrt(sum16(squares) / width + epsilon);
    for (uint i = 0; i < width; i += 32) {
        float16 low, high;
        decode(type, weight, i / 32, &low, &high);
        put(vload16(0, in + first + i) / root * low, width - i, out + first + i);
        if (i + 16 < width)
            put(vload16(1, in + first + i) / root * high, width - i - 16, out + first + i + 16);
    }
}

// The sizes of a product.
typedef struct {
    uint type, row_bytes, blocks, outputs, in_lanes, out_lanes, rows, flags;
} Product;

#define ACCUMULATE 1
#define WANTED 2

// One output of up to `tile` rows: in each of 16 lanes a chain over the blocks, then a tree over the lanes. The
// chain is the same for every tile, and so are its bits.
static inline void product(const uint tile, global const uchar *weight, Product p, global const float *in,
                           global const Wanted *wanted, global float *out) {
    uint output = get_global_id(0), first = get_global_id(1) * tile;
    if (output >= p.outputs) return;
    weight += (size_t)output * p.row_bytes;
    float16 sum[4];
    global const float *x[4];
#pragma unroll
    for (uint t = 0; t < tile; t++) {
        uint r = min(first + t, p.rows - 1);
        sum[t] = 0;
        x[t] = in + (size_t)(p.flags & WANTED ? wanted[r].row : r) * p.in_lanes;
    }
    for (uint block = 0; block < p.blocks; block++) {
        float16 low, high;
        decode(p.type, weight, block, &low, &high);
#pragma unroll
        for (uint t = 0; t < tile; t++) {
            sum[t] = fma(low, vload16(2 * block, x[t]), sum[t]);
            sum[t] = fma(high, vload16(2 * block + 1, x[t]), sum[t]);
        }
    }
#pragma unroll
    for (uint t = 0; t < tile; t++) {
        if (first + t >= p.rows) break;
        size_t at = (size_t)(first + t) * p.out_lanes + output;
        out[at] = (p.flags & ACCUMULATE ? out[at] : 0) + sum16(sum[t]);
    }
}

kernel void product_one(global const uchar *weight, Product p, global const float *in,
                        global const Wanted *wanted, global float *out) {
    product(1, weight, p, in, wanted, out);
}

kernel void product_tile(global const uchar *weight, Product p, global const float *in,
                         global const Wanted *wanted, global float *out) {
    product(4, weight, p, in, wanted, out);
}

kernel void add(global float *reg, global const uchar *weight, uint type, uint width, uint lanes) {
    uint i = 32 * get_global_id(0), r = get_global_id(1);
    if (i >= width) return;
    float16 low, high;
    decode(type, weight, i / 32, &low, &high);
    global float *to = reg + (size_t)r * lanes + i;
    put(vload16(0, to) + low, width - i, to);
    if (i + 16 < width) put(vload16(1, to) + high, width - i - 16, to + 16);
}

// SiLU, or GELU in its tanh form: (1 + tanh u) / 2 is 1 / (1 + e^-2u).
kernel void gate(global float *gate, global const float *up, uint gelu, uint width, uint lanes) {
    uint i = get_global_id(0);
    if (i >= width) return;
    size_t at = (size_t)get_global_id(1) * lanes + i;
    float x = gate[at];
    float u = gelu ? 1.5957691216057308f * (x + 0.044715f * x * x * x) : x;
    gate[at] = x / (1 + exp(-u)) * up[at];
}

kernel void expose(global const float *reg, uint lanes, uint width, global const uint *rows,
                   global float *report, uint at, uint row_words) {
    uint i = get_global_id(0), number = get_global_id(1);
    if (i >= width) return;
    report[at + (size_t)number * row_words + i] = reg[(size_t)rows[number] * lanes + i];
}
