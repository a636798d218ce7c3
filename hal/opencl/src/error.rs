//! Why this machine has no OpenCL device for us.

use core::fmt;

/// Why no device can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The system has no OpenCL loader.
    NoLoader,
    /// The loader knows of no driver that has a device.
    NoDevice,
    /// There are devices, but none that would do.
    Unfit {
        /// The first of them.
        device: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// The driver does not compile the kernels.
    Build {
        /// The device.
        device: String,
        /// What its compiler said.
        log: String,
    },
    /// A call failed.
    Driver {
        /// What it was for.
        what: &'static str,
        /// OpenCL's number for the reason.
        code: i32,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NoLoader => f.write_str(
                "this machine has no OpenCL loader; install it (Debian: ocl-icd-libopencl1) and a driver, \
                 the graphics card's or pocl-opencl-icd for the processor",
            ),
            OpenError::NoDevice => f.write_str(
                "no OpenCL driver has a device here; install the graphics card's, or (Debian) \
                 pocl-opencl-icd for the processor",
            ),
            OpenError::Unfit { device, lacks } => {
                write!(f, "the OpenCL device {device} has no {lacks}; a device that has it would do")
            }
            OpenError::Build { device, log } => {
                write!(f, "the OpenCL driver of {device} does not compile the kernels: {log}")
            }
            OpenError::Driver { what, code } => write!(f, "OpenCL failed {what}: error {code}"),
        }
    }
}

impl core::error::Error for OpenError {}
