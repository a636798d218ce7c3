//! What must hold for any bytes whatever. The fuzz target and the property tests share it.

use agentos_gguf::{Gguf, IndexEntry, Value};

/// Parses `bytes`; reads everything that can be asked of an accepted file, and checks that it is
/// consistent and inside the file. Whether the file was accepted.
pub fn walk(bytes: &[u8]) -> bool {
    let len = match Gguf::index_len(bytes) {
        Ok(len) => len,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let again = Gguf::parse(bytes, &mut []).expect_err("refused by its header");
            assert_eq!(again, error);
            return false;
        }
    };
    let mut index = vec![IndexEntry::default(); len];
    match Gguf::parse(bytes, &mut index) {
        Ok(gguf) => {
            assert_eq!(gguf.metadata().len() + gguf.tensors().len(), len);
            walk_metadata(gguf);
            walk_tensors(bytes, gguf);
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn walk_metadata(gguf: Gguf<'_>) {
    let mut before = None;
    let mut count = 0;
    for (key, value) in gguf.metadata() {
        assert!(before < Some(key), "keys come sorted, each once");
        before = Some(key);
        count += 1;
        let again = gguf.get(key).expect("a key that was listed");
        assert_eq!(format!("{again:?}"), format!("{value:?}"));
        walk_value(value);
    }
    assert_eq!(count, gguf.metadata().len());
    if let Some(architecture) = gguf.architecture() {
        let sizes = gguf.metadata().filter_map(|(key, _)| key.strip_prefix(architecture)?.strip_prefix('.'));
        for key in sizes {
            assert!(gguf.arch_get(key).is_some());
        }
    }
}

fn walk_value(value: Value<'_>) {
    let Some(array) = value.as_array() else {
        return;
    };
    assert_eq!(array.values().map(walk_value).count(), array.len());
    let kinds = [
        array.texts().map(Iterator::count),
        array.ints().map(Iterator::count),
        array.floats().map(Iterator::count),
    ];
    assert!(kinds.iter().flatten().all(|&count| count == array.len()));
}

fn walk_tensors(bytes: &[u8], gguf: Gguf<'_>) {
    let mut ranges = Vec::new();
    for tensor in gguf.tensors() {
        let range = tensor.at as usize..tensor.at as usize + tensor.bytes.len();
        assert!(core::ptr::eq(tensor.bytes, &bytes[range.clone()]));
        assert_eq!(tensor.info.bytes(), Some(tensor.bytes.len() as u64));
        assert_eq!(u64::from(tensor.info.cols), tensor.dims[0]);
        assert_eq!(u64::from(tensor.info.rows), tensor.dims[1..].iter().product());
        let again = gguf.tensor(tensor.name).expect("a tensor that was listed");
        assert_eq!((again.name, again.at, again.info), (tensor.name, tensor.at, tensor.info));
        ranges.push(range);
    }
    assert_eq!(ranges.len(), gguf.tensors().len());
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "tensors share no byte");
}
