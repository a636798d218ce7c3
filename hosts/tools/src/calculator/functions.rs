//! What names mean.

use num::{BigInt, BigRational, Integer, Signed, ToPrimitive};

use super::fault::Fault;
use super::number::{MOST_BITS, Number};

/// Every name, as a text lists them.
pub const NAMES: [&str; 20] = [
    "abs", "ceil", "cos", "e", "exp", "floor", "gcd", "lcm", "ln", "log", "max", "min", "mod", "of", "pi",
    "round", "sin", "sqrt", "tan", "tau",
];

/// The value of a constant.
pub fn constant(name: &str) -> Result<Number, Fault> {
    match name {
        "pi" => Number::rounded(std::f64::consts::PI),
        "tau" => Number::rounded(std::f64::consts::TAU),
        "e" => Number::rounded(std::f64::consts::E),
        _ => match NAMES.iter().find(|known| **known == name) {
            Some(name) => Err(Fault::Arguments { name, given: 0, takes: "arguments in parentheses" }),
            None => Err(Fault::Unknown { name: name.to_owned() }),
        },
    }
}

/// A function of its arguments.
pub fn apply(name: &str, arguments: Vec<Number>) -> Result<Number, Fault> {
    match name {
        "sqrt" => one("sqrt", arguments)?.square_root(),
        "abs" => map("abs", arguments, |value| value.abs()),
        "floor" => map("floor", arguments, |value| value.floor()),
        "ceil" => map("ceil", arguments, |value| value.ceil()),
        "round" => round(arguments),
        "min" => extreme("min", arguments, |a, b| if b.value < a.value { b } else { a }),
        "max" => extreme("max", arguments, |a, b| if b.value > a.value { b } else { a }),
        "gcd" => whole("gcd", arguments, |a, b| a.gcd(b)),
        "lcm" => whole("lcm", arguments, |a, b| a.lcm(b)),
        "exp" => float("exp", arguments, libm::exp),
        "sin" => float("sin", arguments, libm::sin),
        "cos" => float("cos", arguments, libm::cos),
        "tan" => float("tan", arguments, libm::tan),
        "ln" => logarithm("ln", arguments, libm::log),
        "log" => logarithm("log", arguments, libm::log10),
        _ if NAMES.contains(&name) => Err(Fault::Unknown { name: format!("{name}(…)") }),
        _ => Err(Fault::Unknown { name: name.to_owned() }),
    }
}

fn one(name: &'static str, mut arguments: Vec<Number>) -> Result<Number, Fault> {
    match (arguments.pop(), arguments.len()) {
        (Some(argument), 0) => Ok(argument),
        (last, others) => {
            let given = others + usize::from(last.is_some());
            Err(Fault::Arguments { name, given, takes: "one argument" })
        }
    }
}

fn map(
    name: &'static str,
    arguments: Vec<Number>,
    make: fn(&BigRational) -> BigRational,
) -> Result<Number, Fault> {
    let argument = one(name, arguments)?;
    Ok(Number { value: make(&argument.value), exact: argument.exact })
}

fn float(name: &'static str, arguments: Vec<Number>, function: fn(f64) -> f64) -> Result<Number, Fault> {
    let argument = one(name, arguments)?;
    Number::rounded(function(argument.float()))
}

fn logarithm(name: &'static str, arguments: Vec<Number>, function: fn(f64) -> f64) -> Result<Number, Fault> {
    let argument = one(name, arguments)?;
    if !argument.value.is_positive() {
        return Err(Fault::Domain { name, takes: "numbers above 0" });
    }
    Number::rounded(function(argument.float()))
}

/// `round(x)`, or `round(x, digits behind the point)`; halves away from zero.
fn round(mut arguments: Vec<Number>) -> Result<Number, Fault> {
    const MOST_DIGITS: i32 = 1000;
    let given = arguments.len();
    let takes = "a number, and digits behind the point if they are wanted";
    let digits = match given {
        1 => 0,
        2 => {
            let digits = arguments.pop().and_then(|digits| digits.integer().and_then(ToPrimitive::to_i32));
            let fault = Fault::Domain { name: "round", takes: "a whole number of digits from -1000 to 1000" };
            digits.filter(|digits| digits.abs() <= MOST_DIGITS).ok_or(fault)?
        }
        _ => return Err(Fault::Arguments { name: "round", given, takes }),
    };
    let number = one("round", arguments)?;
    let scale = BigRational::from(BigInt::from(10)).pow(digits);
    Number { value: (number.value * &scale).round() / scale, exact: number.exact }.bounded()
}

fn extreme(
    name: &'static str,
    arguments: Vec<Number>,
    choose: fn(Number, Number) -> Number,
) -> Result<Number, Fault> {
    let exact = arguments.iter().all(|argument| argument.exact);
    let chosen = arguments.into_iter().reduce(choose);
    let chosen = chosen.ok_or(Fault::Arguments { name, given: 0, takes: "one or more arguments" })?;
    Ok(Number { exact, ..chosen })
}

fn whole(
    name: &'static str,
    arguments: Vec<Number>,
    make: fn(&BigInt, &BigInt) -> BigInt,
) -> Result<Number, Fault> {
    let fault = || Fault::Domain { name, takes: "whole numbers" };
    let exact = arguments.iter().all(|argument| argument.exact);
    let mut result: Option<BigInt> = None;
    for argument in &arguments {
        let integer = argument.integer().ok_or_else(fault)?;
        let made = result.map_or_else(|| integer.abs(), |result| make(&result, integer));
        if made.bits() > MOST_BITS {
            return Err(Fault::Large { most_bits: MOST_BITS });
        }
        result = Some(made);
    }
    let result = result.ok_or(Fault::Arguments { name, given: 0, takes: "one or more arguments" })?;
    Ok(Number { value: result.into(), exact })
}
