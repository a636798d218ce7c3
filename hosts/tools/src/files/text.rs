//! Files as text.

use std::io::{self, BufRead, BufReader, Read};

/// Bytes at the beginning by which a file is known to be binary.
const LOOKED_AT: usize = 8 << 10;

/// Lines of a file, each up to a length.
pub struct Lines<R> {
    reader: BufReader<io::Take<R>>,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its text without its end; what is not UTF-8 is replaced.
    pub text: String,
    /// Bytes of it that were left out.
    pub left_out: usize,
}

impl<R: Read> Lines<R> {
    /// Reads the first `most_bytes` of a file; nothing when it is binary.
    pub fn new(file: R, most_bytes: u64) -> io::Result<Option<Lines<R>>> {
        let mut reader = BufReader::with_capacity(LOOKED_AT, file.take(most_bytes));
        let binary = reader.fill_buf()?.contains(&0);
        Ok((!binary).then_some(Lines { reader }))
    }

    /// The next line, of which `most` bytes are kept. None when there is no more.
    pub fn next(&mut self, most: usize) -> io::Result<Option<Line>> {
        let (mut kept, mut length, mut ended) = (Vec::new(), 0, false);
        while !ended {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            kept.extend_from_slice(&part[..part.len().min(most - kept.len())]);
            length += part.len();
            ended = end.is_some();
            let used = part.len() + usize::from(ended);
            self.reader.consume(used);
        }
        if length == 0 && !ended {
            return Ok(None);
        }
        if length == kept.len() && kept.last() == Some(&b'\r') {
            kept.pop();
            length -= 1;
        }
        let left_out = length - kept.len();
        Ok(Some(Line { text: String::from_utf8_lossy(&kept).into_owned(), left_out }))
    }

    /// Whether the file goes on behind the bytes that may be read.
    pub fn is_cut(&mut self) -> io::Result<bool> {
        let taken = self.reader.get_mut();
        if taken.limit() > 0 {
            return Ok(false);
        }
        taken.set_limit(1);
        Ok(taken.read(&mut [0])? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], most: usize) -> Vec<(String, usize)> {
        let mut lines = Lines::new(bytes, 1 << 20).unwrap().unwrap();
        std::iter::from_fn(|| lines.next(most).unwrap()).map(|line| (line.text, line.left_out)).collect()
    }

    fn line(text: &str, left_out: usize) -> (String, usize) {
        (text.to_owned(), left_out)
    }

    #[test]
    fn lines_end_where_they_end() {
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"\n", 9), [line("", 0)]);
        assert_eq!(lines(b"a\r\n\nb", 9), [line("a", 0), line("", 0), line("b", 0)]);
        assert_eq!(lines(b"a\xff\n", 9), [line("a\u{fffd}", 0)]);
    }

    #[test]
    fn long_lines_are_cut_and_the_next_is_whole() {
        let long = [&[b'x'; 100_000][..], b"\nnext"].concat();
        assert_eq!(lines(&long, 4), [line("xxxx", 99_996), line("next", 0)]);
    }

    #[test]
    fn what_is_binary_has_no_lines() {
        assert!(Lines::new(&b"a\0b"[..], 100).unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_longer_than_what_is_read_is_known() {
        for (most, cut) in [(2, true), (3, false), (4, false)] {
            let mut lines = Lines::new(&b"abc"[..], most).unwrap().unwrap();
            while lines.next(9).unwrap().is_some() {}
            assert_eq!(lines.is_cut().unwrap(), cut, "{most}");
        }
    }
}
