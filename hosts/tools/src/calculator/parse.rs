//! Text to expressions.

use winnow::ascii::{digit0, digit1, multispace0};
use winnow::combinator::{
    Infix, Postfix, Prefix, alt, cut_err, delimited, expression, fail, opt, preceded, separated,
};
use winnow::error::ContextError;
use winnow::prelude::*;
use winnow::token::{one_of, take_while};

use super::fault::Fault;

/// An expression as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// As it is written.
    Number(String),
    Name(String),
    Call(String, Vec<Expression>),
    Negative(Box<Expression>),
    Factorial(Box<Expression>),
    Percent(Box<Expression>),
    Two(Operator, Box<Expression>, Box<Expression>),
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Plus,
    Minus,
    Times,
    Divided,
    Modulo,
    Power,
}

/// Parentheses that may lie in each other: reading is recursive.
const MOST_DEEP: usize = 64;

type Stop = winnow::error::ErrMode<ContextError>;
type Read<T> = Result<T, Stop>;

/// Reads an expression.
pub fn parse(text: &str) -> Result<Expression, Fault> {
    if depth(text) > MOST_DEEP {
        return Err(Fault::Deep { most: MOST_DEEP });
    }
    delimited(multispace0, whole, multispace0).parse(text).map_err(|error| {
        let (before, rest) = text.split_at(error.offset());
        Fault::Unreadable { at: before.chars().count(), found: rest.chars().take(12).collect() }
    })
}

fn depth(text: &str) -> usize {
    let (mut deep, mut deepest) = (0usize, 0);
    for c in text.chars() {
        match c {
            '(' => deep += 1,
            ')' => deep = deep.saturating_sub(1),
            _ => (),
        }
        deepest = deepest.max(deep);
    }
    deepest
}

fn whole(input: &mut &str) -> Read<Expression> {
    expression(spaced(operand))
        .prefix(spaced(prefix))
        .postfix(spaced(postfix))
        .infix(spaced(infix))
        .parse_next(input)
}

fn spaced<'i, T>(parser: impl Parser<&'i str, T, Stop>) -> impl Parser<&'i str, T, Stop> {
    delimited(multispace0, parser, multispace0)
}

type Made = Read<Expression>;

fn prefix<'i>(input: &mut &'i str) -> Read<Prefix<&'i str, Expression, Stop>> {
    match one_of(['-', '−', '+']).parse_next(input)? {
        '+' => Ok(Prefix(9, |_, of| -> Made { Ok(of) })),
        _ => Ok(Prefix(9, |_, of| -> Made { Ok(Expression::Negative(Box::new(of))) })),
    }
}

fn postfix<'i>(input: &mut &'i str) -> Read<Postfix<&'i str, Expression, Stop>> {
    match one_of(['!', '%']).parse_next(input)? {
        '!' => Ok(Postfix(13, |_, of| -> Made { Ok(Expression::Factorial(Box::new(of))) })),
        _ => Ok(Postfix(13, |_, of| -> Made { Ok(Expression::Percent(Box::new(of))) })),
    }
}

fn infix<'i>(input: &mut &'i str) -> Read<Infix<&'i str, Expression, Stop>> {
    let mut operator = alt(("**", "mod", "of", one_of(['+', '-', '−', '*', '×', '·', '/', '÷', '^']).take()));
    Ok(match operator.parse_next(input)? {
        "+" => Infix::Left(5, |_, a, b| two(Operator::Plus, a, b)),
        "-" | "−" => Infix::Left(5, |_, a, b| two(Operator::Minus, a, b)),
        "*" | "×" | "·" | "of" => Infix::Left(7, |_, a, b| two(Operator::Times, a, b)),
        "/" | "÷" => Infix::Left(7, |_, a, b| two(Operator::Divided, a, b)),
        "mod" => Infix::Left(7, |_, a, b| two(Operator::Modulo, a, b)),
        "^" | "**" => Infix::Right(11, |_, a, b| two(Operator::Power, a, b)),
        _ => return fail.parse_next(input),
    })
}

fn two(operator: Operator, a: Expression, b: Expression) -> Made {
    Ok(Expression::Two(operator, Box::new(a), Box::new(b)))
}

fn operand(input: &mut &str) -> Read<Expression> {
    alt((number, named, delimited('(', cut_err(whole), cut_err(')')))).parse_next(input)
}

fn named(input: &mut &str) -> Read<Expression> {
    let first = one_of(|c: char| c.is_ascii_alphabetic());
    let name = (first, take_while(0.., |c: char| c.is_ascii_alphanumeric() || c == '_')).take();
    let arguments = delimited(
        '(',
        cut_err(preceded(multispace0, separated(0.., whole, ','))),
        cut_err(preceded(multispace0, ')')),
    );
    let (name, arguments): (&str, Option<Vec<Expression>>) =
        (name, opt(preceded(multispace0, arguments))).parse_next(input)?;
    Ok(match arguments {
        None => Expression::Name(name.to_owned()),
        Some(arguments) => Expression::Call(name.to_owned(), arguments),
    })
}

/// A decimal number: `12`, `1_000`, `.5`, `1.`, `2.5e-3`.
fn number(input: &mut &str) -> Read<Expression> {
    let whole =
        (digit1, take_while(0.., |c: char| c.is_ascii_digit() || c == '_'), opt(('.', digit0))).void();
    let part = ('.', digit1).void();
    // An `e` without digits behind it is no exponent.
    let exponent = opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1));
    (alt((whole, part)), exponent)
        .take()
        .map(|text: &str| Expression::Number(text.to_owned()))
        .parse_next(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        let at = |text| match parse(text) {
            Err(Fault::Unreadable { at, found }) => (at, found),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(at("1 + "), (4, String::new()));
        assert_eq!(at("2 × $"), (4, "$".to_owned()));
        assert_eq!(at("(1"), (2, String::new()));
        assert_eq!(at("1 2"), (2, "2".to_owned()));
        assert_eq!(at(""), (0, String::new()));
        assert_eq!(at("sqrt(2"), (6, String::new()));
        assert_eq!(at("1)"), (1, ")".to_owned()));
    }

    #[test]
    fn parentheses_may_not_lie_too_deep() {
        let nested = |deep: usize| format!("{}1{}", "(".repeat(deep), ")".repeat(deep));
        assert!(parse(&nested(MOST_DEEP)).is_ok());
        assert_eq!(parse(&nested(MOST_DEEP + 1)), Err(Fault::Deep { most: MOST_DEEP }));
    }
}
