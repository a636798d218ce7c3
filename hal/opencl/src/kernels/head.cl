// From logits to outcomes: first each 1,024 tokens of a row by themselves, then a row's parts in order.

#define PART 1024

typedef struct {
    uint token;
    float logit;
} Candidate;

// Of the allowed tokens of a part: the largest logit m, the sum of e^(l - m), the sum of e^(l - m) · (m - l), and
// how many of its candidates are of use.
typedef struct {
    float largest, sum, surprise;
    uint candidates;
} Part;

static bool allowed(global const uint *mask, uint token) {
    return !mask || (mask[token / 32] >> token % 32 & 1);
}

// Puts a candidate into its place among the best. Tokens come in ascending order: a later equal one
// belongs behind.
static uint insert(global Candidate *best, uint count, uint places, Candidate one) {
    if (count == places && (places == 0 || !(one.logit > best[count - 1].logit))) return count;
    uint at = count < places ? count++ : places - 1;
    for (; at > 0 && one.logit > best[at - 1].logit; at--) best[at] = best[at - 1];
    best[at] = one;
    return count;
}

kernel void reduce_parts(global const float *logits, uint vocab, global const Wanted *wanted,
                         global const uint *masks, uint parts, uint places, global Part *out,
                         global Candidate *best, global uint *report, uint lowest_at) {
    uint part = get_global_id(0), number = get_global_id(1);
    if (part >= parts) return;
    Wanted want = wanted[number];
    global const uint *mask = want.mask == NONE ? 0 : masks + (size_t)want.mask * ((vocab + 31) / 32);
    size_t place = (size_t)number * parts + part;
    logits += (size_t)number * vocab;
    best += place * places;
    uint first = part * PART, end = min(first + PART, vocab);
    Part found = {-INFINITY, 0, 0, 0};
    bool finite = true;
    for (uint token = first; token < end; token++) {
        float logit = logits[token];
        finite = finite && isfinite(logit);
        if (!allowed(mask, token)) continue;
        found.largest = fmax(found.largest, logit);
        found.candidates = insert(best, found.candidates, places, (Candidate){token, logit});
    }
    if (!finite) atomic_min(report + lowest_at, want.row);
    for (uint token = first; token < end; token++) {
        if (!allowed(mask, token)) continue;
        float below = found.largest - logits[token], power = exp(-below);
        found.sum += power;
        found.surprise = fma(power, below, found.surprise);
    }
    out[place] = found;
}

// Writes an outcome (row, candidates, log-sum-exp, entropy, scored) and its candidates. `heads` keeps for each
// part how many of its candidates were taken.
kernel void reduce_rows(global const float *logits, uint vocab, global const Wanted *wanted, uint outcomes,
                        global const Part *parts, uint part_count, uint places, global const Candidate *best,
                        global uint *heads, global uint *report, uint outcomes_at, uint candidates_at) {
    uint number = get_global_id(0);
    if (number >= outcomes) return;
    parts += (size_t)number * part_count;
    best += (size_t)number * part_count * places;
    heads += (size_t)number * part_count;
    float largest = -INFINITY, sum = 0, entropy = 0;
    for (uint i = 0; i < part_count; i++) {
        heads[i] = 0;
        largest = fmax(largest, parts[i].largest);
    }
    for (uint i = 0; i < part_count; i++) sum = fma(exp(parts[i].largest - largest), parts[i].sum, sum);
    float rest = log(sum);
    for (uint i = 0; i < part_count; i++) {
        if (parts[i].sum == 0) continue; // nothing is allowed there
        float above = largest - parts[i].largest + rest;
        entropy = fma(exp(-above), fma(parts[i].sum, above, parts[i].surprise), entropy);
    }
    global uint *chosen = report + candidates_at + (size_t)number * places * 2;
    uint count = 0;
    for (; count < places; count++) {
        uint from = NONE;
        Candidate next;
        for (uint i = 0; i < part_count; i++) {
            if (heads[i] == parts[i].candidates) continue;
            Candidate one = best[i * places + heads[i]];
            if (from == NONE || one.logit > next.logit) {
                from = i;
                next = one;
            }
        }
        if (from == NONE) break;
        heads[from]++;
        chosen[2 * count] = next.token;
        chosen[2 * count + 1] = as_uint(next.logit);
    }
    Wanted want = wanted[number];
    global uint *outcome = report + outcomes_at + 5 * number;
    outcome[0] = want.row;
    outcome[1] = count;
    outcome[2] = as_uint(largest + rest);
    outcome[3] = as_uint(entropy);
    outcome[4] = want.scored == NONE ? 0 : as_uint(logits[(size_t)number * vocab + want.scored]);
}
