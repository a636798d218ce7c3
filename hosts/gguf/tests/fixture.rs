//! The file that the Python package `gguf` wrote (see `fixtures/make.py`): what is in it is read
//! back, and what its tensors mean is what that package says, bit by bit.

mod common;

use agentos_gguf::{Gguf, Value, ValueType};
use agentos_hal::DType;
use agentos_hal::quant::dequantise;
use common::parsed;

const FILE: &[u8] = include_bytes!("fixtures/types.gguf");
const DEQUANTISED: &[u8] = include_bytes!("fixtures/types.dequantised.f32");

#[test]
fn the_file_is_accepted() {
    assert!(common::walk::walk(FILE));
}

#[test]
fn the_frame() {
    parsed(FILE, |gguf| {
        assert_eq!((gguf.version(), gguf.alignment()), (3, 64));
        assert_eq!(gguf.architecture(), Some("llama"));
        assert_eq!((gguf.metadata().len(), gguf.tensors().len()), (31, 11));
        assert!(gguf.get("test").is_none() && gguf.get("").is_none() && gguf.get("zzz").is_none());
        assert!(gguf.tensor("fixture").is_none() && gguf.tensor("fixture.Q4_1x").is_none());
    });
}

#[test]
fn keys_of_the_architecture() {
    parsed(FILE, |gguf| {
        assert_eq!(gguf.arch_uint("block_count"), Some(30));
        assert_eq!(gguf.arch_float("rope.freq_base"), Some(100_000.0));
        assert_eq!(gguf.arch_text("block_count"), None, "a number is no text");
        assert_eq!(gguf.arch_float("block_count"), None, "an integer is no floating-point number");
        assert_eq!(gguf.arch_uint("rope.freq_base"), None);
        assert_eq!(gguf.arch_uint("block"), None);
        assert_eq!(gguf.arch_uint("block_count.x"), None);
        assert_eq!(gguf.arch_uint("llama.block_count"), None);
    });
    let file = common::File::new().text("general.architecture", "x.y").text("x.y.tokens", "many").build();
    parsed(&file, |gguf| assert_eq!(gguf.arch_text("tokens"), Some("many")));
    let file = common::File::new().u32("llama.block_count", 30).build();
    parsed(&file, |gguf| assert_eq!(gguf.arch_uint("block_count"), None, "no architecture is stated"));
}

#[test]
fn values_of_every_type() {
    parsed(FILE, |gguf| {
        let value = |key: &str| gguf.get(key).unwrap_or_else(|| panic!("no {key}"));
        assert!(matches!(value("test.u8"), Value::U8(200)));
        assert!(matches!(value("test.i8"), Value::I8(-100)));
        assert!(matches!(value("test.u16"), Value::U16(60_000)));
        assert!(matches!(value("test.i16"), Value::I16(-30_000)));
        assert!(matches!(value("test.u32"), Value::U32(4_000_000_000)));
        assert!(matches!(value("test.i32"), Value::I32(-2_000_000_000)));
        assert!(matches!(value("test.u64"), Value::U64(u64::MAX)));
        assert!(matches!(value("test.i64"), Value::I64(i64::MIN)));
        assert!(matches!(value("test.f32"), Value::F32(0.1)));
        assert!(matches!(value("test.f64"), Value::F64(0.1)));
        assert_eq!(value("test.true").as_bool(), Some(true));
        assert_eq!(value("test.false").as_bool(), Some(false));
        assert_eq!(value("general.name").as_text(), Some("Fixture ä漢😀"));
        assert_eq!(value("test.empty_text").as_text(), Some(""));
    });
}

#[test]
fn numbers_are_widened_where_they_fit() {
    parsed(FILE, |gguf| {
        let value = |key: &str| gguf.get(key).unwrap_or_else(|| panic!("no {key}"));
        for (key, uint, int) in [
            ("test.u8", Some(200), Some(200)),
            ("test.i8", None, Some(-100)),
            ("test.u16", Some(60_000), Some(60_000)),
            ("test.i16", None, Some(-30_000)),
            ("test.u32", Some(4_000_000_000), Some(4_000_000_000)),
            ("test.i32", None, Some(-2_000_000_000)),
            ("test.u64", Some(u64::MAX), None),
            ("test.i64", None, Some(i64::MIN)),
            ("test.f32", None, None),
            ("test.true", None, None),
            ("general.name", None, None),
        ] {
            assert_eq!((value(key).as_uint(), value(key).as_int()), (uint, int), "{key}");
        }
        assert_eq!(value("test.f32").as_float(), Some(f64::from(0.1f32)));
        assert_eq!(value("test.f64").as_float(), Some(0.1));
        assert_eq!(value("test.u8").as_float(), None);
    });
}

