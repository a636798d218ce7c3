//! A store under everything that may happen to it, in one program, so that it is built once.

mod bounds;
mod common;
mod crash;
mod damage;
mod faults;
mod knowledge;
mod scan;
mod slices;
