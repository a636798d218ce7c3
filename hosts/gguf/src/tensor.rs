//! The table of tensors: one record's checks, and what a lookup returns.

use core::ops::Range;

use agentos_hal::{Tensor, TensorInfo};

use crate::error::{GgufError, TensorFault};
use crate::ggml_type::dtype;
use crate::reader::Reader;
use crate::short::ShortName;
use crate::{MAX_DIMS, MAX_TENSOR_NAME_BYTES};

/// A tensor of the file.
#[derive(Clone, Copy)]
pub struct TensorEntry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dimensions, innermost (columns) first; 1 where it has none.
    pub dims: [u64; MAX_DIMS],
    /// How many of `dims` the file states.
    pub n_dims: usize,
    /// Type and size as a matrix: all dimensions but the innermost are rows. A vector is one row.
    pub info: TensorInfo,
    /// Where `bytes` begin in the file.
    pub at: u64,
    /// Exactly `info.bytes()` bytes, row after row.
    pub bytes: &'a [u8],
}

impl<'a> TensorEntry<'a> {
    /// Description and bytes, as devices take them.
    pub fn tensor(&self) -> Tensor<'a> {
        Tensor { info: self.info, bytes: self.bytes }
    }
}

impl core::fmt::Debug for TensorEntry<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let dims = &self.dims[..self.n_dims];
        write!(f, "{} {} {dims:?} at byte {}", ShortName::new(self.name), self.info.dtype, self.at)
    }
}

/// A record of the tensor table. Everything in it is checked that needs no other part of the file.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    name: &'a str,
    dims: [u64; MAX_DIMS],
    n_dims: usize,
    info: TensorInfo,
    /// Where the record begins.
    at: u64,
    /// Bytes of the tensor; never 0.
    bytes: u64,
    /// Where they begin, counted from the beginning of all tensors' bytes.
    pub offset: u64,
}

impl<'a> Record<'a> {
    /// Bytes that a record has at least.
    pub const LEAST_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

    /// Reads and checks a record.
    pub fn read(reader: &mut Reader<'a>) -> Result<Record<'a>, GgufError> {
        const PART: &str = "a tensor's description";
        let at = reader.at();
        let name = reader.text_within("a tensor's name", MAX_TENSOR_NAME_BYTES)?;
        let refuse = |fault| GgufError::Tensor { name: ShortName::new(name), at, fault };

        let found = reader.u32(PART)?;
        let mut dims = [1; MAX_DIMS];
        let n_dims = found as usize;
        if !(1..=MAX_DIMS).contains(&n_dims) {
            return Err(refuse(TensorFault::DimCount { found }));
        }
        for dim in &mut dims[..n_dims] {
            *dim = reader.u64(PART)?;
        }
        let too_large = || refuse(TensorFault::Dims { found: dims });
        let (rows, cols) = matrix(&dims).ok_or_else(too_large)?;

        let found = reader.u32(PART)?;
        let dtype = dtype(found).ok_or_else(|| refuse(TensorFault::Type { found }))?;
        if dtype.bytes(cols.into()).is_none() {
            return Err(refuse(TensorFault::RowLength { dtype, cols }));
        }
        let info = TensorInfo { dtype, rows, cols };
        let bytes = info.bytes().ok_or_else(too_large)?;
        Ok(Record { name, dims, n_dims, info, at, bytes, offset: reader.u64(PART)? })
    }

    /// The error that this tensor is refused with.
    pub fn refuse(&self, fault: TensorFault) -> GgufError {
        GgufError::Tensor { name: self.short_name(), at: self.at, fault }
    }

    /// The name, cut for an error.
    pub fn short_name(&self) -> ShortName {
        ShortName::new(self.name)
    }

    /// Checks that the tensor's bytes are aligned and inside a file of `file` bytes whose tensors'
    /// bytes begin at `data_at`, and returns which they are.
    pub fn place(&self, data_at: u64, alignment: u64, file: u64) -> Result<Range<u64>, GgufError> {
        let &Record { offset, bytes, .. } = self;
        if !offset.is_multiple_of(alignment) {
            return Err(self.refuse(TensorFault::Misaligned { offset, alignment }));
        }
        let at = data_at.saturating_add(offset);
        match at.checked_add(bytes) {
            Some(end) if end <= file => Ok(at..end),
            _ => Err(self.refuse(TensorFault::OutsideFile { at, bytes, file })),
        }
    }

    /// The tensor, whose bytes begin at `data_at + offset`; `None` if they are not in `file`.
    pub fn entry(&self, file: &'a [u8], data_at: u64) -> Option<TensorEntry<'a>> {
        let at = data_at.checked_add(self.offset)?;
        let bytes = Reader::new(file, at).take(self.bytes, "a tensor").ok()?;
        let &Record { name, dims, n_dims, info, .. } = self;
        Some(TensorEntry { name, dims, n_dims, info, at, bytes })
    }
}

/// Rows and columns, if neither is 0 and both fit.
fn matrix(dims: &[u64; MAX_DIMS]) -> Option<(u32, u32)> {
    let rows = dims[1..].iter().try_fold(1u64, |rows, &dim| rows.checked_mul(dim))?;
    let (rows, cols) = (u32::try_from(rows).ok()?, u32::try_from(dims[0]).ok()?);
    (rows > 0 && cols > 0).then_some((rows, cols))
}
