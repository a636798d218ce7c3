//! Tests that reach across crates. The tests themselves are in the folders beside `src`:
//!
//! * `golden/`: results against llama.cpp's, with the fixtures in `fixtures/`.
//! * `props/`: properties of one context, for any text, chunk, seed and fault.
//! * `sim/`: the tiny model of simulations, and what one context of it gives when it is alone.
//!
//! What must never be here: code that a program uses.
