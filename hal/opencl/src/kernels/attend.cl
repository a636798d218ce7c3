// Keys, values and attention. Page memory is kept as page images. Attention goes in three kernels: scores
// (one work item for the tokens of a page), shares and counters (one for a row's head), values (one for 16
// dimensions); each row sums in the order of its span's pages.

// The sizes of heads and pages.
typedef struct {
    uint heads, kv_heads, head_dim, pairs, halves, half_pages, page_elements, layer;
} Heads;

static size_t head_start(Heads h, uint page, uint kv_head) {
    return (size_t)page * h.page_elements + (h.layer * h.kv_heads + kv_head) * 16 * h.head_dim;
}

// Cosine and sine of a distance: of its multiple of 256 and of the rest, and the addition theorems.
static float2 angle(global const float2 *angles, uint pairs, uint distance, uint pair) {
    float2 fine = angles[distance % 256 * pairs + pair], coarse = angles[(256 + distance / 256) * pairs + pair];
    return (float2)(fma(coarse.x, fine.x, -(coarse.y * fine.y)), fma(coarse.y, fine.x, coarse.x * fine.y));
}

static uint2 pair_at(Heads h, uint pair) {
    return h.halves ? (uint2)(pair, pair + h.pairs) : (uint2)(2 * pair, 2 * pair + 1);
}

static float2 turn(float2 x, float2 cs) {
    return (float2)(fma(x.x, cs.x, -(x.y * cs.y)), fma(x.x, cs.y, x.y * cs.x));
}

kernel void rotate_keys(global float *keys, uint lanes, Heads h, global const float2 *angles,
                        global const Row *rows) {
    uint i = get_global_id(0), r = get_global_id(1);
    if (i >= h.kv_heads * h.pairs) return;
    global float *head = keys + (size_t)r * lanes + i / h.pairs * h.head_dim;
    uint2 at = pair_at(h, i % h.pairs);
    float2 x = turn((float2)(head[at.x], head[at.y]), angle(angles, h.pairs, rows[r].offset, i % h.pairs));
    head[at.x] = x.x;
    head[at.y] = x.y;
}

static void write(Heads h, global uchar *pages, size_t element, float x) {
    if (h.half_pages) vstore_half_rte(x, element, (global half *)pages);
    else ((global float *)pages)[element] = x;
}

kernel void store_kv(global const float *keys, global const float *values, uint lanes, Heads h,
                     global uchar *pages, global const Row *rows) {
    uint i = get_global_id(0), r = get_global_id(1);
    if (i >= h.kv_heads * h.head_dim) return;
    uint dim = i % h.head_dim, place = rows[r].place;
    size_t head = head_start(h, rows[r].page, i / h.head_dim);
    write(h, pages, head + dim * 8 + place, keys[(size_t)r * lanes + i]);
    write(h, pages, head + (8 + place) * h.head_dim + dim, values[(size_t)r * lanes + i]);
}

// Forgets what a step before counted, and the mass of pages that begin anew.
kernel void begin(global const Row *rows, uint row_count, global ulong *page_mass, global ulong *report,
                  uint segments, global float *entropies, uint heads) {
    uint i = get_global_id(0);
    if (i < segments) report[i] = 0;
    if (i == segments) report[i] = NONE;
    if (i >= row_count) return;
    for (uint h = 0; h < heads; h++) entropies[i * heads + h] = 0;
    if (rows[i].place == 0) vstore8((ulong8)0, rows[i].page, page_mass);
}

// Tokens of a page that a row sees.
static uint seen(Row row, Mapped map) {
    return row.address < map.start ? 0 : min(map.tokens, row.address - map.start + 1);
}

static float8 load8(Heads h, global const uchar *pages, size_t element) {
    return h.half_pages ? vload_half8(0, (global const half *)pages + element)
                        : vload8(0, (global const float *)pages + element);
}

static float16 load16(Heads h, global const uchar *pages, size_t element) {
    return h.half_pages ? vload_half16(0, (global const half *)pages + element)
                        : vload16(0, (global const float *)pages + element);
}

