//! A place in the file, and the primitive reads that move it.

use crate::error::GgufError;

/// Reads forward from a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At byte `at` of the file; a place past its end reads as the end.
    pub fn new(bytes: &'a [u8], at: u64) -> Reader<'a> {
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Reader { bytes, at }
    }

    /// The place, in bytes from the beginning of the file.
    pub fn at(&self) -> u64 {
        self.at as u64
    }

    /// Bytes from here to the end of the file.
    pub fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// The next `len` bytes; `part` says what they are, should they be missing.
    pub fn take(&mut self, len: u64, part: &'static str) -> Result<&'a [u8], GgufError> {
        let rest = &self.bytes[self.at..];
        match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => {
                let (at, available) = (self.at(), self.left());
                Err(GgufError::Truncated { part, at, needed: len, available })
            }
        }
    }

    /// The next `N` bytes, by value.
    pub fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, part)?);
        Ok(array)
    }

    /// A number of 32 bits.
    pub fn u32(&mut self, part: &'static str) -> Result<u32, GgufError> {
        self.array(part).map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub fn u64(&mut self, part: &'static str) -> Result<u64, GgufError> {
        self.array(part).map(u64::from_le_bytes)
    }

    /// A text: its length in 64 bits, then UTF-8.
    pub fn text(&mut self, part: &'static str) -> Result<&'a str, GgufError> {
        self.text_within(part, u64::MAX)
    }

    /// A text of at most `limit` bytes.
    pub fn text_within(&mut self, part: &'static str, limit: u64) -> Result<&'a str, GgufError> {
        let bytes = self.text_bytes(part, limit)?;
        core::str::from_utf8(bytes).map_err(|error| {
            let unread = bytes.len() - error.valid_up_to();
            GgufError::Utf8 { part, at: self.at() - unread as u64 }
        })
    }

    /// The bytes of a text, not looked into.
    pub fn text_bytes(&mut self, part: &'static str, limit: u64) -> Result<&'a [u8], GgufError> {
        let at = self.at();
        let len = self.u64(part)?;
        if len > limit {
            return Err(GgufError::Length { part, at, found: len, limit });
        }
        self.take(len, part)
    }
}
