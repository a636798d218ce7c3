//! Fractions of bounded size that know whether they are exact.

use num::bigint::BigInt;
use num::{BigRational, FromPrimitive, One, Signed, ToPrimitive, Zero};

use super::fault::Fault;

/// Bits that a numerator and a denominator may have.
pub const MOST_BITS: u64 = 8192;

/// A fraction, and whether it is the very value or a rounded one.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    pub value: BigRational,
    pub exact: bool,
}

impl Number {
    pub fn exact(value: BigRational) -> Number {
        Number { value, exact: true }
    }

    /// A decimal number as it is written.
    pub fn literal(text: &str) -> Result<Number, Fault> {
        let large = Fault::Large { most_bits: MOST_BITS };
        let text = text.replace('_', "");
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
        let (whole, behind) = digits.split_once('.').unwrap_or((digits, ""));
        let exponent: i32 = exponent.parse().map_err(|_| large.clone())?;
        let exponent = i64::from(exponent) - behind.len() as i64;
        // Ten to this power has more bits than fit; no zero needs it.
        if exponent.unsigned_abs() * 3 > MOST_BITS {
            return Err(large);
        }
        let digits: BigInt = format!("{whole}{behind}").parse().map_err(|_| large)?;
        let scale = BigRational::from(BigInt::from(10)).pow(exponent as i32);
        Number::exact(BigRational::from(digits) * scale).bounded()
    }

    /// What a function of floating-point numbers gave.
    pub fn rounded(value: f64) -> Result<Number, Fault> {
        let value = BigRational::from_f64(value).ok_or(Fault::Large { most_bits: MOST_BITS })?;
        Number { value, exact: false }.bounded()
    }

    /// Itself, if it is no larger than a number may be.
    pub fn bounded(self) -> Result<Number, Fault> {
        let bits = self.value.numer().bits().max(self.value.denom().bits());
        if bits > MOST_BITS { Err(Fault::Large { most_bits: MOST_BITS }) } else { Ok(self) }
    }

    /// Two numbers made one; exact if both are.
    pub fn with(
        self,
        other: Number,
        make: fn(BigRational, BigRational) -> BigRational,
    ) -> Result<Number, Fault> {
        let exact = self.exact && other.exact;
        Number { value: make(self.value, other.value), exact }.bounded()
    }

    /// The nearest floating-point number.
    pub fn float(&self) -> f64 {
        self.value.to_f64().unwrap_or(f64::NAN)
    }

    /// The integer that it is, if it is one.
    pub fn integer(&self) -> Option<&BigInt> {
        self.value.is_integer().then(|| self.value.numer())
    }

    pub fn divided(self, by: Number) -> Result<Number, Fault> {
        if by.value.is_zero() { Err(Fault::Zero) } else { self.with(by, |a, b| a / b) }
    }

    /// The rest of the division that rounds down: it has the sign of the divisor.
    pub fn modulo(self, by: Number) -> Result<Number, Fault> {
        if by.value.is_zero() {
            return Err(Fault::Zero);
        }
        self.with(by, |a, b| {
            let whole = (&a / &b).floor();
            a - b * whole
        })
    }

    pub fn power(self, exponent: Number) -> Result<Number, Fault> {
        let exact = self.exact && exponent.exact;
        match exponent.integer() {
            Some(whole) => {
                let value = whole_power(self.value, whole)?;
                Number { value, exact }.bounded()
            }
            None if exponent.value == BigRational::new(1.into(), 2.into()) => self.square_root(),
            None if self.value.is_negative() => {
                Err(Fault::Domain { name: "^", takes: "no negative number to a power that is not whole" })
            }
            None => Number::rounded(libm::pow(self.float(), exponent.float())),
        }
    }

    pub fn square_root(self) -> Result<Number, Fault> {
        /// Bits behind the point of a root that is not exact: some 60 digits.
        const ROOT_BITS: u64 = 200;
        if self.value.is_negative() {
            return Err(Fault::Domain { name: "sqrt", takes: "no negative number" });
        }
        let (above, below) = (self.value.numer(), self.value.denom());
        let (root_above, root_below) = (above.sqrt(), below.sqrt());
        if &root_above * &root_above == *above && &root_below * &root_below == *below {
            return Ok(Number { value: BigRational::new(root_above, root_below), exact: self.exact });
        }
        // sqrt(a / b) = sqrt(a b) / b; the shift keeps digits where the value is small.
        let shift = ROOT_BITS + below.bits();
        let root = ((above * below) << (2 * shift)).sqrt();
        let value = BigRational::new(root, below << shift);
        Number { value: shortened(value), exact: false }.bounded()
    }

    pub fn factorial(self) -> Result<Number, Fault> {
        let fault = Fault::Domain { name: "!", takes: "whole numbers from 0 on" };
        let whole = self.integer().filter(|whole| !whole.is_negative()).ok_or(fault)?;
        // More factors than bits would not fit in any case.
        let most = whole.to_u64().filter(|&n| n <= MOST_BITS).ok_or(Fault::Large { most_bits: MOST_BITS })?;
        let mut product = BigInt::one();
        for factor in 2..=most {
            product *= factor;
            if product.bits() > MOST_BITS {
                return Err(Fault::Large { most_bits: MOST_BITS });
            }
        }
        Ok(Number { value: product.into(), exact: self.exact })
    }
}

/// A power, when it is known beforehand that it fits.
fn whole_power(base: BigRational, exponent: &BigInt) -> Result<BigRational, Fault> {
    if base.is_zero() && exponent.is_negative() {
        return Err(Fault::Zero);
    }
    if base.is_zero() || base.is_one() || exponent.is_zero() {
        return Ok(if exponent.is_zero() { BigRational::one() } else { base });
    }
    if base == -BigRational::one() {
        return Ok(if exponent.bit(0) { base } else { BigRational::one() });
    }
    let bits = base.numer().bits().max(base.denom().bits());
    // A number of n bits is at least 2^(n-1).
    let least = exponent.to_i32().map(|n| u64::from(n.unsigned_abs()) * (bits - 1));
    match (exponent.to_i32(), least) {
        (Some(n), Some(least)) if least <= MOST_BITS => Ok(base.pow(n)),
        _ => Err(Fault::Large { most_bits: MOST_BITS }),
    }
}

/// The same to some 60 digits, with a short denominator.
fn shortened(value: BigRational) -> BigRational {
    const DIGIT_BITS: u64 = 256;
    let spare = value.denom().bits().saturating_sub(DIGIT_BITS);
    let spare = spare.min(value.numer().bits().saturating_sub(DIGIT_BITS));
    BigRational::new(value.numer() >> spare, value.denom() >> spare)
}
