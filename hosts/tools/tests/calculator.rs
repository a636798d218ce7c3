//! The calculator: what expressions come to, and that none takes long or breaks it.

mod rig;

use agentos_tools::calculator::{Fault, calculate, calculator};
use proptest::prelude::*;
use rig::{call, pool};
use serde_json::json;

#[test]
fn arithmetic_is_exact() {
    for (expression, result) in [
        ("0.1 + 0.2", "0.3"),
        ("17 * 23", "391"),
        ("(1250.75 + 349.25) / 4", "400"),
        ("15% of 240 + 12", "48"),
        ("-2^2", "-4"),
        ("(-2)^2", "4"),
        ("2^3^2", "512"),
        ("2^-2", "0.25"),
        ("2 ** 10", "1024"),
        ("10 - 4 - 3", "3"),
        ("100 / 10 / 2", "5"),
        ("7 mod 3", "1"),
        ("-7 mod 3", "2"),
        ("7.5 mod 2", "1.5"),
        ("5!", "120"),
        ("3!!", "720"),
        ("50%", "0.5"),
        ("1e3", "1000"),
        ("1.5e-3", "0.0015"),
        ("1_000_000 + .5", "1000000.5"),
        ("3 × 4 ÷ 2 − 1", "5"),
        ("sqrt(144)", "12"),
        ("sqrt(0.25)", "0.5"),
        ("4^0.5", "2"),
        ("9007199254740993 + 0.0000000000000001", "9007199254740993.0000000000000001"),
        ("2^200", "1606938044258990275541962092341162602522202993782792835301376"),
        ("abs(-3.5)", "3.5"),
        ("min(3, 1, 2) + max(4, 5)", "6"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(2/3, 4)", "0.6667"),
        ("round(12345, -2)", "12300"),
        ("floor(-1.5) + ceil(1.2)", "0"),
        ("gcd(12, 18) + lcm(4, 6)", "18"),
        ("1/8", "0.125"),
        ("--5", "5"),
        ("+5", "5"),
        ("0^0", "1"),
        ("(-1)^99999999999999999999", "-1"),
        ("0 / 5", "0"),
    ] {
        assert_eq!(calculate(expression).as_deref(), Ok(result), "{expression}");
    }
}

#[test]
fn what_is_rounded_says_so() {
    for (expression, result) in [
        ("1/3", "≈ 0.333333333333333333333333333333 (1/3)"),
        ("-22/7", "≈ -3.14285714285714285714285714286 (-22/7)"),
        ("2/3 * 1e20", "≈ 66666666666666666666.6666666667"),
        ("1/3 * 1e-20", "≈ 3.33333333333333333333333333333e-21"),
        ("1e40 / 3", "≈ 3.33333333333333333333333333333e39"),
        ("sqrt(2)", "≈ 1.4142135623731"),
        ("pi", "≈ 3.14159265358979"),
        ("exp(1)", "≈ 2.71828182845905"),
        ("ln(e)", "≈ 1"),
        ("log(1000)", "≈ 3"),
        ("8^(1/3)", "≈ 2"),
        ("sin(0)", "≈ 0"),
        ("sqrt(2)^2", "≈ 2"),
        ("2^-300", "≈ 4.90909346529772655309577195499e-91"),
    ] {
        assert_eq!(calculate(expression).as_deref(), Ok(result), "{expression}");
    }
}

#[test]
fn what_would_never_end_is_refused() {
    for expression in [
        "10^10^10",
        "9^9^9^9",
        "2^1000000000",
        "2^99999999999999999999999999",
        "0.5^100000",
        "1e1000000000",
        "1e-1000000000",
        "1e99999999999999999999",
        "100000!",
        "3!!!!",
        "99999999999999999999999999!",
        "1.0000001^1000000",
        "2^8000 * 2^8000",
        "exp(100000)",
        "10.5^10000.5",
        "lcm(2^4000+1, 2^4000+3, 2^4000+7)",
    ] {
        assert!(
            matches!(calculate(expression), Err(Fault::Large { .. })),
            "{expression}: {:?}",
            calculate(expression)
        );
    }
}

#[test]
fn nothing_breaks_it() {
    let chains = ["-", "(", "2^", "1-", "sqrt(", "1+(", "!", "%", "2^-", "1,", "max(1,", "9!*", "(((1)))+"];
    for chain in chains {
        for end in ["", "1", "1)", "9"] {
            let _any = calculate(&(chain.repeat(505 / chain.len()) + end));
        }
    }
    assert!(matches!(calculate(&"1".repeat(513)), Err(Fault::Long { bytes: 513, most: 512 })));
    // The largest that there can be, many times.
    let _any = calculate(&"7^2900/3^5000+".repeat(36));
    let _any = calculate(&format!("{}2", "1e2400/7^2900*".repeat(36)));
}

#[test]
fn faults_say_what_would_do() {
    for (expression, what) in [
        ("1/0", "divides by zero"),
        ("5 mod 0", "divides by zero"),
        ("0^-1", "divides by zero"),
        ("sqrt(-1)", "sqrt takes no negative number"),
        ("(-8)^(1/3)", "no negative number to a power"),
        ("ln(0)", "numbers above 0"),
        ("2.5!", "whole numbers from 0 on"),
        ("gcd(1.5, 2)", "whole numbers"),
        ("sqrt(1, 2)", "sqrt takes one argument, not 2"),
        ("max()", "one or more"),
        ("sqrt", "arguments in parentheses"),
        ("x + 1", "`x` means nothing here; what does: abs"),
        ("system(1)", "`system` means nothing"),
        ("2 +", "breaks off after 3 characters"),
        ("2 $ 3", "\"$ 3\" after 2 characters"),
    ] {
        let fault = calculate(expression).unwrap_err().to_string();
        assert!(fault.contains(what), "{expression}: {fault}");
    }
}

#[test]
fn it_is_a_tool() {
    let mut tool = calculator(&pool()).unwrap();
    assert_eq!(call(&mut tool, &json!({ "expression": "0.1 + 0.2" })).unwrap(), "0.1 + 0.2 = 0.3");
    let (_, why) = call(&mut tool, &json!({ "expression": "10^10^10" })).unwrap_err();
    assert!(why.contains("larger than"), "{why}");
    for example in tool.descriptor.examples.clone() {
        call(&mut tool, &example.arguments).unwrap();
    }
}

proptest! {
    /// Any text at all, and any that looks like an expression, ends.
    #[test]
    fn any_text_ends(text in "\\PC{0,64}", likely in "[0-9a-z+*/^!%().,e -]{0,48}") {
        let _any = calculate(&text);
        let _any = calculate(&likely);
    }

    /// Sums, differences and products of decimals are those of integers of hundredths.
    #[test]
    fn decimals_are_integers_of_hundredths(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000) {
        let shown = |n: i64| format!("{}{}.{:02}", if n < 0 { "-" } else { "" }, n.abs() / 100, n.abs() % 100);
        let (x, y) = (shown(a), shown(b));
        let equal = |expression: String, hundredths: i64| {
            let difference = calculate(&format!("({expression}) - ({})", shown(hundredths)));
            prop_assert_eq!(difference.as_deref(), Ok("0"));
            Ok(())
        };
        equal(format!("{x} + {y}"), a + b)?;
        equal(format!("{x} - {y}"), a - b)?;
        equal(format!("{x} * {y} * 100"), a * b)?;
    }
}
