//! The desktop host: what the `agentos` program needs around the kernel on a machine with an operating
//! system.
//!
//! * [`aside`]: files that are there whole or not at all.
//! * [`fetch`]: having a model on this machine.
//! * [`heap`]: giving memory back.
//! * [`map`] and [`model`]: opening a model file.
//! * [`text`]: between text and tokens.
//! * [`device`] and [`host`]: what the kernel runs on; [`choice`]: which device where nobody says.
//! * [`context`], [`generate`] and [`perplexity`]: running one context; [`constraint`]: one whose answer is held to
//!   a grammar.
//! * [`slicing`]: a text in topics; [`calibration`]: what is known of a model beside its weights.
//! * [`tools`]: which tool is called, and with what.
//! * [`boot`]: the memory of a kernel that runs many.
//! * [`team`]: agents that run together.
//! * [`mod@bench`]: timing it.
//! * [`eval`]: how well it does what it promises; [`chart`]: drawings of that; [`distribution`]: how far apart two
//!   predictions are.
//! * [`cli`]: the program's commands.
//!
//! What must never happen here: a panic for what came from outside, `unsafe` in other files than
//! [`map`] and [`heap`], or a decision that the kernel should make.

#![deny(unsafe_code)]
#![deny(missing_docs)]

pub mod aside;
pub mod bench;
pub mod boot;
pub mod calibration;
pub mod chart;
pub mod choice;
pub mod cli;
pub mod constraint;
pub mod context;
pub mod device;
pub mod distribution;
pub mod eval;
pub mod fetch;
pub mod generate;
pub mod heap;
pub mod host;
pub mod knowledge;
pub mod map;
pub mod model;
pub mod perplexity;
pub mod slicing;
pub mod team;
pub mod text;
pub mod tools;
