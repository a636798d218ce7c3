//! A kernel that reads with one of its own policies: its sizes, and what its agent declares.

use agentos_hal::{Limits, PAGE_TOKENS};
use agentos_kernel::agent::MemoryMode;
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::admit::SPARE_PAGES;
use agentos_kernel::memory::select::Policy;
use agentos_kernel::system::Config;
use agentos_kernel::system::config::Paging;

use super::{Memory, Subject, baseline};

/// Why memory cannot be measured so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// A text is longer than what can be read in this way.
    TooLong {
        /// How.
        memory: Memory,
        /// Tokens of the text.
        tokens: u32,
        /// Tokens that the model was trained for.
        trained: u32,
    },
    /// The files have less text.
    TooShort {
        /// Tokens that are needed.
        tokens: u32,
        /// Tokens that there are.
        found: u32,
    },
    /// Fewer different texts are long enough than there are passages.
    Texts {
        /// Passages of a case.
        passages: usize,
        /// Tokens that each text needs.
        tokens: u32,
    },
    /// The model has no such layer.
    Layer {
        /// The layer.
        layer: u32,
        /// Layers of the model.
        layers: u32,
    },
    /// There are neither as many quotas as lengths, nor one.
    Quotas {
        /// Quotas.
        quotas: usize,
        /// Lengths.
        lengths: usize,
    },
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SetupError::TooLong { memory, tokens, trained } => write!(
                f,
                "a text of {tokens} tokens is read by {} only up to the {trained} that the model was trained for; \
                 --tokens {trained} would fit",
                memory.name()
            ),
            SetupError::TooShort { tokens, found } => write!(
                f,
                "the files have {found} tokens, and {tokens} are needed; longer or more files, or fewer --tokens, \
                 would do"
            ),
            SetupError::Texts { passages, tokens } => write!(
                f,
                "passages of different texts need {passages} files that differ, each of {tokens} tokens or somewhat more; \
                 longer or more files, or --from same, would do"
            ),
            SetupError::Layer { layer, layers } => {
                write!(f, "--layer {layer}: the model has {layers} layers; 0 to {} would fit", layers - 1)
            }
            SetupError::Quotas { quotas, lengths } => write!(
                f,
                "--l1 has {quotas} numbers and --tokens {lengths}; as many, or one for all, would fit"
            ),
        }
    }
}

impl std::error::Error for SetupError {}

/// How a text is read.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What may be attended to.
    pub memory: Memory,
    /// Tokens of a context, at most.
    pub tokens: u32,
    /// The quota in tokens.
    pub l1: u32,
    /// The layer whose attention tells what is relevant.
    pub layer: u32,
    /// How the kernel pages.
    pub paging: Paging,
    /// Whether what is left out is packed while it is.
    pub packed: bool,
}

impl Setup {
    /// Whether its texts can be read in its way.
    ///
    /// # Errors
    /// [`SetupError::TooLong`].
    pub fn check(&self, subject: &Subject<'_>) -> Result<(), SetupError> {
        let (tokens, trained) = (self.tokens, subject.shape.context);
        let may_be_longer = matches!(self.memory, Memory::Relevance | Memory::Recency | Memory::Window);
        if tokens > trained && !may_be_longer {
            return Err(SetupError::TooLong { memory: self.memory, tokens, trained });
        }
        Ok(())
    }

    /// The sizes of a system for it: a reader and one fork of it.
    pub fn config(&self, subject: &Subject<'_>) -> Config {
        let shape = subject.shape;
        let worst = SliceLimits::DEFAULT.worst_pages(self.tokens);
        let l1 = match self.mode() {
            MemoryMode::Exact => 2 * worst + SPARE_PAGES,
            MemoryMode::Bounded { pages, .. } => 2 * pages.min(worst) + SPARE_PAGES,
        };
        let l2 = (2 * worst + SPARE_PAGES).saturating_sub(l1) + SPARE_PAGES;
        Config {
            candidates: 64,
            masks: 1,
            mask_words: shape.mask_words() as u32,
            kv: subject.kv,
            paging: self.paging,
            packed_frames: if self.packed { l2 } else { 0 },
            ..Config::new(2, self.tokens, l1, l2).with_relevance(shape, self.layer)
        }
        .checked()
    }

    /// What a device is prepared with.
    pub fn limits(&self, subject: &Subject<'_>) -> Limits {
        match self.memory {
            Memory::H2o => baseline::h2o::limits(subject, self.tokens, self.l1),
            Memory::Quest => baseline::quest::limits(subject, self.tokens),
            _ => self.config(subject).device_limits(subject.shape),
        }
    }

    /// What a device is prepared with that tells what each row of a step foretells, in so many candidates.
    pub fn telling_limits(&self, subject: &Subject<'_>, candidates: u32) -> Limits {
        let limits = self.limits(subject);
        Limits { outcomes: limits.rows, candidates: candidates.min(subject.shape.vocab), ..limits }
    }

    /// What the reading agent declares of its memory.
    pub fn mode(&self) -> MemoryMode {
        match self.memory {
            Memory::Full => MemoryMode::Exact,
            _ => MemoryMode::Bounded { pages: self.l1.div_ceil(PAGE_TOKENS as u32), packed: self.packed },
        }
    }

    /// By what the kernel chooses slices.
    pub fn policy(&self) -> Policy {
        match self.memory {
            Memory::Recency => Policy::Recency,
            Memory::Window => Policy::Window,
            _ => Policy::Relevance,
        }
    }
}
