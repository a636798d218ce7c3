// Cosine and sine of the angle by which a pair turns over a distance: 64 * coarse + fine, by the
// addition theorems. The table holds 64 rows of fine angles, then the coarse ones; `angles.rs` makes it.

fn turn_of(distance: u32, pair: u32) -> vec2<f32> {
    let fine = angles[(distance & 63u) * PAIRS + pair];
    let coarse = angles[(64u + (distance >> 6u)) * PAIRS + pair];
    return vec2(
        fma(fine.x, coarse.x, -(fine.y * coarse.y)),
        fma(fine.y, coarse.x, fine.x * coarse.y),
    );
}

// The dimensions that turn together.
fn pair_of(pair: u32) -> vec2<u32> {
    return select(vec2(2u * pair, 2u * pair + 1u), vec2(pair, pair + PAIRS), HALVES);
}
