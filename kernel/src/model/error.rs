//! Why a model is refused.

use agentos_hal::{ShapeError, WeightId};

use super::FAMILIES;

/// A name from a model file, cut to what fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name(heapless::String<32>);

impl Name {
    /// Keeps the first characters of a text, at most 32 bytes of them.
    pub fn new(text: &str) -> Name {
        let mut name = heapless::String::new();
        for character in text.chars() {
            if name.push(character).is_err() {
                break;
            }
        }
        Name(name)
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Debug formatting: the text is a stranger's and may hold control characters.
        write!(f, "{:?}", self.0.as_str())
    }
}

/// Why [`super::select`] refuses a model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelError {
    /// The metadata names no architecture.
    NoArchitecture,
    /// No program computes this architecture.
    Architecture(Name),
    /// A key is absent, or its value is no number.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A number is too large to be meant.
    TooLarge {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
    },
    /// A key asks for something that no program computes.
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What would be accepted.
        supported: &'static str,
    },
    /// Keys and values have heads of different widths.
    HeadWidths {
        /// Width of a key head.
        key: u32,
        /// Width of a value head.
        value: u32,
    },
    /// The width of a head is not given, and the heads do not share the model's width evenly.
    HeadWidth {
        /// The model's width.
        width: u32,
        /// Its heads.
        heads: u32,
    },
    /// No program computes this scaling of the rotary embedding.
    RopeScaling(Name),
    /// The model lacks a tensor from which a size is read.
    MissingTensor(WeightId),
    /// The model has a tensor that its architecture's program does not use.
    UnusedTensor(WeightId),
    /// The sizes do not belong together.
    Shape(ShapeError),
}

impl core::fmt::Display for ModelError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ModelError::NoArchitecture => f.write_str("the model does not say what architecture it has"),
            ModelError::Architecture(name) => {
                write!(f, "the architecture {name} is not supported; supported are")?;
                FAMILIES.iter().enumerate().try_for_each(|(index, family)| {
                    write!(f, "{}{}", if index == 0 { " " } else { ", " }, family.name)
                })
            }
            ModelError::Missing { key } => write!(f, "the model's {key} is missing or not a number"),
            ModelError::TooLarge { key, value } => {
                write!(f, "the model's {key} is {value}; at most {} is supported", u32::MAX)
            }
            ModelError::Unsupported { key, value, supported } => {
                write!(f, "the model's {key} is {value}; supported is {supported}")
            }
            ModelError::HeadWidths { key, value } => write!(
                f,
                "the model's attention.key_length is {key} and its attention.value_length {value}; equal ones are supported"
            ),
            ModelError::HeadWidth { width, heads } => write!(
                f,
                "the model gives no attention.key_length, and its width {width} is no multiple of its {heads} heads"
            ),
            ModelError::RopeScaling(name) => {
                write!(f, "the rope.scaling.type {name} is not supported; supported are none, linear, llama3")
            }
            ModelError::MissingTensor(id) => write!(f, "the model has no tensor for {id}"),
            ModelError::UnusedTensor(id) => write!(
                f,
                "the model has a tensor for {id}, which its architecture does not use: what it would say without it is not known"
            ),
            ModelError::Shape(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ModelError {}
