// What a split leaves: the greatest score, the sum of shares, the sum for the entropy, and the shares'
// sum of values. A row of one split leaves no part: its kernel writes what would come of it.

const PART_WORDS: u32 = HEAD_DIM + 4u;

fn part_of(row: u32, head: u32, split: u32) -> u32 {
    return ((row * step[SPLITS] + split) * HEADS + head) * PART_WORDS;
}

// Per row and head: greatest score, sum of shares, entropy.
fn totals_of(greatest: f32, total: f32, weighted: f32) -> vec4<f32> {
    return vec4(greatest, total, log(total) - weighted / total, 0.0);
}
