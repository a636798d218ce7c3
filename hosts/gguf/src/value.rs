//! Metadata values: how they are typed, checked and read.

use crate::MAX_ARRAY_DEPTH;
use crate::error::GgufError;
use crate::reader::Reader;

/// The type of a metadata value, with the number that files use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ValueType {
    /// Unsigned, 8 bits.
    U8 = 0,
    /// Signed, 8 bits.
    I8 = 1,
    /// Unsigned, 16 bits.
    U16 = 2,
    /// Signed, 16 bits.
    I16 = 3,
    /// Unsigned, 32 bits.
    U32 = 4,
    /// Signed, 32 bits.
    I32 = 5,
    /// IEEE 754 single precision.
    F32 = 6,
    /// One byte, 0 or 1.
    Bool = 7,
    /// UTF-8 with its length before it.
    Text = 8,
    /// Values of one type.
    Array = 9,
    /// Unsigned, 64 bits.
    U64 = 10,
    /// Signed, 64 bits.
    I64 = 11,
    /// IEEE 754 double precision.
    F64 = 12,
}

impl ValueType {
    const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::Text,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    fn read(reader: &mut Reader<'_>) -> Result<ValueType, GgufError> {
        let at = reader.at();
        let number = reader.u32("a value's type")?;
        let known = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number));
        known.copied().ok_or(GgufError::ValueType { at, found: number })
    }

    /// Bytes of a value, where all values of the type have the same and any bytes will do.
    const fn plain_bytes(self) -> Option<u64> {
        match self {
            ValueType::U8 | ValueType::I8 => Some(1),
            ValueType::U16 | ValueType::I16 => Some(2),
            ValueType::U32 | ValueType::I32 | ValueType::F32 => Some(4),
            ValueType::U64 | ValueType::I64 | ValueType::F64 => Some(8),
            ValueType::Bool | ValueType::Text | ValueType::Array => None,
        }
    }

    /// Bytes that a value has at least.
    const fn least_bytes(self) -> u64 {
        match self {
            ValueType::Bool => 1,
            ValueType::Text => 8,
            ValueType::Array => 12,
            ValueType::U8 | ValueType::I8 => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 => 8,
        }
    }
}

/// A metadata value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Unsigned, 8 bits.
    U8(u8),
    /// Signed, 8 bits.
    I8(i8),
    /// Unsigned, 16 bits.
    U16(u16),
    /// Signed, 16 bits.
    I16(i16),
    /// Unsigned, 32 bits.
    U32(u32),
    /// Signed, 32 bits.
    I32(i32),
    /// Unsigned, 64 bits.
    U64(u64),
    /// Signed, 64 bits.
    I64(i64),
    /// IEEE 754 single precision.
    F32(f32),
    /// IEEE 754 double precision.
    F64(f64),
    /// True or false.
    Bool(bool),
    /// Text, as the file has it: it may hold anything that UTF-8 can.
    Text(&'a str),
    /// Values of one type.
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// The number, if this is an integer of any width that is not negative.
    pub fn as_uint(&self) -> Option<u64> {
        match *self {
            Value::U64(value) => Some(value),
            _ => self.as_int().and_then(|value| u64::try_from(value).ok()),
        }
    }

    /// The number, if this is an integer of any width that fits.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Value::U8(value) => Some(value.into()),
            Value::I8(value) => Some(value.into()),
            Value::U16(value) => Some(value.into()),
            Value::I16(value) => Some(value.into()),
            Value::U32(value) => Some(value.into()),
            Value::I32(value) => Some(value.into()),
            Value::U64(value) => i64::try_from(value).ok(),
            Value::I64(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if this is a floating-point number of either width.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Value::F32(value) => Some(value.into()),
            Value::F64(value) => Some(value),
            _ => None,
        }
    }

    /// The truth, if this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&'a str> {
        match *self {
            Value::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The array, if this is one.
    pub fn as_array(&self) -> Option<Array<'a>> {
        match *self {
            Value::Array(value) => Some(value),
            _ => None,
        }
    }

    /// Reads a value with its type before it. An array's elements are left unread.
    pub(crate) fn read_typed(reader: &mut Reader<'a>) -> Result<Value<'a>, GgufError> {
        let kind = ValueType::read(reader)?;
        Value::read(reader, kind)
    }

    /// Checks a value with its type before it, all of it, and moves past it.
    pub(crate) fn walk_typed(reader: &mut Reader<'a>) -> Result<(), GgufError> {
        let kind = ValueType::read(reader)?;
        Value::walk(reader, kind, 0)
    }

    fn read(reader: &mut Reader<'a>, kind: ValueType) -> Result<Value<'a>, GgufError> {
        const PART: &str = "a value";
        Ok(match kind {
            ValueType::U8 => Value::U8(u8::from_le_bytes(reader.array(PART)?)),
            ValueType::I8 => Value::I8(i8::from_le_bytes(reader.array(PART)?)),
            ValueType::U16 => Value::U16(u16::from_le_bytes(reader.array(PART)?)),
            ValueType::I16 => Value::I16(i16::from_le_bytes(reader.array(PART)?)),
            ValueType::U32 => Value::U32(u32::from_le_bytes(reader.array(PART)?)),
            ValueType::I32 => Value::I32(i32::from_le_bytes(reader.array(PART)?)),
            ValueType::U64 => Value::U64(u64::from_le_bytes(reader.array(PART)?)),
            ValueType::I64 => Value::I64(i64::from_le_bytes(reader.array(PART)?)),
            ValueType::F32 => Value::F32(f32::from_le_bytes(reader.array(PART)?)),
            ValueType::F64 => Value::F64(f64::from_le_bytes(reader.array(PART)?)),
            ValueType::Bool => Value::Bool(read_bool(reader)?),
            ValueType::Text => Value::Text(reader.text("a text")?),
            ValueType::Array => Value::Array(Array::read(reader)?),
        })
    }

    fn walk(reader: &mut Reader<'a>, kind: ValueType, depth: u32) -> Result<(), GgufError> {
        let at = reader.at();
        let Value::Array(array) = Value::read(reader, kind)? else {
            return Ok(());
        };
        if depth == MAX_ARRAY_DEPTH {
            return Err(GgufError::ArrayDepth { at });
        }
        if let Some(size) = array.kind.plain_bytes() {
            // `Array::read` has checked that so much is there.
            reader.take(array.len * size, ARRAY)?;
            return Ok(());
        }
        for _ in 0..array.len {
            Value::walk(reader, array.kind, depth + 1)?;
        }
        Ok(())
    }
}

fn read_bool(reader: &mut Reader<'_>) -> Result<bool, GgufError> {
    let at = reader.at();
    match reader.array("a value")? {
        [0] => Ok(false),
        [1] => Ok(true),
        [found] => Err(GgufError::Bool { at, found }),
    }
}

const ARRAY: &str = "an array";

/// An array of metadata values. Its elements are read one after another: there is no way to a text
/// in the middle but past those before it.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    kind: ValueType,
    len: u64,
    elements: Reader<'a>,
}