// Scores of the rows from `from` on: `[row][head][page][8]`, `stride` pages for each row and head.
kernel void scores(global const float *queries, uint lanes, Heads h, global const float2 *angles,
                   global const uchar *pages, global const Row *rows, global const Mapped *maps, uint from,
                   float scale, global float *scores, uint stride) {
    uint number = get_global_id(0), head = get_global_id(1), r = get_global_id(2) + from;
    Row row = rows[r];
    if (number >= row.pages) return;
    Mapped map = maps[row.first + number];
    uint count = seen(row, map);
    float8 sum = 0;
    if (count > 0) {
        global const float *query = queries + (size_t)r * lanes + head * h.head_dim;
        size_t keys = head_start(h, map.page, head / (h.heads / h.kv_heads));
        for (uint pair = 0; pair < h.pairs; pair++) {
            uint2 at = pair_at(h, pair);
            float2 x = (float2)(query[at.x], query[at.y]);
            x = turn(x, angle(angles, h.pairs, row.address - map.base, pair));
            sum = fma((float8)x.x, load8(h, pages, keys + at.x * 8), sum);
            sum = fma((float8)x.y, load8(h, pages, keys + at.y * 8), sum);
        }
        for (uint dim = 2 * h.pairs; dim < h.head_dim; dim++)
            sum = fma((float8)query[dim], load8(h, pages, keys + dim * 8), sum);
    }
    const uint8 place = (uint8)(0, 1, 2, 3, 4, 5, 6, 7);
    sum = select((float8)-INFINITY, sum * scale, place < count);
    vstore8(sum, ((size_t)get_global_id(2) * h.heads + head) * stride + number, scores);
}

// `Mass::from_share`; what is not a number has no mass.
static ulong mass(float share) { return share > 0 ? (ulong)(share * 4294967296.0f) : 0; }

// Adds, and stays at the largest mass.
static void add_mass(volatile global ulong *to, ulong mass) {
    ulong before = *to, found;
    while (mass > 0 && (found = atom_cmpxchg(to, before, add_sat(before, mass))) != before) before = found;
}

// Scores become shares; where the layer is counted, adds up entropy and masses.
kernel void shares(global float *scores, uint stride, uint heads, uint from, global const Row *rows,
                   global const Mapped *maps, uint counted, global float *entropies, global ulong *report,
                   global ulong *page_mass) {
    uint head = get_global_id(0), r = get_global_id(1) + from;
    if (head >= heads) return;
    Row row = rows[r];
    scores += ((size_t)get_global_id(1) * heads + head) * stride * 8;
    float8 most = -INFINITY, total = 0;
    for (uint i = 0; i < row.pages; i++) most = fmax(most, vload8(i, scores));
    float4 of4 = fmax(most.lo, most.hi);
    float2 of2 = fmax(of4.lo, of4.hi);
    float largest = fmax(of2.x, of2.y);
    for (uint i = 0; i < row.pages; i++) {
        float8 power = exp(vload8(i, scores) - largest);
        total += power;
        vstore8(power, i, scores);
    }
    float sum = sum8(total), entropy = 0, of_segment = 0;
    for (uint i = 0; i < row.pages; i++) {
        float8 share = vload8(i, scores) / sum;
        vstore8(share, i, scores);
        if (!counted) continue;
        Mapped map = maps[row.first + i];
        of_segment += sum8(share);
        for (uint place = 0; place < seen(row, map); place++) {
            float x = scores[8 * i + place];
            add_mass(page_mass + map.page * 8 + place, mass(x));
            if (x > 0) entropy -= x * log(x);
        }
        if (i + 1 == row.pages || maps[row.first + i + 1].segment != map.segment) {
            add_mass(report + map.segment, mass(of_segment));
            of_segment = 0;
        }
    }
    if (counted) entropies[r * heads + head] += entropy;
}

// Values weighed with shares. What a row does not see may hold anything and is not touched.
kernel void values(global const float *shares, uint stride, Heads h, global const uchar *pages,
                   global const Row *rows, global const Mapped *maps, uint from, global float *out, uint lanes) {
    uint i = get_global_id(0) * 16, r = get_global_id(1) + from;
    if (i >= h.heads * h.head_dim) return;
    Row row = rows[r];
    uint head = i / h.head_dim, dim = i % h.head_dim;
    shares += ((size_t)get_global_id(1) * h.heads + head) * stride * 8;
    float16 sum = 0;
    for (uint number = 0; number < row.pages; number++) {
        Mapped map = maps[row.first + number];
        size_t at = head_start(h, map.page, head / (h.heads / h.kv_heads)) + 8 * h.head_dim + dim;
        uint count = seen(row, map);
        for (uint place = 0; place < count; place++)
            sum = fma((float16)shares[8 * number + place], load16(h, pages, at + place * h.head_dim), sum);
    }
    vstore16(sum, 0, out + (size_t)r * lanes + i);
}

// Means over heads and counted layers.
kernel void entropy(global const float *entropies, uint heads, uint layers, uint row_count, global float *report,
                    uint at) {
    uint r = get_global_id(0);
    if (r >= row_count) return;
    float sum = 0;
    for (uint h = 0; h < heads; h++) sum += entropies[r * heads + h];
    report[at + r] = layers ? sum / (heads * layers) : 0;
}
