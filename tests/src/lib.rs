//! Tests that reach across crates. The tests themselves are in the folders beside `src`:
//!
//! * `golden/`: results against llama.cpp's, with the fixtures in `fixtures/`.
//! * `props/`: properties of one context, for any text, chunk, seed and fault.
//! * `tools/`: tools and the default model, and how well it calls functions of a public suite.
//! * `sim/`: whole systems of agents, each made, hindered and judged by one seed; and their tiny model.
//!
//! Here is what several of them begin with: [`default_model`].
//!
//! What must never be here: code that a program uses.

pub mod default_model;
