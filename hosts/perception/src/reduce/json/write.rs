//! Writes JSON within a number of bytes.

use std::borrow::Cow;

use crate::provenance::Grouped;
use crate::reduce::choose::ends;
use crate::text::hidden;

use super::columns;
use super::tree::{Item, Node};

/// Bytes that a value gets at least, where there is room for its key at all.
const LEAST: usize = 12;
/// Bytes that an element of a long list is worth, before more elements are shown instead.
const WORTH: usize = 160;
/// Bytes of a mark such as `… 4,812 more …`.
const MARK: usize = 20;
/// Digits after which a number is cut like a string.
const MOST_DIGITS: usize = 40;

/// Writes a value in about `bytes` bytes; and whether nothing of it is missing.
#[must_use]
pub fn value(item: &Item<'_>, bytes: usize) -> (String, bool) {
    let mut writer = Writer::new(bytes);
    writer.value(item, bytes);
    (writer.text, writer.whole)
}

/// Writes values one a line.
#[must_use]
pub fn lines(items: &[Item<'_>], bytes: usize) -> (String, bool) {
    let mut writer = Writer::new(bytes);
    writer.sampled(items, bytes, "\n", &mut |writer, item, share| writer.value(item, share));
    (writer.text, writer.whole)
}

struct Writer {
    text: String,
    whole: bool,
}

impl Writer {
    fn new(bytes: usize) -> Writer {
        Writer { text: String::with_capacity(bytes.min(1 << 20)), whole: true }
    }

    fn value(&mut self, item: &Item<'_>, bytes: usize) {
        match &item.node {
            Node::Literal(literal) if literal.len() <= MOST_DIGITS.max(bytes) => self.text.push_str(literal),
            Node::Literal(literal) => self.string(literal, bytes),
            Node::Text(string) => self.string(string, bytes),
            Node::List(items) => self.list(items, item.size, bytes),
            Node::Record(entries) => self.record(entries, bytes),
        }
    }

    fn list(&mut self, items: &[Item<'_>], size: usize, bytes: usize) {
        if items.is_empty() {
            self.text.push_str("[]");
        } else if bytes < LEAST && size > bytes {
            self.missing('[', items.len(), "items", ']');
        } else if let Some(columns) = columns_of(items, size, bytes) {
            self.table(&columns, items, bytes);
        } else {
            self.text.push('[');
            self.sampled(items, bytes.saturating_sub(2), ",", &mut |writer, item, share| {
                writer.value(item, share)
            });
            self.text.push(']');
        }
    }

    /// Records with the same keys: the keys once, then rows of values.
    fn table(&mut self, columns: &[&str], items: &[Item<'_>], bytes: usize) {
        let start = self.text.len();
        self.text.push_str("{\"columns\":[");
        self.separated(columns.len(), ",", |writer, at| writer.string(columns[at], usize::MAX));
        self.text.push_str("],\"rows\":[");
        let room = bytes.saturating_sub(self.text.len() - start + 2);
        self.sampled(items, room, ",", &mut |writer, item, share| writer.row(item, share));
        self.text.push_str("]}");
    }

    fn row(&mut self, item: &Item<'_>, bytes: usize) {
        let Node::Record(entries) = &item.node else {
            return;
        };
        let needs: Vec<usize> = entries.iter().map(|(_, item)| item.size + 1).collect();
        let shares = shared(bytes.saturating_sub(2), &needs);
        self.text.push('[');
        self.separated(entries.len(), ",", |writer, at| writer.value(&entries[at].1, shares[at]));
        self.text.push(']');
    }

    /// As many elements of a list as are worth showing, from both ends.
    fn sampled<'t>(
        &mut self,
        items: &[Item<'t>],
        bytes: usize,
        between: &str,
        write: &mut dyn FnMut(&mut Writer, &Item<'t>, usize),
    ) {
        let size: usize = items.iter().map(|item| item.size + between.len()).sum();
        let worth = (size / items.len().max(1)).clamp(4, WORTH);
        let fitting = if size <= bytes { items.len() } else { (bytes.saturating_sub(MARK) / worth).max(1) };
        let shown = Shown::of(items.len(), fitting);
        let room = if shown.missing() > 0 { bytes.saturating_sub(MARK) } else { bytes };
        let needs: Vec<usize> = shown.indices().map(|at| items[at].size + between.len()).collect();
        let mut shares = shared(room, &needs).into_iter();
        for at in shown.indices() {
            if at > 0 {
                self.text.push_str(between);
            }
            if at == shown.tail_from && shown.missing() > 0 {
                self.more(shown.missing(), "more");
                self.text.push_str(between);
            }
            write(self, &items[at], shares.next().unwrap_or(0));
        }
        if shown.tail_from == items.len() && shown.missing() > 0 {
            self.text.push_str(between);
            self.more(shown.missing(), "more");
        }
    }

    fn record(&mut self, entries: &[(Cow<'_, str>, Item<'_>)], bytes: usize) {
        if entries.is_empty() {
            return self.text.push_str("{}");
        }
        let least = |(key, item): &(Cow<'_, str>, Item<'_>)| key_bytes(key) + item.size.min(LEAST);
        let costs: Vec<usize> = entries.iter().map(least).collect();
        let all = costs.iter().sum::<usize>() <= bytes;
        let fitting = if all { entries.len() } else { Shown::fitting(&costs, bytes.saturating_sub(MARK)) };
        if fitting == 0 {
            return self.missing('{', entries.len(), "keys", '}');
        }
        let shown = Shown::of(entries.len(), fitting);
        let mark = if shown.missing() > 0 { MARK } else { 2 };
        let keys: usize = shown.indices().map(|at| key_bytes(&entries[at].0)).sum();
        let needs: Vec<usize> = shown.indices().map(|at| entries[at].1.size).collect();
        let mut shares = shared(bytes.saturating_sub(keys + mark), &needs).into_iter();
        self.text.push('{');
        for at in shown.indices() {
            if at > 0 {
                self.text.push(',');
            }
            if at == shown.tail_from && shown.missing() > 0 {
                self.more(shown.missing(), "more keys");
                self.text.push(',');
            }
            self.entry(&entries[at].0, &entries[at].1, shares.next().unwrap_or(0));
        }
        if shown.tail_from == entries.len() && shown.missing() > 0 {
            self.text.push(',');
            self.more(shown.missing(), "more keys");
        }
        self.text.push('}');
    }

    /// A key and its value. Where the value is too long and has one key only, for which there is room, the two keys
    /// become one.
    fn entry(&mut self, key: &str, item: &Item<'_>, mut bytes: usize) {
        let (mut path, mut end) = (key.to_owned(), item);
        while let (Node::Record(entries), true) = (&end.node, end.size > bytes) {
            match &entries[..] {
                [(inner, value)]
                    if !path.is_empty()
                        && !inner.is_empty()
                        && inner.len() < bytes
                        && !inner.contains('.')
                        && !key.contains('.') =>
                {
                    path.push('.');
                    path.push_str(inner);
                    bytes -= inner.len() + 1;
                    end = value;
                }
                _ => break,
            }
        }
        self.string(&path, usize::MAX);
        self.text.push(':');
        self.value(end, bytes);
    }

    fn separated(&mut self, count: usize, between: &str, mut write: impl FnMut(&mut Writer, usize)) {
        for at in 0..count {
            if at > 0 {
                self.text.push_str(between);
            }
            write(self, at);
        }
    }

    /// A string in quotes, without its middle where it is too long.
    fn string(&mut self, string: &str, bytes: usize) {
        self.text.push('"');
        if string.len().saturating_add(2) <= bytes.max(LEAST) {
            self.escaped(string);
        } else if bytes < 3 * MARK {
            // Too little room for a beginning, an end and a mark between.
            self.whole = false;
            let end = string.floor_char_boundary(bytes.max(LEAST) - 3);
            self.escaped(&string[..end]);
            self.text.push('…');
        } else {
            self.whole = false;
            if let Some(ends) = ends(string, bytes - 2) {
                self.escaped(ends.head);
                self.text.push_str(&ends.mark());
                self.escaped(ends.tail);
            }
        }
        self.text.push('"');
    }

    /// A string as JSON has it, with all in it visible.
    fn escaped(&mut self, string: &str) {
        let mut before = None;
        let mut chars = string.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' | '\\' => self.text.extend(['\\', c]),
                '\n' => self.text.push_str("\\n"),
                '\t' => self.text.push_str("\\t"),
                '\r' => self.text.push_str("\\r"),
                '\u{2028}' | '\u{2029}' => self.unit(c),
                '…' if before == Some('[') => self.unit(c),
                _ if hidden(before, c, chars.peek().copied()).is_some() => self.unit(c),
                _ => self.text.push(c),
            }
            before = Some(c);
        }
    }

    fn unit(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            self.text.push_str(&format!("\\u{unit:04x}"));
        }
    }

    fn more(&mut self, count: usize, what: &str) {
        self.whole = false;
        self.text.push_str(&format!("… {} {what} …", Grouped(count)));
    }

    fn missing(&mut self, open: char, count: usize, what: &str, close: char) {
        self.whole = false;
        self.text.push_str(&format!("{open}… {} {what} …{close}", Grouped(count)));
    }
}

/// The columns of a list that is too long and better written as a table.
fn columns_of<'i>(items: &'i [Item<'_>], size: usize, bytes: usize) -> Option<Vec<&'i str>> {
    if size <= bytes {
        return None;
    }
    columns(items).filter(|names| header_bytes(names) * 2 <= bytes)
}

fn header_bytes(columns: &[&str]) -> usize {
    "{'columns':[],'rows':[]}".len() + columns.iter().map(|name| name.len() + 3).sum::<usize>()
}

fn key_bytes(key: &str) -> usize {
    key.len() + 4
}

/// Which elements are shown: some from the beginning, fewer from the end.
struct Shown {
    head: usize,
    tail_from: usize,
    of: usize,
}

impl Shown {
    fn of(of: usize, fitting: usize) -> Shown {
        let shown = fitting.min(of);
        let head = if shown == of { of } else { shown - shown / 3 };
        Shown { head, tail_from: of - (shown - head), of }
    }

    /// How many are shown of elements with these costs, so that those which are shown cost no more than `room`.
    fn fitting(costs: &[usize], room: usize) -> usize {
        let mut left = room;
        let more = |shown: &usize| {
            // Every third is one of the end.
            let tail = shown / 3;
            let next = if shown.is_multiple_of(3) { costs.len() - tail } else { shown - tail - 1 };
            let fits = costs[next] <= left;
            left = left.saturating_sub(costs[next]);
            fits
        };
        (1..=costs.len()).take_while(more).count()
    }

    fn missing(&self) -> usize {
        self.tail_from - self.head
    }

    fn indices(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.head).chain(self.tail_from..self.of)
    }
}

/// Deals `room` out: each gets what it needs, or a fair part of what is left.
fn shared(room: usize, needs: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&at| needs[at]);
    let (mut left, mut shares) = (room, vec![0; needs.len()]);
    for (done, at) in order.into_iter().enumerate() {
        shares[at] = needs[at].min(left / (needs.len() - done));
        left -= shares[at];
    }
    shares
}
