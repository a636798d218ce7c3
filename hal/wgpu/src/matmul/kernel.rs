//! The kernels that read weights: their sizes, their text, and which one is used for how many rows.

use agentos_hal::{Activation, DType, Inputs};

use super::format::{Codes, format_of};
use super::source::source;
use crate::variant::{Extensions, Variant};

/// One kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// `kernel/embed.wgsl`.
    Embed,
    /// `kernel/lone.wgsl` over this many rows.
    Lone(u32),
    /// `kernel/few.wgsl` over this many rows and columns.
    Few(u32, u32),
    /// `kernel/tile.wgsl` over 16 times this many rows.
    Tile(u32),
}

/// What becomes of a product's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// They are stored, or added to what is there.
    Plain,
    /// Those of two woven matrices are stored as activation(gate) · up.
    Gated(Activation),
    /// Those of so many stacked matrices, 2 or 3, are stored in as many registers.
    Stacked(u32),
    /// They are added to what is there, and what comes of it is weighed for the norm behind it. [`Kernel::Lone`]
    /// alone does so: its invocations store the same columns for any number of rows.
    Weighing,
}

impl Form {
    /// Registers that the sums go to.
    pub const fn outputs(self) -> u32 {
        match self {
            Form::Plain | Form::Gated(_) | Form::Weighing => 1,
            Form::Stacked(matrices) => matrices,
        }
    }
}

/// What a product makes of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It takes them as they are.
    F32,
    /// It takes what is left of a norm of them: elements times the norm's weights, and sums of squares.
    Weighed,
    /// Integers of 8 bits, in the order in which the weights' codes are unpacked, four of which are multiplied and
    /// summed by one instruction, where a device has it.
    Dot4(Codes),
    /// Half precision in parts of the greatest of each 32, in that order too; products are summed in half
    /// precision, a few at a time.
    F16(Codes),
}

impl Link {
    /// That of products with weights of a type. Inputs that are rounded are normed before.
    pub const fn of(dtype: DType, inputs: Inputs, weighed: bool) -> Link {
        match (inputs, format_of(dtype).codes) {
            (Inputs::Int8, Some(codes)) => Link::Dot4(codes),
            (Inputs::F16, Some(codes)) => Link::F16(codes),
            _ if weighed => Link::Weighed,
            _ => Link::F32,
        }
    }
}

/// Invocations of a workgroup of [`Kernel::Embed`].
const EMBED_WIDTH: u32 = 64;
/// Invocations of a workgroup of [`Kernel::Lone`]: few, so that there is a workgroup for every core.
const LONE_WIDTH: u32 = 8;
/// Outputs of one of them.
const LONE_COLUMNS: u32 = 8;
/// Invocations of a workgroup of [`Kernel::Few`].
const FEW_INVOCATIONS: u32 = 256;
/// Columns of a workgroup of [`Kernel::Tile`].
const TILE_COLUMNS: u32 = 64;

/// Workgroups that keep a large device busy.
const ENOUGH_TILES: u32 = 128;

/// Columns from which on a device is busy with fewer invocations a column, which read longer runs of words.
const WIDE: u32 = 2048;

/// The kernels of a variant, those for more rows behind those for fewer.
pub const fn kernels(variant: Variant) -> &'static [Kernel] {
    match variant {
        Variant::Rows => &[Kernel::Lone(1), Kernel::Lone(4)],
        Variant::Groups => &[
            Kernel::Few(1, 8),
            Kernel::Few(4, 8),
            Kernel::Few(8, 8),
            Kernel::Few(1, 16),
            Kernel::Few(4, 16),
            Kernel::Few(8, 16),
            Kernel::Tile(2),
            Kernel::Tile(4),
        ],
    }
}

/// The kernel for a product of so many rows and columns. One of speed only: the bits are the same.
///
/// Tiles read weights and rows the fewest times, where there are enough of them; else many small workgroups
/// keep a large device busier. Tiles are of numbers in single precision.
pub fn choose(variant: Variant, link: Link, columns: u32, rows: u32) -> Kernel {
    let worthwhile = |kernel: &&Kernel| {
        let tiles = columns.div_ceil(kernel.columns()) * rows.div_ceil(kernel.rows());
        matches!(kernel, Kernel::Tile(_))
            && link == Link::F32
            && 2 * rows > kernel.rows()
            && tiles >= ENOUGH_TILES
    };
    let small = |kernel: &&Kernel| match kernel {
        Kernel::Few(_, narrow) => (*narrow == 8) == (columns < WIDE),
        kernel => !matches!(kernel, Kernel::Tile(_)),
    };
    let kernels = kernels(variant);
    let tile = kernels.iter().rfind(worthwhile);
    let fits = || kernels.iter().filter(small).find(|kernel| rows <= kernel.rows());
    *tile.or_else(fits).or_else(|| kernels.iter().rfind(small)).unwrap_or(&kernels[0])
}

impl Kernel {
    /// Rows of a workgroup.
    pub const fn rows(self) -> u32 {
        match self {
            Kernel::Embed => 1,
            Kernel::Lone(rows) | Kernel::Few(rows, _) => rows,
            Kernel::Tile(rows) => 16 * rows,
        }
    }

    /// Columns of a workgroup; eights of elements for [`Kernel::Embed`].
    pub const fn columns(self) -> u32 {
        match self {
            Kernel::Embed => EMBED_WIDTH,
            Kernel::Lone(_) => LONE_WIDTH * LONE_COLUMNS,
            Kernel::Few(_, columns) => columns,
            Kernel::Tile(_) => TILE_COLUMNS,
        }
    }

    /// Its shader for an element type.
    pub fn source(self, dtype: DType, form: Form, link: Link, extensions: Extensions) -> String {
        let format = format_of(dtype);
        let text = |kernel: &str, constants: &[(&str, u32)]| {
            source(&format, form, link, kernel, constants, extensions)
        };
        match self {
            Kernel::Embed => text(include_str!("kernel/embed.wgsl"), &[("WIDTH", EMBED_WIDTH)]),
            Kernel::Lone(rows) => {
                let constants = [
                    ("WIDTH", LONE_WIDTH),
                    ("COLUMNS", LONE_COLUMNS),
                    ("HALF_COLUMNS", LONE_COLUMNS / 2),
                    ("HEIGHT", rows),
                ];
                text(include_str!("kernel/lone.wgsl"), &constants)
            }
            Kernel::Few(rows, columns) => {
                let slices = FEW_INVOCATIONS / columns;
                // 8 KiB of sums at most.
                let round = (2048 / (columns * rows)).min(4 * slices);
                let constants = [
                    ("COLUMNS", columns),
                    ("HALF_COLUMNS", columns / 2),
                    ("SLICES", slices),
                    ("ROUND", round),
                    ("SUMS", round * rows * columns),
                    ("HEIGHT", rows),
                    ("EIGHTS", 4),
                ];
                text(include_str!("kernel/few.wgsl"), &constants)
            }
            Kernel::Tile(rows) => {
                let constants = [("HEIGHT", rows), ("RIGHT", 128 * rows), ("COPIES", rows / 2), ("FOURS", 8)];
                text(include_str!("kernel/tile.wgsl"), &constants)
            }
        }
    }
}
