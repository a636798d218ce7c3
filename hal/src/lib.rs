//! The tensor machine: the vocabulary and the traits between the AgentOS kernel and the hardware
//! that it reasons on.
//!
//! An accelerator is seen as a small machine. It has **registers** ([`Reg`], one activation row per
//! token of a step), **page memory** ([`page`], keys and values of eight tokens in all layers) and
//! eleven coarse **instructions** ([`Op`]). A forward pass is a constant table of instructions
//! ([`Program`]); a batch is plain data ([`Step`]); what the machine saw while computing comes back
//! as performance counters ([`StepReport`]).
//!
//! Porting AgentOS to new hardware means implementing [`TensorDevice`] and passing the conformance
//! suite; `hal/README.md` is the guide, `hal/reference` the template. What every backend does alike is
//! here, to be called: [`lifecycle`], [`budget`], [`walk`], and functions beside the types that they
//! are about.
//!
//! What every implementation must hold:
//!
//! * The kernel owns page *ids*, the device owns page *bytes*. No other state outlives a step.
//! * The result of a row depends on that row, its span and the pages named there, and on nothing
//!   else: not on other rows of the step, the chunking of a prompt, or the number of threads.
//! * Keys are stored rotated by their offset inside their slice, and queries are rotated once per
//!   segment, so that mapping a slice at another address touches no key.
//! * Everything is allocated and refused in [`TensorDevice::prepare`]; a step allocates nothing.
//!
//! What must never happen here: an allocation, `unsafe`, text (tokenizers, templates, tensor names),
//! or a dependency on the kernel or on a backend.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod budget;
pub mod device;
pub mod dtype;
pub mod error;
pub mod host;
pub mod late;
pub mod lifecycle;
pub mod limits;
pub mod op;
pub mod page;
pub mod peripheral;
pub mod program;
pub mod quant;
pub mod report;
pub mod rope;
pub mod shape;
pub mod step;
pub mod store;
pub mod walk;
pub mod weight;

pub use budget::Budget;
pub use device::{Caps, Footprint, Inputs, TensorDevice};
pub use dtype::DType;
pub use error::{DeviceError, MaskError, PageError, PrepareError, Resource, SubmitError};
pub use host::{Clock, Console, Instant};
pub use late::LateMasks;
pub use lifecycle::{Lifecycle, Prepared};
pub use limits::{KvType, Limits};
pub use op::{Activation, Op, Reg};
pub use page::{PAGE_TOKENS, PageId};
pub use peripheral::{CallNumber, Output, Peripheral, PeripheralError};
pub use program::{Program, ProgramError};
pub use report::{Candidate, Mass, Outcome, StepReport};
pub use rope::{Pairing, Rope, RopeScaling};
pub use shape::{ModelShape, ShapeError};
pub use step::{LayerRange, Row, Segment, Span, Step, StepFault, Tap, Want};
pub use store::{ColdStore, Entry, NoStore, StoreError, StoreKey};
pub use weight::{Tensor, TensorInfo, WeightError, WeightId, WeightRole, WeightSource};
