//! The kernels that read weights: their sizes, their text, and which one is used for how many rows.

use agentos_hal::DType;

use super::format::format_of;
use super::source::source;
use crate::Variant;

/// One kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// `kernel/embed.wgsl`.
    Embed,
    /// `kernel/lone.wgsl` over this many rows.
    Lone(u32),
    /// `kernel/few.wgsl` over this many rows.
    Few(u32),
    /// `kernel/tile.wgsl` over 16 times this many rows.
    Tile(u32),
}

/// Invocations of a workgroup of [`Kernel::Embed`].
const EMBED_WIDTH: u32 = 64;
/// Invocations of a workgroup of [`Kernel::Lone`]: few, so that there is a workgroup for every core.
const LONE_WIDTH: u32 = 8;
/// Outputs of one of them.
const LONE_COLUMNS: u32 = 8;
/// Outputs of a workgroup of [`Kernel::Few`].
const OUTPUTS: u32 = 16;
/// Invocations that share an output there.
const SLICES: u32 = 16;
/// Outputs of a workgroup of [`Kernel::Tile`].
const TILE_OUTPUTS: u32 = 64;

/// The kernels of a variant, those for more rows behind those for fewer.
pub const fn kernels(variant: Variant) -> &'static [Kernel] {
    match variant {
        Variant::Rows => &[Kernel::Lone(1), Kernel::Lone(4)],
        Variant::Groups => {
            &[Kernel::Few(1), Kernel::Few(4), Kernel::Few(8), Kernel::Tile(2), Kernel::Tile(4)]
        }
    }
}

/// The place among [`kernels`] of the one for a product of so many rows.
pub fn choose(variant: Variant, rows: u32) -> usize {
    let kernels = kernels(variant);
    kernels.iter().position(|kernel| rows <= kernel.most_rows()).unwrap_or(kernels.len() - 1)
}

impl Kernel {
    /// Rows of a workgroup.
    pub const fn rows(self) -> u32 {
        match self {
            Kernel::Embed => 1,
            Kernel::Lone(rows) | Kernel::Few(rows) => rows,
            Kernel::Tile(rows) => 16 * rows,
        }
    }

    /// Rows up to which it is used where a kernel for more rows exists. Many workgroups of eight rows keep a
    /// large device busier than few tiles.
    const fn most_rows(self) -> u32 {
        match self {
            Kernel::Few(8) => 64,
            Kernel::Tile(2) => 256,
            kernel => kernel.rows(),
        }
    }

    /// Outputs of a workgroup; eights of elements for [`Kernel::Embed`].
    pub const fn outputs(self) -> u32 {
        match self {
            Kernel::Embed => EMBED_WIDTH,
            Kernel::Lone(_) => LONE_WIDTH * LONE_COLUMNS,
            Kernel::Few(_) => OUTPUTS,
            Kernel::Tile(_) => TILE_OUTPUTS,
        }
    }

    /// Its shader for an element type.
    pub fn source(self, dtype: DType) -> String {
        let format = format_of(dtype);
        match self {
            Kernel::Embed => source(&format, include_str!("kernel/embed.wgsl"), &[("WIDTH", EMBED_WIDTH)]),
            Kernel::Lone(rows) => {
                let constants = [("WIDTH", LONE_WIDTH), ("COLUMNS", LONE_COLUMNS), ("HEIGHT", rows)];
                source(&format, include_str!("kernel/lone.wgsl"), &constants)
            }
            Kernel::Few(rows) => {
                // 8 KiB of sums at most.
                let round = (2048 / (OUTPUTS * rows)).min(4 * SLICES);
                let constants = [
                    ("OUTPUTS", OUTPUTS),
                    ("SLICES", SLICES),
                    ("ROUND", round),
                    ("SUMS", round * rows * OUTPUTS),
                    ("HEIGHT", rows),
                    ("EIGHTS", 4),
                ];
                source(&format, include_str!("kernel/few.wgsl"), &constants)
            }
            Kernel::Tile(rows) => {
                let constants = [("HEIGHT", rows), ("RIGHT", 128 * rows), ("COPIES", rows / 2), ("FOURS", 8)];
                source(&format, include_str!("kernel/tile.wgsl"), &constants)
            }
        }
    }
}
