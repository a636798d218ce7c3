// Which tokens a wanting row may say.

fn mask_of(want: u32) -> u32 {
    return step[step[WANT_TABLE] + 3u * want + 1u];
}

// `mask` is the mask's first word in the step, or NONE.
fn allows(mask: u32, token: u32) -> bool {
    if mask == NONE {
        return true;
    }
    return ((step[mask + token / 32u] >> (token % 32u)) & 1u) == 1u;
}

// What a block of tokens says: greatest logit, sum of powers, the sum for the entropy, and whether all of
// its logits are numbers.
const BLOCK: u32 = 256u;
const BLOCKS: u32 = (VOCAB + BLOCK - 1u) / BLOCK;
const LOWEST: f32 = -3e38;