fn array<'a>(gguf: &Gguf<'a>, name: &str) -> agentos_gguf::Array<'a> {
    let value = gguf.get(&format!("test.array.{name}")).unwrap_or_else(|| panic!("no array of {name}"));
    value.as_array().expect("an array")
}

#[test]
fn arrays_of_every_type() {
    parsed(FILE, |gguf| {
        for (name, expected) in [
            ("uint8", [0, 255]),
            ("int8", [-128, 127]),
            ("uint16", [0, 65_535]),
            ("int16", [-32_768, 32_767]),
            ("uint32", [0, u32::MAX.into()]),
            ("int32", [i32::MIN.into(), i32::MAX.into()]),
            ("int64", [i64::MIN, i64::MAX]),
        ] {
            let array = array(&gguf, name);
            assert!(array.ints().expect("integers").eq(expected), "{name}");
            assert!(array.texts().is_none() && array.floats().is_none(), "{name}");
        }
        let wide = array(&gguf, "uint64");
        assert!(wide.ints().is_none());
        assert!(wide.values().filter_map(|value| value.as_uint()).eq([0, u64::MAX]));
        assert!(array(&gguf, "float32").floats().expect("floats").eq([0.5, -1.25]));
        assert!(array(&gguf, "float64").floats().expect("floats").eq([0.1, -1e300]));
        let bools = array(&gguf, "bool");
        assert!(bools.values().filter_map(|value| value.as_bool()).eq([true, false, true]));
        assert_eq!((bools.len(), bools.element_type()), (3, ValueType::Bool));

        let texts = array(&gguf, "string").texts().expect("texts");
        assert_eq!(texts.len(), 4);
        assert!(texts.eq(["<s>", "", "Ġthe", "漢"]));
    });
}

#[test]
fn arrays_of_arrays() {
    parsed(FILE, |gguf| {
        let rows = array(&gguf, "array").values();
        let rows: Vec<Vec<&str>> =
            rows.map(|row| row.as_array().expect("an array").texts().expect("texts").collect()).collect();
        assert_eq!(rows, [vec!["a", "bc"], vec!["d"]]);
    });
}

#[test]
fn empty_arrays() {
    for kind in [common::U8, common::BOOL, common::TEXT, common::ARRAY] {
        let file = common::File::new().pair("k", common::ARRAY, &common::array(kind, 0, &[])).u32("l", 7);
        parsed(&file.build(), |gguf| {
            let array = gguf.get("k").and_then(|value| value.as_array()).expect("an array");
            assert!(array.is_empty() && array.values().next().is_none());
            assert_eq!(gguf.get("l").and_then(|value| value.as_uint()), Some(7));
        });
    }
}

#[test]
fn tensors_of_every_type_dequantise_to_the_same_bits() {
    parsed(FILE, |gguf| {
        let mut seen = Vec::new();
        for (tensor, expected) in gguf.tensors().zip(DEQUANTISED.chunks_exact(2 * 256 * 4)) {
            assert_eq!((tensor.dims, tensor.n_dims), ([256, 2, 1, 1], 2));
            assert_eq!((tensor.info.rows, tensor.info.cols), (2, 256));
            assert_eq!(tensor.name, format!("fixture.{}", tensor.info.dtype));
            let mut values = [0.0; 2 * 256];
            dequantise(tensor.info.dtype, tensor.bytes, &mut values);
            for (i, (value, expected)) in values.iter().zip(expected.chunks_exact(4)).enumerate() {
                assert_eq!(value.to_le_bytes(), *expected, "{} at {i}: {value}", tensor.name);
            }
            seen.push(tensor.info.dtype);
        }
        seen.sort();
        let mut all = DType::ALL;
        all.sort();
        assert_eq!(seen, all);
    });
}
