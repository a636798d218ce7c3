//! A store under everything that may happen to it, in one program, so that it is built once.

mod bounds;
mod common;
mod crash;
mod creators;
mod damage;
mod faults;
mod knowledge;
mod replaced;
mod scan;
mod slices;
mod twice;
