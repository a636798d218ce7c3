//! From a prompt to what follows it: the loop of one sequence on one device.
//!
//! The loop itself allocates nothing, but for what a grammar needs. What a caller does with each token is its
//! own affair.

use agentos_grammar::MatchError;
use agentos_hal::{Candidate, Clock, LateMasks, Row, StepReport, TensorDevice};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sample::{Choice, Next, Sampler};
use agentos_kernel::sequence::{Ask, Room, Sequence, SequenceError, Tick};
use embedded_io::ErrorKind;

use crate::constraint::Constraint;

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

/// A generated token. One that a grammar left no choice about has a probability of 1, a logit of 0, and no
/// candidate beside itself: the model was not asked.
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
    /// The model said that it is done, or nothing can be added by its grammar.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The grammar cannot go on.
    Grammar(MatchError),
    /// The answer ended before it kept to its grammar: it is worth nothing.
    Incomplete {
        /// Why it ended.
        finish: Finish,
        /// Tokens generated.
        tokens: u32,
    },
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
            GenerateError::Grammar(error) => error.fmt(f),
            GenerateError::Incomplete { finish: Finish::Context, tokens } => write!(
                f,
                "the context was full after {tokens} tokens, before the answer was whole; a larger --ctx or a shorter \
                 prompt may fit"
            ),
            GenerateError::Incomplete { tokens, .. } => write!(
                f,
                "{tokens} tokens were generated, and the answer is not whole; a larger --max-tokens may fit, or a \
                 schema that bounds its texts and lists (maxLength, maxItems)"
            ),
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

impl From<MatchError> for GenerateError {
    fn from(error: MatchError) -> GenerateError {
        GenerateError::Grammar(error)
    }
}

impl From<ErrorKind> for GenerateError {
    fn from(kind: ErrorKind) -> GenerateError {
        GenerateError::Output(kind)
    }
}

/// Computes the prompt in an empty sequence, then generates token by token and shows each to
/// `on_token` as soon as it is chosen. With a constraint the answer keeps to its grammar: it is whole, or an
/// error says that it is not.
///
/// # Errors
/// Any [`GenerateError`].
pub fn generate(
    sequence: &mut Sequence<'_>,
    pool: &mut PagePool<'_>,
    device: &mut dyn TensorDevice,
    clock: &dyn Clock,
    request: &Request<'_>,
    constraint: Option<&mut Constraint>,
    on_token: &mut dyn FnMut(&Generated<'_>) -> Result<(), ErrorKind>,
) -> Result<Generation, GenerateError> {
    let begin = clock.now();
    push_prompt(sequence, pool, request.prompt)?;
    let mut answer = Answer { sequence, pool, request, constraint, on_token, tokens: 0 };
    answer.compute(device)?;
    let first = clock.now();
    let mut last = first;
    let finish = loop {
        let choice = answer.sequence.choose(request.sampler).expect("every token is computed");
        if answer.tokens > 0 {
            last = clock.now();
        }
        if let Some(finish) = answer.say(choice)? {
            break finish;
        }
        if let Some(finish) = answer.say_forced()? {
            break finish;
        }
        answer.compute(device)?;
    };
    let tokens = answer.tokens;
    if answer.constraint.is_some_and(|constraint| !constraint.is_complete()) {
        return Err(GenerateError::Incomplete { finish, tokens });
    }
    let timeline = Timeline { begin, first, last };
    Ok(Generation { finish, tokens, timeline })
}

/// An answer under way.
struct Answer<'a, 's, 'p> {
    sequence: &'a mut Sequence<'s>,
    pool: &'a mut PagePool<'p>,
    request: &'a Request<'a>,
    constraint: Option<&'a mut Constraint>,
    on_token: &'a mut dyn FnMut(&Generated<'_>) -> Result<(), ErrorKind>,
    tokens: u32,
}

impl Answer<'_, '_, '_> {
    /// Says a token that was chosen from what the last step found, and appends it to the context.
    fn say(&mut self, choice: Choice) -> Result<Option<Finish>, GenerateError> {
        let is_end = (self.request.is_end)(choice.token);
        let next = self.sequence.next().expect("every token is computed");
        self.tokens += 1;
        (self.on_token)(&Generated { choice, next, is_end })?;
        self.append(choice.token, is_end)
    }

    /// Says the tokens that the grammar leaves no choice about. They are computed together.
    fn say_forced(&mut self) -> Result<Option<Finish>, GenerateError> {
        let forced = self.constraint.as_deref_mut().map(Constraint::forced).unwrap_or_default();
        for token in forced {
            let candidates = &[Candidate { token, logit: 0.0 }];
            let next = Next { candidates, log_sum_exp: 0.0, entropy: 0.0 };
            self.tokens += 1;
            let choice = Choice { token, logit: 0.0, logprob: 0.0 };
            (self.on_token)(&Generated { choice, next, is_end: false })?;
            if let Some(finish) = self.append(token, false)? {
                return Ok(Some(finish));
            }
        }
        Ok(None)
    }

    fn append(&mut self, token: u32, is_end: bool) -> Result<Option<Finish>, GenerateError> {
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        let is_finished = self.constraint.as_ref().is_some_and(|constraint| constraint.is_finished());
        if is_end || is_finished {
            return Ok(Some(Finish::Stop));
        }
        if self.tokens >= self.request.max_tokens {
            return Ok(Some(Finish::Length));
        }
        match self.sequence.push(&[token], self.pool) {
            Ok(()) => Ok(None),
            Err(SequenceError::Full { .. }) => Ok(Some(Finish::Context)),
            Err(error) => Err(error.into()),
        }
    }

    /// Ticks until every token is computed, and what may follow is known as far as the grammar allows it. Where the
    /// device computes by itself, that is found out meanwhile.
    fn compute(&mut self, device: &mut dyn TensorDevice) -> Result<(), GenerateError> {
        let Some(constraint) = &mut self.constraint else { return Ok(compute(self.sequence, device)?) };
        if device.caps().late_masks != LateMasks::Beside {
            constraint.find()?;
            let ask = Ask { mask: Some(constraint.found()), ..Ask::default() };
            return Ok(compute_with(self.sequence, device, &ask, &mut |_, _| ())?);
        }
        let ask = Ask { mask: Some(&[]), ..Ask::default() };
        loop {
            match self.sequence.tick_with(device, &ask, &mut |_, _| ())? {
                Tick::Ready { .. } | Tick::Idle => return Ok(()),
                Tick::Submitted { .. } if self.sequence.lacks_mask() => {
                    let found = constraint.find();
                    // Without any mask the device would never come to rest, whatever was found.
                    self.sequence.allow(device, constraint.found())?;
                    found?;
                }
                Tick::Pending => std::thread::yield_now(),
                Tick::Submitted { .. } | Tick::Looked { .. } | Tick::Prefilled { .. } => {}
            }
        }
    }
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
    compute_with(sequence, device, &Ask::default(), &mut |_, _| ())
}

/// [`compute`], which asks for more and shows what each step found.
///
/// # Errors
/// As [`Sequence::tick_with`].
pub fn compute_with(
    sequence: &mut Sequence<'_>,
    device: &mut dyn TensorDevice,
    ask: &Ask<'_>,
    observe: &mut dyn FnMut(&[Row], &StepReport<'_>),
) -> Result<(), SequenceError> {
    loop {
        match sequence.tick_with(device, ask, observe)? {
            Tick::Ready { .. } | Tick::Looked { .. } | Tick::Idle => return Ok(()),
            Tick::Pending => std::thread::yield_now(),
            Tick::Submitted { .. } | Tick::Prefilled { .. } => {}
        }
    }
}
