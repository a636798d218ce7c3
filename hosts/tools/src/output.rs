//! Where outputs go.

use agentos_hal::{Output, PeripheralError};
use embedded_io::ErrorKind;

/// Output of a call, up to a limit in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    bytes: Vec<u8>,
    limit: usize,
}

impl Collected {
    /// Room for `limit` bytes. Nothing is reserved.
    pub fn new(limit: usize) -> Collected {
        Collected { bytes: Vec::new(), limit }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Forgets what was written, so that the room serves the next call.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl embedded_io::ErrorType for Collected {
    type Error = ErrorKind;
}

impl embedded_io::Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let fits = bytes.len().min(self.limit - self.bytes.len());
        if fits == 0 && !bytes.is_empty() {
            return Err(ErrorKind::OutOfMemory);
        }
        self.bytes.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Writes all of it.
///
/// # Errors
/// [`PeripheralError::Output`]: `output` took only a part, or is gone.
pub(crate) fn write(output: &mut Output<'_>, mut bytes: &[u8]) -> Result<(), PeripheralError> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(written) if written > 0 => bytes = &bytes[written.min(bytes.len())..],
            Ok(_) | Err(_) => return Err(PeripheralError::Output),
        }
    }
    output.flush().map_err(|_| PeripheralError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept() {
        let mut room = Collected::new(5);
        assert_eq!(write(&mut room, b"abc"), Ok(()));
        assert_eq!(write(&mut room, b"defg"), Err(PeripheralError::Output));
        assert_eq!(room.bytes(), b"abcde");
        assert_eq!(write(&mut room, b""), Ok(()));
        room.clear();
        assert_eq!(write(&mut room, b"fghij"), Ok(()));
        assert_eq!(room.text(), "fghij");
    }
}
