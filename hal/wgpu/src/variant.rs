//! Which kernels a device gets.

use std::fmt;
use std::str::FromStr;

use agentos_hal::Inputs;

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

/// What kernels may use beyond the portable floor. They give the same bits with and
/// without, so that a choice by the clock never shows in a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extensions {
    /// Folds within a subgroup by shuffling ([`Variant::Groups`] alone folds).
    pub subgroups: bool,
    /// Half-precision numbers of weights are converted by the device's own instruction, which may flush small
    /// ones: a probe tells.
    pub halves: bool,
}

/// The kernels of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernels {
    /// What decides the bits.
    pub variant: Variant,
    /// So does this: [`Inputs::F32`], or [`Inputs::Int8`] or [`Inputs::F16`] where somebody asks for it. Never
    /// chosen by the clock.
    pub inputs: Inputs,
    /// What only decides the speed.
    pub extensions: Extensions,
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
        Kernels { variant: self, inputs: Inputs::F32, extensions: Extensions::NONE }.name()
    }

    /// The extensions that its kernels can use.
    pub const fn uses(self) -> Extensions {
        Extensions { subgroups: matches!(self, Variant::Groups), halves: true }
    }
}

impl Extensions {
    /// The portable floor.
    pub const NONE: Extensions = Extensions { subgroups: false, halves: false };

    /// Features to open a device with for them.
    pub const FEATURES: wgpu::Features = wgpu::Features::SUBGROUP;

    /// What an adapter has, as far as it says. Subgroups that are larger than the smallest workgroup that
    /// folds are none.
    pub fn of(features: wgpu::Features, info: &wgpu::AdapterInfo) -> Extensions {
        let sizes = [info.subgroup_min_size, info.subgroup_max_size];
        let fits = sizes.iter().all(|size| size.is_power_of_two() && (2..=LEAST_LANES).contains(size));
        Extensions { subgroups: features.contains(wgpu::Features::SUBGROUP) && fits, halves: true }
    }

    /// What both have.
    pub const fn and(self, other: Extensions) -> Extensions {
        Extensions { subgroups: self.subgroups && other.subgroups, halves: self.halves && other.halves }
    }
}

/// The features that products with such inputs take.
pub const fn features(inputs: Inputs) -> wgpu::Features {
    match inputs {
        Inputs::F16 => wgpu::Features::SHADER_F16,
        Inputs::F32 | Inputs::Int16 | Inputs::Int8 => wgpu::Features::empty(),
    }
}

/// Invocations of the smallest workgroup that folds.
pub const LEAST_LANES: u32 = 64;

impl Kernels {
    /// Their name, which [`Kernels::from_str`] takes.
    pub const fn name(self) -> &'static str {
        let Extensions { subgroups, halves } = self.extensions;
        match (self.variant, self.inputs, subgroups, halves) {
            (Variant::Rows, Inputs::F32 | Inputs::Int16, _, false) => "rows",
            (Variant::Rows, Inputs::F32 | Inputs::Int16, _, true) => "rows+halves",
            (Variant::Rows, Inputs::Int8, _, false) => "rows+dot4",
            (Variant::Rows, Inputs::Int8, _, true) => "rows+dot4+halves",
            (Variant::Rows, Inputs::F16, _, false) => "rows+f16",
            (Variant::Rows, Inputs::F16, _, true) => "rows+f16+halves",
            (Variant::Groups, Inputs::F32 | Inputs::Int16, false, false) => "groups",
            (Variant::Groups, Inputs::F32 | Inputs::Int16, false, true) => "groups+halves",
            (Variant::Groups, Inputs::F32 | Inputs::Int16, true, false) => "groups+subgroups",
            (Variant::Groups, Inputs::F32 | Inputs::Int16, true, true) => "groups+subgroups+halves",
            (Variant::Groups, Inputs::Int8, false, false) => "groups+dot4",
            (Variant::Groups, Inputs::Int8, false, true) => "groups+dot4+halves",
            (Variant::Groups, Inputs::Int8, true, false) => "groups+dot4+subgroups",
            (Variant::Groups, Inputs::Int8, true, true) => "groups+dot4+subgroups+halves",
            (Variant::Groups, Inputs::F16, false, false) => "groups+f16",
            (Variant::Groups, Inputs::F16, false, true) => "groups+f16+halves",
            (Variant::Groups, Inputs::F16, true, false) => "groups+f16+subgroups",
            (Variant::Groups, Inputs::F16, true, true) => "groups+f16+subgroups+halves",
        }
    }

    /// Every set that differs from all others.
    pub fn all() -> impl Iterator<Item = Kernels> {
        const FLAGS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];
        let with = |variant, inputs| {
            FLAGS.map(|(subgroups, halves)| Kernels {
                variant,
                inputs,
                extensions: Extensions { subgroups, halves },
            })
        };
        let sets = move |variant| {
            [Inputs::F32, Inputs::Int8, Inputs::F16].into_iter().flat_map(move |inputs| with(variant, inputs))
        };
        let known = |kernels: &Kernels| kernels.extensions.and(kernels.variant.uses()) == kernels.extensions;
        Variant::ALL.into_iter().flat_map(sets).filter(known)
    }
}

/// On the portable floor, with inputs as they are.
impl From<Variant> for Kernels {
    fn from(variant: Variant) -> Kernels {
        Kernels { variant, inputs: Inputs::F32, extensions: Extensions::NONE }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No kernels have this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKernels {
    /// What was asked for.
    pub asked: String,
}

impl fmt::Display for UnknownKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are no kernels {:?}; there are:", self.asked)?;
        Kernels::all().try_for_each(|kernels| write!(f, " {kernels}"))
    }
}

impl std::error::Error for UnknownKernels {}

impl FromStr for Kernels {
    type Err = UnknownKernels;

    fn from_str(name: &str) -> Result<Kernels, UnknownKernels> {
        let found = Kernels::all().find(|kernels| kernels.name() == name);
        found.ok_or_else(|| UnknownKernels { asked: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_a_name_of_its_own() {
        assert_eq!(Kernels::all().count(), 18);
        for kernels in Kernels::all() {
            assert_eq!(kernels.name().parse(), Ok(kernels));
        }
        let error = "rows+subgroups".parse::<Kernels>().unwrap_err();
        assert!(error.to_string().contains(
            " rows rows+halves rows+dot4 rows+dot4+halves rows+f16 rows+f16+halves groups groups+halves "
        ));
    }

    #[test]
    fn subgroups_of_no_size_that_kernels_can_fold_are_none() {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
        let mut found = |sizes: (u32, u32)| {
            (info.subgroup_min_size, info.subgroup_max_size) = sizes;
            Extensions::of(Extensions::FEATURES, &info).subgroups
        };
        assert!(found((8, 8)) && found((32, 64)));
        assert!(!found((64, 128)) && !found((0, 0)) && !found((1, 32)) && !found((12, 24)));
        assert!(!Extensions::of(wgpu::Features::empty(), &info).subgroups);
    }
}
