//! The text of a kernel: constants, the step, how the type is unpacked, the product, the kernel.

use agentos_hal::Activation;

use super::format::{Codes, Format};
use super::kernel::{Form, Link};
use crate::shader;
use crate::variant::Extensions;

const COMMON: &str = include_str!("decode/common.wgsl");
const SIZES: &str = include_str!("kernel/sizes.wgsl");
const INTEGERS: &str = include_str!("link/integers.wgsl");
const HALVES: &str = include_str!("link/halves.wgsl");
const PRODUCT: &str = include_str!("kernel/product.wgsl");
const PLAIN: &str = include_str!("input/plain.wgsl");
const WEIGHED: &str = include_str!("input/weighed.wgsl");
const ROUNDED: &str = include_str!("link/rounded.wgsl");

/// The binding of a product's input. Further outputs follow, and then the squares of what is weighed.
const INPUT: u32 = 3;

/// Puts a kernel's text together. A pair of `constants` is a name and its value.
///
/// Lines between `//: for x in NAME` and `//: end` are repeated for x = 0 … NAME − 1, with `$x` standing for
/// the number: sums that live in registers must not be an array that is indexed at run time. A NAME of 0 or 1
/// is a condition.
pub fn source(
    format: &Format,
    form: Form,
    link: Link,
    kernel: &str,
    constants: &[(&str, u32)],
    extensions: Extensions,
) -> String {
    let gated = matches!(form, Form::Gated(_));
    let of_form = [
        ("GROUP_CHUNKS", format.group_chunks),
        ("GROUP_WORDS", format.group_words),
        ("GATED", gated.into()),
        ("WEIGHING", (form == Form::Weighing).into()),
        ("PLAIN", (!gated && form != Form::Weighing).into()),
        ("THIRD", (form == Form::Stacked(3)).into()),
        ("INPUT", INPUT),
        ("SQUARES", INPUT + form.outputs()),
    ];
    let constants = [&of_form[..], constants].concat();
    let store = match form {
        Form::Plain => include_str!("store/plain.wgsl"),
        Form::Weighing => include_str!("store/weighing.wgsl"),
        Form::Gated(_) => include_str!("store/gated.wgsl"),
        Form::Stacked(_) => include_str!("store/stacked.wgsl"),
    };
    let halves = shader::halves(extensions);
    let mut text = features(link).to_owned();
    let (inputs, link) = match link {
        Link::F32 => ([INTEGERS, PLAIN], include_str!("link/f32.wgsl")),
        Link::Weighed => ([INTEGERS, WEIGHED], include_str!("link/f32.wgsl")),
        Link::Dot4(_) => ([INTEGERS, ROUNDED], include_str!("link/dot4.wgsl")),
        Link::F16(_) => ([HALVES, ROUNDED], include_str!("link/f16.wgsl")),
    };
    for (name, value) in &constants {
        text += &format!("const {name}: u32 = {value}u;\n");
    }
    text += &format!("const GELU: bool = {};\n", form == Form::Gated(Activation::Gelu));
    for part in [
        shader::STEP,
        shader::MATH,
        shader::ACTIVATION,
        COMMON,
        halves,
        format.decode,
        SIZES,
        PRODUCT,
        inputs[0],
        inputs[1],
        link,
        store,
        kernel,
    ] {
        let lines: Vec<&str> = part.lines().collect();
        unroll(&lines, &constants, &mut text);
    }
    text
}

/// What a text with such inputs asks of a device, in front of everything.
const fn features(link: Link) -> &'static str {
    match link {
        Link::F32 | Link::Weighed | Link::Dot4(_) => "",
        Link::F16(_) => "enable f16;\n",
    }
}

/// The text of the kernel that makes the inputs of [`Link::Dot4`] and [`Link::F16`], of a register as it is or
/// of one that is still to be normed.
pub fn narrowing(link: Link, width: u32, weighed: bool) -> String {
    let (inputs, round) = match link {
        Link::F16(_) => (HALVES, include_str!("kernel/narrow_halves.wgsl")),
        Link::Dot4(_) | Link::F32 | Link::Weighed => (INTEGERS, include_str!("kernel/narrow_integers.wgsl")),
    };
    let apart = matches!(link, Link::Dot4(Codes::Apart) | Link::F16(Codes::Apart));
    let constants = format!("const WIDTH: u32 = {width}u;\nconst APART: bool = {apart};\n");
    let bindings = "const INPUT: u32 = 1u;\nconst SQUARES: u32 = 3u;\n";
    let head = [features(link), &constants, bindings, shader::STEP, shader::MATH, SIZES];
    let register = if weighed { WEIGHED } else { PLAIN };
    [&head[..], &[register, inputs, round, include_str!("kernel/narrow.wgsl")]].concat().concat()
}

/// # Panics
/// When a loop is not closed, or counts to a name without value: the texts are our own.
fn unroll(lines: &[&str], constants: &[(&str, u32)], text: &mut String) {
    let mut rest = lines;
    while let Some((line, behind)) = rest.split_first() {
        rest = behind;
        let Some((variable, limit)) = loop_head(line) else {
            *text += line;
            text.push('\n');
            continue;
        };
        let count = constants.iter().find(|(name, _)| *name == limit).expect("a loop counts to a constant").1;
        let (body, behind) = rest.split_at(loop_end(rest));
        rest = &behind[1..];
        for number in 0..count {
            let body: Vec<String> =
                body.iter().map(|line| line.replace(&format!("${variable}"), &number.to_string())).collect();
            let body: Vec<&str> = body.iter().map(String::as_str).collect();
            unroll(&body, constants, text);
        }
    }
}

fn loop_head(line: &str) -> Option<(&str, &str)> {
    line.trim_start().strip_prefix("//: for ")?.split_once(" in ")
}

/// The line that closes the loop whose body starts here.
fn loop_end(lines: &[&str]) -> usize {
    let mut open = 1;
    let closes = |line: &&str| {
        open += i32::from(loop_head(line).is_some()) - i32::from(line.trim_start() == "//: end");
        open == 0
    };
    lines.iter().position(closes).expect("every loop ends")
}
