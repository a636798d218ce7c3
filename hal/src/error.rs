//! Closed error types of a tensor device.

use crate::dtype::DType;
use crate::page::PageId;
use crate::program::ProgramError;
use crate::shape::ShapeError;
use crate::step::StepFault;
use crate::weight::{WeightError, WeightId};

/// What a device may run short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Resource {
    /// Memory for weights, in bytes.
    WeightBytes,
    /// Page memory, in bytes.
    PageBytes,
    /// Memory for registers and other scratch, in bytes.
    ScratchBytes,
    /// Bytes of one buffer binding.
    BindingBytes,
    /// A field of `Limits`, counted in its own unit.
    Limit(&'static str),
}

impl core::fmt::Display for Resource {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Resource::WeightBytes => f.write_str("bytes of weight memory"),
            Resource::PageBytes => f.write_str("bytes of page memory"),
            Resource::ScratchBytes => f.write_str("bytes of scratch memory"),
            Resource::BindingBytes => f.write_str("bytes in one binding"),
            Resource::Limit(name) => write!(f, "{name}"),
        }
    }
}

/// Why `prepare` refuses a model.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PrepareError {
    /// The sizes do not belong together.
    Shape(ShapeError),
    /// The program is not well formed.
    Program(ProgramError),
    /// A tensor could not be had.
    Weight(WeightError),
    /// A tensor's size is not what the model's shape implies.
    Dims {
        /// The tensor.
        id: WeightId,
        /// Rows and columns it has.
        found: (u32, u32),
        /// Rows and columns that would fit.
        expected: (u32, u32),
    },
    /// The device has no kernel for this tensor's element type.
    DType {
        /// The tensor.
        id: WeightId,
        /// Its type.
        dtype: DType,
    },
    /// The device has no kernel for a head of this width.
    HeadDim {
        /// The model's head width.
        head_dim: u32,
        /// Widths that are a multiple of this would fit.
        multiple_of: u32,
    },
    /// The device has too little of something.
    TooLarge {
        /// Of what.
        what: Resource,
        /// How much the model and the limits need.
        needed: u64,
        /// How much there is.
        available: u64,
    },
    /// The device failed while preparing.
    Device(DeviceError),
}

impl core::fmt::Display for PrepareError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PrepareError::Shape(error) => error.fmt(f),
            PrepareError::Program(error) => error.fmt(f),
            PrepareError::Weight(error) => error.fmt(f),
            PrepareError::Dims { id, found, expected } => write!(
                f,
                "the tensor for {id} is {} x {}; the model's sizes call for {} x {}",
                found.0, found.1, expected.0, expected.1
            ),
            PrepareError::DType { id, dtype } => {
                write!(f, "the device has no kernel for {dtype}, the type of the tensor for {id}")
            }
            PrepareError::HeadDim { head_dim, multiple_of } => write!(
                f,
                "the device has no kernel for heads of {head_dim}; a multiple of {multiple_of} would fit"
            ),
            PrepareError::TooLarge { what, needed, available } => {
                write!(f, "{needed} {what} are needed; the device has {available}")
            }
            PrepareError::Device(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PrepareError {}

impl From<ShapeError> for PrepareError {
    fn from(error: ShapeError) -> Self {
        PrepareError::Shape(error)
    }
}

impl From<ProgramError> for PrepareError {
    fn from(error: ProgramError) -> Self {
        PrepareError::Program(error)
    }
}

impl From<WeightError> for PrepareError {
    fn from(error: WeightError) -> Self {
        PrepareError::Weight(error)
    }
}

/// Why `submit` refuses a step. The device is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SubmitError {
    /// `prepare` has not succeeded yet.
    NotPrepared,
    /// The last step's report has not been polled yet.
    Busy,
    /// The step breaks a promise of its own documentation.
    Step(StepFault),
}

impl core::fmt::Display for SubmitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SubmitError::NotPrepared => f.write_str("the device has no model yet"),
            SubmitError::Busy => f.write_str("the device is still at the step before"),
            SubmitError::Step(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for SubmitError {}

impl From<StepFault> for SubmitError {
    fn from(fault: StepFault) -> Self {
        SubmitError::Step(fault)
    }
}

/// Why `allow` refuses a mask. The device is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MaskError {
    /// No step is under way.
    Idle,
    /// The step has no such mask, or has it already.
    Mask {
        /// The mask.
        mask: u16,
    },
    /// It is not of the vocabulary's length.
    Length {
        /// Its length in words.
        found: usize,
        /// The length that would fit.
        expected: usize,
    },
    /// It allows no token.
    Nothing {
        /// The mask.
        mask: u16,
    },
}

impl core::fmt::Display for MaskError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MaskError::Idle => f.write_str("the device has no step that a mask could be for"),
            MaskError::Mask { mask } => write!(f, "the device does not wait for a mask {mask}"),
            MaskError::Length { found, expected } => {
                write!(f, "the mask has {found} words; {expected} would fit")
            }
            MaskError::Nothing { mask } => write!(f, "mask {mask} allows no token"),
        }
    }
}

impl core::error::Error for MaskError {}

/// Why a step that was accepted has no report. Pages that its rows name may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DeviceError {
    /// `poll` without a `submit` before it.
    Idle,
    /// The device is gone; `prepare` must run again and page memory is lost.
    Lost,
    /// The device did not finish in time.
    Hung,
    /// The device ran out of memory. `prepare` must run again, and page memory is lost.
    OutOfMemory,
    /// The driver rejects a command that the backend gave it. `prepare` must run again, and page
    /// memory is lost.
    Rejected,
    /// A result is not a number.
    NotFinite {
        /// The first row concerned.
        row: u32,
    },
}

impl core::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DeviceError::Idle => f.write_str("the device has no step to report on"),
            DeviceError::Lost => f.write_str("the device was lost"),
            DeviceError::Hung => f.write_str("the device did not finish in time"),
            DeviceError::OutOfMemory => f.write_str("the device ran out of memory"),
            DeviceError::Rejected => f.write_str("the device's driver rejected a command"),
            DeviceError::NotFinite { row } => write!(f, "the device computed no number for row {row}"),
        }
    }
}

impl core::error::Error for DeviceError {}

/// Why a page could not be copied or summarised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PageError {
    /// `prepare` has not succeeded yet.
    NotPrepared,
    /// A step is under way.
    Busy,
    /// The page does not exist.
    Page(PageId),
    /// The model has no such layer.
    Layer(u32),
    /// The buffer is not as long as what goes through it.
    Length {
        /// Its length, in its own elements.
        found: usize,
        /// The length that would fit.
        expected: usize,
    },
    /// The device is gone.
    Lost,
}

impl core::fmt::Display for PageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PageError::NotPrepared => f.write_str("the device has no model yet"),
            PageError::Busy => f.write_str("a step is under way"),
            PageError::Page(page) => write!(f, "page {} does not exist", page.0),
            PageError::Layer(layer) => write!(f, "the model has no layer {layer}"),
            PageError::Length { found, expected } => {
                write!(f, "the buffer holds {found} elements; {expected} would fit")
            }
            PageError::Lost => f.write_str("the device was lost"),
        }
    }
}

impl core::error::Error for PageError {}
