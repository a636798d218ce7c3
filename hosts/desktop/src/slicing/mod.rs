//! Topics of a text: the kernel's rules, fed with what a device counts while it computes the text.
//!
//! * [`runner`]: a sequence and its device, for texts of any length: longer ones in windows that overlap.
//! * [`policy`]: the rules by name, and what each has to be shown of a text.
//! * [`topics`]: a text in topics, and in slices with what finds them again.
//! * [`figure`]: the density curve and the attention heat map with the blocks of slices (the paper's figure 3.2).
//! * [`agreement`]: how well boundaries that were found agree with those that are known.

pub mod agreement;
pub mod figure;
pub mod policy;
pub mod runner;
pub mod topics;

pub use policy::{Policy, Rule};
pub use runner::{Reader, Runner, Wanted};
pub use topics::{SliceError, Sliced, slice};
