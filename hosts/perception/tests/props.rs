//! What holds for any bytes, any control strings and any budget.

mod common;

use agentos_perception::reduce::Piece;
use agentos_perception::text::{capped, decode, visible};
use agentos_perception::{ControlStrings, Measures, Misfit, Request, align};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use common::{CONTROLS, hold_promises, tokens};

/// Text with much in it that steers: control strings and their pieces, escapes, marks, brackets.
fn steering() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(CONTROLS.to_vec()).prop_map(str::to_owned),
        proptest::sample::select(vec![
            "<|",
            "|>",
            "im_",
            "start",
            "[",
            "]",
            "/",
            "<",
            ">",
            "\u{200b}",
            "\u{1b}[31m",
            "…",
            "[… ",
            "[tool ",
            "\n",
            "\r",
            " ",
            "\\u{3e}",
            "{\"",
            "\":",
            ",",
            "\t",
            "\u{ff1c}",
            "\u{e0041}",
            "\u{202e}",
            "é",
            "|",
            "--",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        "[a-z ]{0,40}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// JSON of any shape, with steering text in it.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        steering().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 200, 12, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..12).prop_map(Into::into),
            proptest::collection::vec((steering(), inner), 0..8)
                .prop_map(|entries| { serde_json::Value::Object(entries.into_iter().collect()) }),
        ]
    })
}

fn table() -> impl Strategy<Value = String> {
    let cell = prop_oneof![steering(), "[a-z0-9]{0,12}"];
    let rows = proptest::collection::vec(proptest::collection::vec(cell, 3), 3..30);
    (rows, proptest::sample::select(vec![",", "\t", " | "])).prop_map(|(rows, between)| {
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(between);
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..600),
        steering().prop_map(String::into_bytes),
        json().prop_map(|value| value.to_string().into_bytes()),
        table().prop_map(String::into_bytes),
        steering().prop_map(|text| text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_control_string_survives(
        text in steering(),
        strings in proptest::collection::vec(prop_oneof![any::<String>(), "[\\\\u{}0-9a-f?_]{1,3}", "[<|>a-z]{1,4}"], 0..12),
    ) {
        let controls = ControlStrings::new(&strings).expect("a small set");
        let (escaped, broken) = controls.escape(&text);
        for string in strings.iter().filter(|string| !string.is_empty()) {
            prop_assert!(!escaped.contains(string.as_str()), "{string:?} in {escaped:?}");
        }
        prop_assert_eq!(broken == 0, escaped == text);
        let (again, broken) = controls.escape(&escaped);
        prop_assert_eq!(&again, &escaped);
        prop_assert_eq!(broken, 0);
    }

    #[test]
    fn no_control_string_survives_normalisation(text in steering()) {
        let controls = ControlStrings::new(CONTROLS).expect("a small set");
        let normal: String = controls.escape(&text).0.nfkc().collect();
        for string in CONTROLS {
            prop_assert!(!normal.contains(string), "{string:?} in {normal:?}");
        }
    }

    #[test]
    fn what_is_visible_stays_as_it_is(text in steering()) {
        let (clean, shown) = visible(&text);
        let (again, shown_again) = visible(&clean);
        prop_assert_eq!(&again, &clean);
        prop_assert_eq!(shown_again.total(), 0);
        if shown.total() == 0 {
            prop_assert_eq!(clean.replace('\n', ""), text.replace(['\n', '\r', '\u{2028}', '\u{2029}'], ""));
        }
    }

    #[test]
    fn any_bytes_decode(bytes in bytes(), label in prop_oneof![
        any::<String>(), proptest::sample::select(vec!["latin1", "utf-16", "shift_jis", "iso-2022-kr", "text/csv; charset=\"big5\""]).prop_map(str::to_owned),
    ]) {
        let decoded = decode(&bytes, Some(&label));
        prop_assert!(decoded.text.len() <= 4 * bytes.len());
        if let Ok(text) = std::str::from_utf8(&bytes) && decoded.charset == "UTF-8" {
            prop_assert_eq!(decoded.text.as_ref(), text.strip_prefix('\u{feff}').unwrap_or(text));
        }
        for limit in [0, 1, bytes.len() / 2] {
            prop_assert!(capped(&bytes, limit).len() <= limit);
        }
    }

    #[test]
    fn any_bytes_fit_or_are_refused(bytes in bytes(), budget in 0_usize..300, limit_bytes in 0_usize..1000, about in steering()) {
        let controls = ControlStrings::new(CONTROLS).expect("a small set");
        let request = Request { about: &about, limit_bytes, ..common::request(&controls, budget) };
        let mut rank = |pieces: &[Piece<'_>]| pieces.iter().map(|piece| piece.text.len() as f32).collect();
        match align(&bytes, &request, Measures { count: &tokens, score: Some(&mut rank) }) {
            Ok(aligned) => hold_promises("any bytes", &aligned, &CONTROLS, budget),
            Err(Misfit::Budget { needed, .. }) => prop_assert!(needed > budget),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// A tokenizer that counts as it likes, and a model that judges as it likes, do no harm.
    #[test]
    fn the_hosts_functions_may_be_anything(text in steering(), budget in 0_usize..300, seed in any::<u64>()) {
        let controls = ControlStrings::new(CONTROLS).expect("a small set");
        let erratic = |text: &str| (text.len() as u64).wrapping_mul(seed | 1).wrapping_shr(seed as u32 % 64) as usize;
        let mut judge = |pieces: &[Piece<'_>]| vec![f32::NAN; pieces.len() * (seed as usize % 3)];
        let text = text.repeat(20);
        let request = common::request(&controls, budget);
        if let Ok(aligned) = align(text.as_bytes(), &request, Measures { count: &erratic, score: Some(&mut judge) }) {
            prop_assert!(aligned.tokens <= budget);
            prop_assert_eq!(aligned.tokens, erratic(&aligned.text));
        }
    }
}
