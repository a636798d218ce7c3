// The step: one buffer of words, the same in every shader. `hal/wgpu/src/step.rs` writes it.

@group(0) @binding(0) var<storage, read> step: array<u32>;

const NONE: u32 = 0xffffffffu;

// Where the header keeps what.
const ROWS: u32 = 0u;
const WANTS: u32 = 1u;
const ROW_TABLE: u32 = 2u;

// A row's record.
const ROW_WORDS: u32 = 8u;

fn row_token(row: u32) -> u32 {
    return step[step[ROW_TABLE] + row * ROW_WORDS];
}
