//! Every way in which a file can be refused for its frame or its metadata, each by a file made for it.

mod common;

use agentos_gguf::{Gguf, GgufError, IndexEntry, MAX_ENTRIES, ShortName, TensorFault};
use common::{ARRAY, BOOL, F32, File, HEADER, TEXT, U8, array, honest, parsed, refused, text};

fn message(error: GgufError) -> String {
    error.to_string()
}

#[test]
fn the_honest_file_is_accepted() {
    assert!(common::walk::walk(&honest().build()));
    assert!(common::walk::walk(&File::new().build()), "an empty file of the format");
}

#[test]
fn both_versions_are_accepted() {
    for version in [2, 3] {
        let mut file = honest().build();
        file[4] = version;
        assert_eq!(parsed(&file, |gguf| gguf.version()), u32::from(version));
    }
}

#[test]
fn other_files() {
    let error = refused(b"PK\x03\x04 is a zip archive, not a model");
    assert_eq!(error, GgufError::Magic { found: *b"PK\x03\x04" });
    assert_eq!(message(error), "not a GGUF file: it begins with \"PK\\x03\\x04\", not with \"GGUF\"");
}

#[test]
fn other_versions() {
    for found in [0, 1, 4, u32::MAX] {
        let mut file = honest().build();
        file[4..8].copy_from_slice(&found.to_le_bytes());
        assert_eq!(refused(&file), GgufError::Version { found });
    }
    let mut file = honest().build();
    file[4..8].copy_from_slice(&3u32.to_be_bytes());
    assert_eq!(refused(&file), GgufError::BigEndian);
}

#[test]
fn every_truncation() {
    let file = honest().build();
    assert!(common::walk::walk(&file));
    for len in 0..file.len() {
        let error = refused(&file[..len]);
        let cut = matches!(
            error,
            GgufError::Truncated { .. } | GgufError::Tensor { fault: TensorFault::OutsideFile { .. }, .. }
        );
        assert!(cut, "{len} bytes: {error}");
    }
}

#[test]
fn counts_over_the_limit() {
    for (at, part) in [(8, "tensors"), (16, "metadata pairs")] {
        for found in [MAX_ENTRIES + 1, u64::MAX] {
            let mut file = honest().build();
            file[at..at + 8].copy_from_slice(&found.to_le_bytes());
            let error = GgufError::Count { part, at: at as u64, found, limit: MAX_ENTRIES };
            assert_eq!(refused(&file), error);
            assert_eq!(Gguf::index_len(&file), Err(error));
        }
    }
}

#[test]
fn counts_at_the_limit() {
    // Names in falling order, equal but for their ends: a check that compares all with all would
    // not come to an end here.
    let mut file = File::new();
    for i in (0..MAX_ENTRIES).rev() {
        file = file.u32(&format!("{:0>64}", i), 0).tensor(&format!("{:0>64}", i), &[1], 0, i * 32);
    }
    let file = file.data(MAX_ENTRIES as usize * 32);
    assert_eq!(Gguf::index_len(&file.build()), Ok(2 * MAX_ENTRIES as usize));
    assert!(common::walk::walk(&file.build()));
}

#[test]
fn counts_that_the_file_is_too_short_for_call_for_no_index() {
    for at in [8, 16] {
        let mut file = honest().build();
        file[at..at + 8].copy_from_slice(&MAX_ENTRIES.to_le_bytes());
        let error = Gguf::index_len(&file).unwrap_err();
        assert!(matches!(error, GgufError::Truncated { part: "the metadata", at: HEADER, .. }), "{error}");
    }
}

#[test]
fn a_short_index() {
    let file = honest().build();
    let mut index = [IndexEntry::default(); 3];
    let error = Gguf::parse(&file, &mut index).unwrap_err();
    assert_eq!(error, GgufError::Index { needed: 4, available: 3 });
}

#[test]
fn giant_lengths() {
    for len in [1 << 20, u64::MAX / 2, u64::MAX] {
        let mut key = honest().build();
        key[24..32].copy_from_slice(&len.to_le_bytes());
        let found = refused(&key);
        assert_eq!(
            found,
            GgufError::Length { part: "a metadata key", at: HEADER, found: len, limit: 65_535 }
        );

        let value = refused(&File::new().pair("k", TEXT, &len.to_le_bytes()).u32("after", 1).build());
        let at = HEADER + 9 + 4 + 8;
        assert!(
            matches!(value, GgufError::Truncated { part: "a text", at: a, needed, .. } if a == at && needed == len)
        );

        for kind in [U8, F32, BOOL, TEXT, ARRAY] {
            let file = File::new().pair("k", ARRAY, &array(kind, len, &[])).u32("after", 1).build();
            let error = refused(&file);
            let at = HEADER + 9 + 4 + 12;
            assert!(
                matches!(error, GgufError::Truncated { part: "an array", at: a, needed, .. } if a == at && needed >= len)
            );
        }
    }
}

