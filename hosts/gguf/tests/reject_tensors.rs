//! Every way in which a file can be refused for a tensor, each by a file made for it.

mod common;

use agentos_gguf::{GgufError, ShortName, TensorFault};
use agentos_hal::DType;
use common::{File, HEADER, honest, refused};

fn tensor(name: &str, at: u64, fault: TensorFault) -> GgufError {
    GgufError::Tensor { name: ShortName::new(name), at, fault }
}

#[test]
fn dimension_counts() {
    for dims in [&[][..], &[1; 5], &[1; 1000]] {
        let file = File::new().tensor("t", dims, 0, 0).data(4);
        let found = dims.len() as u32;
        assert_eq!(refused(&file.build()), tensor("t", HEADER, TensorFault::DimCount { found }));
    }
}

#[test]
fn dimensions() {
    let most = u64::from(u32::MAX);
    for dims in [
        &[0][..],
        &[32, 0],
        &[0, 32],
        &[32, 1, 1, 0],
        &[most + 1],
        &[1, most + 1],
        &[1, 1 << 20, 1 << 20],
        &[u64::MAX, u64::MAX, u64::MAX, u64::MAX],
        &[1, 1 << 32, 1 << 32, 1],
        &[1 << 31, 1 << 31, 2],
        &[most, most],
    ] {
        let mut found = [1; 4];
        found[..dims.len()].copy_from_slice(dims);
        let file = File::new().tensor("t", dims, 0, 0).data(64);
        assert_eq!(refused(&file.build()), tensor("t", HEADER, TensorFault::Dims { found }));
    }
}

#[test]
fn unsupported_types() {
    let file = |kind| File::new().tensor("blk.0.ffn_up.weight", &[256], kind, 0).data(4096).build();
    for found in [4, 5, 9, 10, 11, 15, 16, 20, 29, 31, 39, 40, u32::MAX] {
        let error = refused(&file(found));
        assert_eq!(error, tensor("blk.0.ffn_up.weight", HEADER, TensorFault::Type { found }));
    }
    assert_eq!(
        refused(&file(11)).to_string(),
        "tensor \"blk.0.ffn_up.weight\" (described at byte 24) has the type 11 (Q3_K), which is not supported; \
         supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K"
    );
    assert!(refused(&file(99)).to_string().contains("has the unknown type 99, which is not supported"));
}

#[test]
fn rows_of_broken_blocks() {
    for (kind, dtype, cols) in [(8, DType::Q8_0, 33), (2, DType::Q4_0, 16), (14, DType::Q6K, 128)] {
        // As many elements as whole blocks have, but not row by row.
        let file = File::new().tensor("t", &[cols, 256], kind, 0).data(1 << 16);
        let cols = cols as u32;
        assert_eq!(refused(&file.build()), tensor("t", HEADER, TensorFault::RowLength { dtype, cols }));
    }
}

#[test]
fn duplicate_tensors() {
    let file = honest().tensor("a.weight", &[1], 0, 576).data(580);
    let error = tensor("a.weight", honest().records_end(), TensorFault::Duplicate);
    assert_eq!(refused(&file.build()), error);
}

#[test]
fn misaligned_tensors() {
    for offset in [1, 16, 31, u64::MAX] {
        let file = File::new().tensor("t", &[1], 0, offset).data(64);
        let fault = TensorFault::Misaligned { offset, alignment: 32 };
        assert_eq!(refused(&file.build()), tensor("t", HEADER, fault));
    }
}

#[test]
fn tensors_outside_the_file() {
    let data_at = 64;
    for (cols, offset) in [(33, 0), (1, 128), (9, 96), (1, 1 << 40), (1, u64::MAX - 31), (1 << 30, 0)] {
        let file = File::new().tensor("t", &[cols], 0, offset).data(128).build();
        let at = data_at + offset.min(u64::MAX - data_at);
        let fault = TensorFault::OutsideFile { at, bytes: cols * 4, file: data_at + 128 };
        assert_eq!(refused(&file), tensor("t", HEADER, fault));
    }
    assert!(common::walk::walk(&File::new().tensor("t", &[8], 0, 96).data(128).build()));
}

#[test]
fn overlapping_tensors() {
    for (first, second, other) in [(0, 0, "t"), (0, 32, "t"), (32, 0, "u"), (64, 32, "u")] {
        let file = File::new().tensor("t", &[16], 0, first).tensor("u", &[16], 0, second).data(256).build();
        let GgufError::Tensor { fault: TensorFault::Overlap { other: found, at }, .. } = refused(&file)
        else {
            panic!("{}", refused(&file));
        };
        assert_eq!(found.as_str(), other);
        assert_eq!(at, file.len() as u64 - 256 + first.max(second));
    }
}
