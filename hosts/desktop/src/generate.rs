//! From a prompt to what follows it: the loop of one sequence on one device.
//!
//! The loop itself allocates nothing. What a caller does with each token is its own affair.

use agentos_hal::{Clock, TensorDevice};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sample::{Choice, Next, Sampler};
use agentos_kernel::sequence::{Room, Sequence, SequenceError, Tick};
use embedded_io::ErrorKind;

/// What is to be generated.
pub struct Request<'a> {
    /// The tokens to go on from; at least one.
    pub prompt: &'a [u32],
    /// How tokens are chosen.
    pub sampler: &'a Sampler,
    /// Tokens to generate at most; at least 1.
    pub max_tokens: u32,
    /// Whether a token ends the generation.
    pub is_end: &'a dyn Fn(u32) -> bool,
}

/// A generated token.
pub struct Generated<'a> {
    /// The token, with what the model thought of it.
    pub choice: Choice,
    /// What it was chosen from.
    pub next: Next<'a>,
    /// It ends the generation, and is no part of the text.
    pub is_end: bool,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said that it is done.
    Stop,
    /// There are as many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
}

impl Finish {
    /// The name in machine-readable output.
    pub const fn name(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Context => "context",
        }
    }
}

/// When things happened, by the caller's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The prompt was handed over.
    pub begin: agentos_hal::Instant,
    /// The first token was chosen.
    pub first: agentos_hal::Instant,
    /// The last token was chosen.
    pub last: agentos_hal::Instant,
}

/// A generation that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Why it ended.
    pub finish: Finish,
    /// Tokens generated, with the one that ended it.
    pub tokens: u32,
    /// When.
    pub timeline: Timeline,
}

/// Why there is no generation, or only the beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerateError {
    /// There is nothing to go on from.
    EmptyPrompt,
    /// The prompt does not fit the context.
    PromptTooLong {
        /// Its tokens.
        tokens: usize,
        /// Tokens of the context.
        context: u32,
    },
    /// The kernel or the device cannot go on.
    Sequence(SequenceError),
    /// Nobody takes what is generated.
    Output(ErrorKind),
}

impl std::fmt::Display for GenerateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GenerateError::EmptyPrompt => f.write_str("the prompt is empty; at least one token is needed"),
            GenerateError::PromptTooLong { tokens, context } => write!(
                f,
                "the prompt has {tokens} tokens and the context holds {context}; a shorter prompt or a \
                 larger --ctx (as far as the model was trained for it) would fit"
            ),
            GenerateError::Sequence(error) => error.fmt(f),
            GenerateError::Output(kind) => write!(f, "cannot write the output: {kind:?}"),
        }
    }
}

impl std::error::Error for GenerateError {}

impl From<SequenceError> for GenerateError {
    fn from(error: SequenceError) -> GenerateError {
        GenerateError::Sequence(error)
    }
}

impl From<ErrorKind> for GenerateError {
    fn from(kind: ErrorKind) -> GenerateError {
        GenerateError::Output(kind)
    }
}

/// Computes the prompt in an empty sequence, then generates token by token and shows each to
/// `on_token` as soon as it is chosen.
///
/// # Errors
/// Any [`GenerateError`].
pub fn generate(
    sequence: &mut Sequence<'_>,
    pool: &mut PagePool<'_>,
    device: &mut dyn TensorDevice,
    clock: &dyn Clock,
    request: &Request<'_>,
    on_token: &mut dyn FnMut(&Generated<'_>) -> Result<(), ErrorKind>,
) -> Result<Generation, GenerateError> {
    let begin = clock.now();
    push_prompt(sequence, pool, request.prompt)?;
    compute(sequence, device)?;
    let first = clock.now();
    let (mut tokens, mut last) = (0, first);
    let finish = loop {
        let choice = sequence.choose(request.sampler).expect("every token is computed");
        if tokens > 0 {
            last = clock.now();
        }
        tokens += 1;
        let is_end = (request.is_end)(choice.token);
        let next = sequence.next().expect("every token is computed");
        on_token(&Generated { choice, next, is_end })?;
        if is_end {
            break Finish::Stop;
        }
        if tokens >= request.max_tokens {
            break Finish::Length;
        }
        match sequence.push(&[choice.token], pool) {
            Ok(()) => compute(sequence, device)?,
            Err(SequenceError::Full { .. }) => break Finish::Context,
            Err(error) => return Err(error.into()),
        }
    };
    let timeline = Timeline { begin, first, last };
    Ok(Generation { finish, tokens, timeline })
}

fn push_prompt(
    sequence: &mut Sequence<'_>,
    pool: &mut PagePool<'_>,
    prompt: &[u32],
) -> Result<(), GenerateError> {
    if prompt.is_empty() {
        return Err(GenerateError::EmptyPrompt);
    }
    let context = sequence.room();
    sequence.push(prompt, pool).map_err(|error| match error {
        SequenceError::Full { room: Room::Context, pushed, .. } => {
            GenerateError::PromptTooLong { tokens: pushed, context }
        }
        error => GenerateError::Sequence(error),
    })
}

/// Ticks until every token is computed.
///
/// # Errors
/// As [`Sequence::tick`].
pub fn compute(sequence: &mut Sequence<'_>, device: &mut dyn TensorDevice) -> Result<(), SequenceError> {
    loop {
        match sequence.tick(device)? {
            Tick::Ready { .. } | Tick::Idle => return Ok(()),
            Tick::Pending => std::thread::yield_now(),
            Tick::Submitted { .. } | Tick::Prefilled { .. } => {}
        }
    }
}
