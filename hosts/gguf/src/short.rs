//! Names from the file, cut to a size that an error can carry.

/// The beginning of a name that the file gave. Displayed in quotes and with everything escaped that
/// could act on a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortName {
    text: [u8; Self::CAPACITY],
    len: u8,
    cut: bool,
}

impl ShortName {
    const CAPACITY: usize = 46;

    /// As much of `name` as fits, cut between characters.
    pub fn new(name: &str) -> ShortName {
        let len = name.floor_char_boundary(Self::CAPACITY);
        let mut text = [0; Self::CAPACITY];
        text[..len].copy_from_slice(&name.as_bytes()[..len]);
        ShortName { text, len: len as u8, cut: len < name.len() }
    }

    /// The text, without a mark where it was cut.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl core::fmt::Display for ShortName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}{}\"", self.as_str().escape_debug(), if self.cut { "…" } else { "" })
    }
}

impl core::fmt::Debug for ShortName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
