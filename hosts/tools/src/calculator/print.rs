//! Numbers to text.

use num::{BigInt, BigRational, Integer, One, Signed, ToPrimitive, Zero};

use super::number::Number;

/// Digits behind the point up to which an exact decimal is written out.
const EXACT_DIGITS: u32 = 60;
/// Digits of a rounded fraction, and of a value that came from floating-point numbers.
const FRACTION_DIGITS: i64 = 30;
const FLOAT_DIGITS: i64 = 15;
/// Digits up to which a numerator and a denominator are told beside a rounded decimal.
const TOLD_DIGITS: usize = 12;

/// An exact decimal where there is one that is not too long; else `≈` and a rounded one.
pub fn text(number: &Number) -> String {
    let value = &number.value;
    if !number.exact {
        return format!("≈ {}", rounded(value, FLOAT_DIGITS));
    }
    if let Some(digits) = decimals(value).filter(|&digits| digits <= EXACT_DIGITS) {
        return plain(&(value * power_of_ten(i64::from(digits))).to_integer(), i64::from(digits));
    }
    let fraction = value.to_string();
    let told = fraction.split('/').all(|part| part.trim_start_matches('-').len() <= TOLD_DIGITS);
    let fraction = if told { format!(" ({fraction})") } else { String::new() };
    format!("≈ {}{fraction}", rounded(value, FRACTION_DIGITS))
}

/// Digits behind the point of the decimal that the value is, if it is one.
fn decimals(value: &BigRational) -> Option<u32> {
    let mut rest = value.denom().clone();
    let mut count = |prime: u32| {
        let mut times = 0;
        while rest.is_multiple_of(&BigInt::from(prime)) {
            rest /= prime;
            times += 1;
        }
        times
    };
    let (twos, fives) = (count(2), count(5));
    rest.is_one().then_some(std::cmp::max(twos, fives))
}

/// The value to so many significant digits, halves away from zero.
fn rounded(value: &BigRational, digits: i64) -> String {
    if value.is_zero() {
        return "0".to_owned();
    }
    let order = order(&value.abs());
    let mut behind = digits - 1 - order;
    let mut scaled = (value * power_of_ten(behind)).round().to_integer();
    while behind > 0 && scaled.is_multiple_of(&BigInt::from(10)) {
        scaled /= 10;
        behind -= 1;
    }
    if order < -7 || behind < 0 {
        let shown = scaled.abs().to_string();
        let last = shown.len() as i64 - 1;
        let mantissa = shown.trim_end_matches('0');
        let mantissa: BigInt = mantissa.parse().unwrap_or_default();
        let sign = if value.is_negative() { "-" } else { "" };
        let length = mantissa.to_string().len() as i64 - 1;
        return format!("{sign}{}e{}", plain(&mantissa, length), last - behind);
    }
    plain(&scaled, behind)
}

/// The power of ten of the first digit of a positive value.
fn order(value: &BigRational) -> i64 {
    let length = |whole: &BigInt| whole.to_string().len() as i64;
    let guess = length(value.numer()) - length(value.denom());
    if *value < power_of_ten(guess) { guess - 1 } else { guess }
}

/// `digits / 10^behind`, written out.
fn plain(digits: &BigInt, behind: i64) -> String {
    let behind = behind.to_usize().unwrap_or_default();
    let sign = if digits.is_negative() { "-" } else { "" };
    let shown = format!("{:0>width$}", digits.abs().to_string(), width = behind + 1);
    let (whole, part) = shown.split_at(shown.len() - behind);
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

fn power_of_ten(exponent: i64) -> BigRational {
    BigRational::from(BigInt::from(10)).pow(exponent as i32)
}
