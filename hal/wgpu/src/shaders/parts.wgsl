// What a split leaves: the greatest score, the sum of shares, the sum for the entropy, and the shares'
// sum of values.

const PART_WORDS: u32 = HEAD_DIM + 4u;

fn part_of(row: u32, head: u32, split: u32) -> u32 {
    return ((row * step[SPLITS] + split) * HEADS + head) * PART_WORDS;
}