impl<'a> Array<'a> {
    /// Reads the element type and the length, and checks that the file is long enough for them.
    fn read(reader: &mut Reader<'a>) -> Result<Array<'a>, GgufError> {
        let kind = ValueType::read(reader)?;
        let len = reader.u64(ARRAY)?;
        let (at, available) = (reader.at(), reader.left());
        match len.checked_mul(kind.least_bytes()) {
            Some(needed) if needed <= available => Ok(Array { kind, len, elements: *reader }),
            needed => {
                let needed = needed.unwrap_or(u64::MAX);
                Err(GgufError::Truncated { part: ARRAY, at, needed, available })
            }
        }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        // Not over the file's length in bytes, which is a `usize`.
        self.len as usize
    }

    /// It has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The type of every element.
    pub fn element_type(&self) -> ValueType {
        self.kind
    }

    /// The elements, in order.
    pub fn values(&self) -> Values<'a> {
        Values { kind: self.kind, left: self.len(), reader: self.elements }
    }

    /// The elements, if they are texts.
    pub fn texts(&self) -> Option<Elements<'a, &'a str>> {
        self.elements(self.kind == ValueType::Text, |value| value.as_text())
    }

    /// The elements, if they are integers of a type that fits `i64` (any but [`ValueType::U64`]).
    pub fn ints(&self) -> Option<Elements<'a, i64>> {
        use ValueType::{I8, I16, I32, I64, U8, U16, U32};
        self.elements(matches!(self.kind, U8 | I8 | U16 | I16 | U32 | I32 | I64), |value| value.as_int())
    }

    /// The elements, if they are floating-point numbers of either width.
    pub fn floats(&self) -> Option<Elements<'a, f64>> {
        self.elements(matches!(self.kind, ValueType::F32 | ValueType::F64), |value| value.as_float())
    }

    fn elements<T>(&self, fits: bool, convert: fn(Value<'a>) -> Option<T>) -> Option<Elements<'a, T>> {
        fits.then(|| Elements { values: self.values(), convert })
    }
}

impl core::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "[{:?}; {}]", self.kind, self.len)
    }
}

/// Iterates over the elements of an [`Array`] of any type.
#[derive(Clone)]
pub struct Values<'a> {
    kind: ValueType,
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut start = self.reader;
        let value = Value::read(&mut start, self.kind).ok()?;
        match value {
            Value::Array(_) => Value::walk(&mut self.reader, self.kind, 1).ok()?,
            _ => self.reader = start,
        }
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Values<'_> {}

/// Iterates over the elements of an [`Array`] of a type that was asked for.
#[derive(Clone)]
pub struct Elements<'a, T> {
    values: Values<'a>,
    convert: fn(Value<'a>) -> Option<T>,
}

impl<T> Iterator for Elements<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.values.next().and_then(self.convert)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.values.size_hint()
    }
}

impl<T> ExactSizeIterator for Elements<'_, T> {}
