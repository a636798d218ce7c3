//! Expressions to numbers.

use num::{BigInt, BigRational};

use super::fault::Fault;
use super::functions;
use super::number::Number;
use super::parse::{Expression, Operator};

/// What an expression comes to.
pub fn evaluate(expression: &Expression) -> Result<Number, Fault> {
    match expression {
        Expression::Number(text) => Number::literal(text),
        Expression::Name(name) => functions::constant(name),
        Expression::Call(name, arguments) => {
            functions::apply(name, arguments.iter().map(evaluate).collect::<Result<_, _>>()?)
        }
        Expression::Negative(of) => {
            let of = evaluate(of)?;
            Ok(Number { value: -of.value, exact: of.exact })
        }
        Expression::Factorial(of) => evaluate(of)?.factorial(),
        Expression::Percent(of) => evaluate(of)?.divided(Number::exact(BigRational::from(BigInt::from(100)))),
        Expression::Two(operator, a, b) => two(*operator, evaluate(a)?, evaluate(b)?),
    }
}

fn two(operator: Operator, a: Number, b: Number) -> Result<Number, Fault> {
    match operator {
        Operator::Plus => a.with(b, |a, b| a + b),
        Operator::Minus => a.with(b, |a, b| a - b),
        Operator::Times => a.with(b, |a, b| a * b),
        Operator::Divided => a.divided(b),
        Operator::Modulo => a.modulo(b),
        Operator::Power => a.power(b),
    }
}
