// The step: one buffer of words, the same in every shader. `step.rs` writes it.

@group(0) @binding(0) var<storage, read> step: array<u32>;

const NONE: u32 = 0xffffffffu;

// Where the header keeps what. Tables are named by the word that they begin at.
const ROWS: u32 = 0u;
const WANTS: u32 = 1u;
const ROW_TABLE: u32 = 2u;
const SEGMENT_TABLE: u32 = 3u;
const PAGE_TABLE: u32 = 4u;
const WANT_TABLE: u32 = 5u;
const MASK_TABLE: u32 = 6u;
const STORES: u32 = 7u;
const STORE_TABLE: u32 = 8u;
const EXPOSED: u32 = 9u;
const EXPOSED_TABLE: u32 = 10u;
const EXPOSED_STRIDE: u32 = 11u;
const TAPS: u32 = 12u;
const TAP_TABLE: u32 = 13u;
const SPLITS: u32 = 14u;
// Parts of the report, in words of it; entropies begin it.
const COUNTER_WORDS: u32 = 15u;
const REPORT_MASS: u32 = 16u;
const REPORT_OUTCOMES: u32 = 17u;
const REPORT_CANDIDATES: u32 = 18u;
const REPORT_EXPOSED: u32 = 19u;

struct Row {
    token: u32,
    page: u32,
    place: u32,
    offset: u32,
    address: u32,
    // Of its span, counted through the page table.
    first_page: u32,
    // From there to its own page, that one included.
    pages: u32,
}

const ROW_WORDS: u32 = 8u;

fn row_token(row: u32) -> u32 {
    return step[step[ROW_TABLE] + row * ROW_WORDS];
}

fn row_at(row: u32) -> Row {
    let at = step[ROW_TABLE] + row * ROW_WORDS;
    return Row(step[at], step[at + 1u], step[at + 2u], step[at + 3u], step[at + 4u], step[at + 5u], step[at + 6u]);
}
