//! Why an expression comes to nothing.

use std::fmt;

/// Why an expression comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than it may be.
    Long {
        /// Its bytes.
        bytes: usize,
        /// Bytes that it may have.
        most: usize,
    },
    /// Parentheses lie too deep in each other.
    Deep {
        /// How deep they may.
        most: usize,
    },
    /// It cannot be read.
    Unreadable {
        /// Characters before the place.
        at: usize,
        /// What stands there.
        found: String,
    },
    /// A name that means nothing.
    Unknown {
        /// The name.
        name: String,
    },
    /// A function with too few or too many arguments.
    Arguments {
        /// The function.
        name: &'static str,
        /// How many there are.
        given: usize,
        /// How many it takes.
        takes: &'static str,
    },
    /// A division by zero.
    Zero,
    /// A number that a function or an operator does not take.
    Domain {
        /// The function or operator.
        name: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// A number larger than may be.
    Large {
        /// Bits that its numerator and its denominator may have.
        most_bits: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Long { bytes, most } => {
                write!(f, "the expression has {bytes} bytes; at most {most} would fit")
            }
            Fault::Deep { most } => write!(f, "more than {most} parentheses lie in each other"),
            Fault::Unreadable { at, found } if found.is_empty() => {
                write!(
                    f,
                    "the expression breaks off after {at} characters; a number, a name or `(` would fit"
                )
            }
            Fault::Unreadable { at, found } => write!(
                f,
                "{found:?} after {at} characters cannot be read; numbers such as 1.5 or 2e3, operators + - * / ^ ! \
                 %, and names such as sqrt(2) and pi can be"
            ),
            Fault::Unknown { name } => {
                let name = crate::schema::clipped(name);
                write!(f, "`{name}` means nothing here; what does: {}", super::functions::NAMES.join(", "))
            }
            Fault::Arguments { name, given, takes } => write!(f, "{name} takes {takes}, not {given}"),
            Fault::Zero => f.write_str("that divides by zero"),
            Fault::Domain { name, takes } => write!(f, "{name} takes {takes}"),
            Fault::Large { most_bits } => write!(
                f,
                "a number grows larger than {most_bits} bits (about {} digits), the most that fits",
                most_bits * 301 / 1000
            ),
        }
    }
}

impl std::error::Error for Fault {}