#[test]
fn long_names() {
    let key = "k".repeat(65_536);
    let error = refused(&File::new().u32(&key, 1).build());
    assert_eq!(error, GgufError::Length { part: "a metadata key", at: HEADER, found: 65_536, limit: 65_535 });
    assert!(common::walk::walk(&File::new().u32(&key[1..], 1).build()));

    let name = "n".repeat(65);
    let file = File::new().tensor(&name, &[1], 0, 0).data(4);
    let error = GgufError::Length { part: "a tensor's name", at: file.records_at(), found: 65, limit: 64 };
    assert_eq!(refused(&file.build()), error);
    assert!(common::walk::walk(&File::new().tensor(&name[1..], &[1], 0, 0).data(4).build()));
}

#[test]
fn texts_that_are_not_utf8() {
    let elements = [text("one"), text("twoo")].concat();
    let file = honest().pair("k", ARRAY, &array(TEXT, 2, &elements)).build();
    for (text, part) in
        [(&b"llama.block_count"[..], "a metadata key"), (b"twoo", "a text"), (b"b.weight", "a tensor's name")]
    {
        let mut file = file.clone();
        let at = file.windows(text.len()).position(|window| window == text).expect("in the file") + 2;
        file[at] = 0xff;
        assert_eq!(refused(&file), GgufError::Utf8 { part, at: at as u64 });
    }
}

#[test]
fn unknown_value_types() {
    let at = HEADER + 9;
    for found in [13, 255, u32::MAX] {
        let error = refused(&File::new().pair("k", found, &[0; 16]).build());
        assert_eq!(error, GgufError::ValueType { at, found });
        let error = refused(&File::new().pair("k", ARRAY, &array(found, 1, &[0; 16])).build());
        assert_eq!(error, GgufError::ValueType { at: at + 4, found });
    }
}

#[test]
fn booleans_that_are_neither() {
    let at = HEADER + 9 + 4;
    assert_eq!(refused(&File::new().pair("k", BOOL, &[2]).build()), GgufError::Bool { at, found: 2 });
    let error = refused(&File::new().pair("k", ARRAY, &array(BOOL, 3, &[1, 0, 77])).build());
    assert_eq!(error, GgufError::Bool { at: at + 12 + 2, found: 77 });
}

#[test]
fn deep_arrays() {
    let nested = |depth| (1..depth).fold(array(U8, 2, &[1, 2]), |inner, _| array(ARRAY, 1, &inner));
    let file = |depth| File::new().pair("k", ARRAY, &nested(depth)).build();
    for depth in 1..=4 {
        assert!(common::walk::walk(&file(depth)), "{depth} levels");
    }
    let at = HEADER + 9 + 4 + 4 * 12;
    assert_eq!(refused(&file(5)), GgufError::ArrayDepth { at });
    assert_eq!(refused(&file(1000)), GgufError::ArrayDepth { at });
}

#[test]
fn duplicate_keys() {
    let file = honest().u32("llama.block_count", 3);
    let at = honest().records_at();
    let error = refused(&file.build());
    assert_eq!(error, GgufError::DuplicateKey { key: ShortName::new("llama.block_count"), at });
    assert!(message(error).contains("\"llama.block_count\""));
}

#[test]
fn alignments() {
    for found in [0, 1, 4, 7, 48, u32::MAX] {
        let error = refused(&File::new().u32("general.alignment", found).build());
        assert_eq!(error, GgufError::Alignment { found: Some(found.into()) });
    }
    let error = refused(&File::new().text("general.alignment", "32").build());
    assert_eq!(error, GgufError::Alignment { found: None });

    let file = |alignment: u32| {
        let file = File::new().u32("general.alignment", alignment).padded_to(alignment as usize);
        file.tensor("t", &[1], 0, 0).tensor("u", &[1], 0, alignment.into()).data(alignment as usize + 4)
    };
    for alignment in [8, 64, 4096] {
        parsed(&file(alignment).build(), |gguf| {
            assert_eq!(gguf.alignment(), u64::from(alignment));
            let at = gguf.tensor("u").expect("in the file").at;
            assert!(at.is_multiple_of(alignment.into()));
        });
    }
}

#[test]
fn names_are_cut_and_escaped_in_messages() {
    let hostile = "\x1b[2J\r\"é".to_string() + &"é".repeat(40);
    let error = refused(&File::new().u32(&hostile, 1).u32(&hostile, 1).build());
    let message = message(error);
    assert!(!message.chars().any(char::is_control), "{message}");
    assert!(message.starts_with("the metadata key \"\\u{1b}[2J\\r\\\"é"), "{message}");
    assert!(message.contains("é…\" stands there twice"), "{message}");
}
