//! Tests that reach across crates. The tests themselves are in the folders beside `src`:
//!
//! * `golden/`: results against llama.cpp's, with the fixtures in `fixtures/`.
//!
//! What must never be here: code that a program uses.
