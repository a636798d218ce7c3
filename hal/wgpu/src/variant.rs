//! Which kernels a device gets.

/// A set of kernels. Each gives the same result for a row whatever else is in the step; two variants
/// need not agree in the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One invocation computes a whole row, head or output, without barriers: for software drivers,
    /// where a barrier costs more than the work between two of them.
    Rows,
    /// A workgroup shares a row, head or tile through workgroup memory.
    Groups,
}

impl Variant {
    /// Every variant.
    pub const ALL: [Variant; 2] = [Variant::Rows, Variant::Groups];

    /// The variant that fits a kind of device.
    pub const fn for_device(kind: wgpu::DeviceType) -> Variant {
        match kind {
            wgpu::DeviceType::Cpu => Variant::Rows,
            _ => Variant::Groups,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Variant::Rows => "rows",
            Variant::Groups => "groups",
        }
    }
}
