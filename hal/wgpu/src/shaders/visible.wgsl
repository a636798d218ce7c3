// Which tokens of a page a row may see.

struct Seen {
    page: u32,
    segment: u32,
    // From the segment's base to the row.
    distance: u32,
    // Tokens of the page, from its first.
    count: u32,
}

// The page at a position of the page table; the row's own page is the last that it may ask for.
fn seen_at(position: u32, address: u32) -> Seen {
    let entry = step[PAGE_TABLE] + 2u * position;
    let segment = step[entry + 1u];
    let at = step[SEGMENT_TABLE] + 4u * segment;
    let base = step[at];
    let before = (position - step[at + 2u]) * 8u;
    let count = min(min(step[at + 1u] - before, address + 1u - base - before), 8u);
    return Seen(step[entry], segment, address - base, count);
}
