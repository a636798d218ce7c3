// What a product is of.

/// Some columns whose sums go to one register.
struct Out {
    /// The first column.
    start: u32,
    /// Outputs; columns that fill up a strip are none.
    outputs: u32,
    /// Where the first output goes in a row.
    first: u32,
    /// From one row to the next, in elements.
    stride: u32,
}

struct Product {
    /// Inner elements, in chunks of 32; the input has zeros beyond the last element.
    chunks: u32,
    /// Groups of chunks that share scales, in all of a column.
    groups: u32,
    /// The last column that there is: strips are whole.
    last: u32,
    /// From one row of the input to the next, in fours of elements.
    input_stride: u32,
    /// 1: add to the output.
    accumulate: u32,
    /// 1: of the rows that want an outcome.
    wants: u32,
    /// Inner elements, and what a norm of them adds to their mean square.
    inner: u32,
    eps: f32,
    /// What of these is in use, the kind of store says.
    outs: array<Out, 3>,
}

fn rows() -> u32 {
    return step[select(ROWS, WANTS, product.wants == 1u)];
}
