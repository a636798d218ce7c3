//! What a tool gave becomes what its agent reads, beside the run: from the end of the tool on, while others
//! compute.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use agentos_kernel::tool::CallOutcome;
use agentos_perception::reduce::{Cut, Piece};
use agentos_perception::{self as perception, ControlStrings, Measures, Misfit, Note};
use agentos_tools::{Descriptor, Effect};

use super::caller::Place;
use super::densest::{Candidates, tokens_read};
use super::recording::Played;
use super::use_::Choose;
use super::words;
use crate::text::{CallFormat, Special, Tokenizer};

/// What all results are aligned with.
pub struct Aligner {
    /// The model's tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// The model's control strings.
    pub controls: ControlStrings,
    /// When results are taken: one time for a whole run.
    pub taken: String,
}

/// A tool as its results are aligned.
pub struct Known {
    /// What is known of it.
    pub descriptor: Descriptor,
    /// The declared form of its output.
    output: Option<perception::Schema>,
}

impl Known {
    /// Reads the form of the output once. One that is none holds nothing.
    pub fn new(descriptor: Descriptor) -> Known {
        let output = descriptor.output.as_ref().and_then(|schema| perception::Schema::new(schema).ok());
        Known { descriptor, output }
    }

    /// Whether who has called it may be asked to call it once more, where its output is not of its form.
    pub fn is_repairable(&self) -> bool {
        self.output.is_some() && self.descriptor.effect != Effect::Irreversible
    }
}

/// What the result of one call is aligned for.
#[derive(Clone)]
pub struct Terms {
    /// What all results are aligned with.
    pub aligner: Arc<Aligner>,
    /// The tool that was called.
    pub tool: Arc<Known>,
    /// Where the call takes its result from.
    pub source: String,
    /// What the agent was asked.
    pub about: String,
    /// What it is told again of that.
    pub reminder: String,
    /// Who calls.
    pub caller: Choose,
    /// Tokens that the result may take.
    pub room: u32,
    /// Tokens that the running model may read at once, to find what of a long text stays; 0 where its words decide.
    pub reads: u32,
    /// The agent may be asked to call once more when the output breaks its form.
    pub repairable: bool,
    /// Calls that its agent had made before.
    pub nth: u32,
    /// Which of the results of its turn it is.
    pub place: Place,
    /// The tool that is called behind it, if it is a result to go on with.
    pub then: Option<Arc<Known>>,
    /// How the model's own template writes calls and results, where this agent calls so.
    pub format: Option<Arc<CallFormat>>,
}

/// What decides what of a long text stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// Its words.
    Words,
    /// The density of the running model's attention.
    Model,
}

impl Reduce {
    /// The name in machine-readable output and in team files.
    pub const fn name(self) -> &'static str {
        match self {
            Reduce::Words => "words",
            Reduce::Model => "model",
        }
    }

    /// That of a name.
    pub fn named(name: &str) -> Option<Reduce> {
        [Reduce::Words, Reduce::Model].into_iter().find(|reduce| reduce.name() == name)
    }
}

/// A result of which the running model can say more than its words do.
#[derive(Debug, PartialEq)]
pub struct Unread {
    /// What it is to read.
    pub candidates: Candidates,
    /// The output.
    pub output: Arc<Vec<u8>>,
}

/// A result as its agent reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Aligned {
    /// The result itself.
    pub text: String,
    /// The output was of the form that its tool declares.
    pub fits: bool,
    /// The agent is asked to call once more.
    pub again: bool,
    /// The agent is asked for the next call of its chain.
    pub onward: bool,
    /// There was no room for it: the text says so.
    pub lost: bool,
    /// What has decided what of a long text is there.
    pub reduced: Option<Reduce>,
    /// What the running model is to read first.
    pub unread: Option<Arc<Unread>>,
    /// All that the agent is told.
    pub next: String,
    /// The tokens of that, as text; in the model's own format with all that stands around it.
    pub tokens: Vec<u32>,
}

impl Aligned {
    /// Of what gave nothing, not even a reason.
    fn nothing() -> Aligned {
        let (text, next) = (String::new(), String::new());
        let (reduced, unread, tokens) = (None, None, Vec::new());
        Aligned { text, fits: true, again: false, onward: false, lost: false, reduced, unread, next, tokens }
    }
}

/// What an agent is told with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    /// A result to go on with.
    Result,
    /// That its output was not of the form that the tool declares.
    Misfit,
    /// Why there is none.
    Nothing,
}

impl Tells {
    fn of(outcome: CallOutcome, fits: bool) -> Tells {
        match (outcome, fits) {
            (_, false) => Tells::Misfit,
            (CallOutcome::Done, true) => Tells::Result,
            (_, true) => Tells::Nothing,
        }
    }
}

impl Terms {
    /// Makes of an output what the agent reads, as far as its words tell what stays of it.
    pub fn align(&self, outcome: CallOutcome, output: &Arc<Vec<u8>>) -> Aligned {
        let mut candidates = None;
        let mut note = |pieces: &[Piece<'_>]| {
            candidates = self.candidates(pieces);
            Vec::new()
        };
        let reads = self.reads > 0 && outcome == CallOutcome::Done;
        let aligned = match self.text(outcome, output, reads.then_some(&mut note)) {
            Ok((text, cut)) => {
                let reduced = cut.then_some(Reduce::Words);
                Aligned { reduced, ..self.told(text, Tells::of(outcome, true)) }
            }
            Err(Misfit::Schema(mismatch)) => {
                let reason = Misfit::Schema(mismatch).to_string();
                match self.within(reason.as_bytes(), true, None, None) {
                    Ok((text, _)) => self.told(text, Tells::Misfit),
                    Err(_) => self.lost(self.room),
                }
            }
            Err(Misfit::Budget { .. }) => self.lost(self.room),
        };
        let candidates = candidates.filter(|_| aligned.reduced.is_some());
        let unread = candidates.map(|candidates| Unread { candidates, output: output.clone() });
        Aligned { unread: unread.map(Arc::new), ..aligned }
    }

    /// What the running model is to read of a text.
    fn candidates(&self, pieces: &[Piece<'_>]) -> Option<Candidates> {
        let tokenizer = &self.aligner.tokenizer;
        let most = tokens_read(self.room).min(self.reads);
        let encode = |text: &str| tokenizer.encode(text, Special::AsText).ok();
        Candidates::of(pieces, &self.about, (tokenizer.leading_bos(), most), encode)
    }

    /// Makes of an output that the running model has read what the agent reads: of its pieces those stay that the
    /// numbers say. `None` where that cannot be.
    fn align_read(&self, output: &[u8], scores: &[f32]) -> Option<Aligned> {
        let mut judge = |_: &[Piece<'_>]| scores.to_vec();
        let (text, cut) = self.text(CallOutcome::Done, output, Some(&mut judge)).ok()?;
        let reduced = cut.then_some(Reduce::Model);
        Some(Aligned { reduced, ..self.told(text, Tells::Result) })
    }

    /// What the agent is told where a result does not fit: there are so many tokens for it.
    pub fn lost(&self, tokens: u32) -> Aligned {
        Aligned { lost: true, ..self.told(words::no_room(tokens), Tells::Nothing) }
    }

    /// All that the agent is told with a text.
    fn told(&self, text: String, tells: Tells) -> Aligned {
        let tool = &self.tool.descriptor;
        let again = tells == Tells::Misfit && self.repairable;
        // What came to nothing is nothing to go on with.
        let then = self.then.as_ref().filter(|_| tells == Tells::Result);
        let own = self.format.as_ref();
        let next = match (again, then) {
            (true, _) if own.is_some() => words::repair_as_before(tool, &text, &self.reminder),
            (true, _) => words::repair(tool, &text, &self.reminder, self.caller),
            (false, Some(then)) => words::result_and_next(&text, &then.descriptor, &self.reminder),
            (false, None) if own.is_some() => text.clone(),
            (false, None) => words::result_among(&text, &self.reminder, self.place),
        };
        let tokenizer = &self.aligner.tokenizer;
        let tokens = own.and_then(|format| format.result(tokenizer, self.nth, &next).ok());
        let tokens = tokens.unwrap_or_else(|| tokenizer.encode(&next, Special::AsText).unwrap_or_default());
        let (fits, onward) = (tells != Tells::Misfit, then.is_some());
        Aligned { text, fits, again, onward, lost: false, reduced: None, unread: None, next, tokens }
    }

    /// The text of an output, and whether it is one of which parts were left out.
    fn text(
        &self,
        outcome: CallOutcome,
        output: &[u8],
        score: Option<&mut perception::reduce::Score<'_>>,
    ) -> Result<(String, bool), Misfit> {
        let failed = outcome != CallOutcome::Done;
        let reason = words::reason(outcome, &self.tool.descriptor);
        let output = if output.is_empty() && failed { reason.as_bytes() } else { output };
        self.within(output, failed, self.tool.output.as_ref().filter(|_| !failed), score)
    }

    /// The text of what a tool gave, or of why it gave nothing, within the room that there is.
    fn within(
        &self,
        output: &[u8],
        failed: bool,
        schema: Option<&perception::Schema>,
        score: Option<&mut perception::reduce::Score<'_>>,
    ) -> Result<(String, bool), Misfit> {
        let Aligner { tokenizer, controls, taken } = &*self.aligner;
        let tool = &self.tool.descriptor;
        let room = self.room as usize;
        let request = perception::Request {
            tool: &tool.name,
            source: &self.source,
            failed,
            taken,
            about: &self.about,
            charset: None,
            schema,
            controls,
            limit_bytes: tool.output_bytes,
            budget_tokens: room,
        };
        let count = |text: &str| match &self.format {
            Some(format) => most_tokens(&format.written(text), room, tokenizer),
            None => most_tokens(text, room, tokenizer),
        };
        let score = score.map(|score| score as &mut perception::reduce::Score<'_>);
        let aligned = perception::align(output, &request, Measures { count: &count, score })?;
        let cut = aligned.notes.iter().any(|note| matches!(note, Note::Cut(Cut::Text { .. })));
        Ok((aligned.text, cut))
    }
}

/// The tokens of a text, or more where that fits the room as well: every token has a byte, and the tokenizer
/// may put one before them.
fn most_tokens(text: &str, room: usize, tokenizer: &Tokenizer) -> usize {
    match text.len() + 1 {
        most if most <= room => most,
        _ => tokenizer.encode(text, Special::AsText).map_or(usize::MAX, |tokens| tokens.len()),
    }
}

/// A result on its way. Who needs it makes it, also while another thread is at it: it comes out the same, and whoever
/// is first has made it. So nobody waits for a thread that waits for a processor. Copies are the same.
#[derive(Clone)]
pub struct Coming {
    /// What came of the call.
    pub outcome: CallOutcome,
    /// It is made in less time than a step of its agent's takes: who needs it does not look for others to make it.
    pub is_short: bool,
    work: Arc<Work>,
}

struct Work {
    make: Box<dyn Fn() -> Aligned + Send + Sync>,
    made: OnceLock<Aligned>,
}

/// Bytes of an output that is short.
const SHORT_BYTES: usize = 2048;

impl Coming {
    /// What is to be made of an output.
    pub fn of(terms: Terms, outcome: CallOutcome, output: Arc<Vec<u8>>) -> Coming {
        let is_short = output.len() <= SHORT_BYTES;
        Coming::by(outcome, is_short, move || terms.align(outcome, &output))
    }

    /// What is to be made of an output that the running model has read: of its pieces those stay that the numbers say.
    /// Where they cannot, what `else_` says.
    pub fn read(terms: Terms, unread: Arc<Unread>, scores: Vec<f32>, else_: Aligned) -> Coming {
        Coming::by(CallOutcome::Done, false, move || {
            terms.align_read(&unread.output, &scores).unwrap_or_else(|| else_.clone())
        })
    }

    /// A result as it was read in another run.
    pub fn played(terms: Terms, played: Played) -> Coming {
        let (tells, reduced) = (Tells::of(played.outcome, played.fits), played.reduced);
        Coming::by(played.outcome, true, move || Aligned {
            reduced,
            ..terms.told(played.text.clone(), tells)
        })
    }

    fn by(
        outcome: CallOutcome,
        is_short: bool,
        make: impl Fn() -> Aligned + Send + Sync + 'static,
    ) -> Coming {
        Coming { outcome, is_short, work: Arc::new(Work { make: Box::new(make), made: OnceLock::new() }) }
    }

    /// Makes it, unless it is made.
    pub fn make(&self) {
        let Work { make, made } = &*self.work;
        if made.get().is_none() {
            // Of a maker that breaks, the agent reads that nothing came, as of a tool that gave nothing.
            let aligned = catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Aligned::nothing());
            // Somebody else may have been first, with the same.
            let _ = made.set(aligned);
        }
    }

    /// The result, when it is there. A short one is.
    pub fn poll(&self) -> Poll<Aligned> {
        if self.is_short {
            self.make();
        }
        self.work.made.get().map_or(Poll::Pending, |aligned| Poll::Ready(aligned.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::*;

    /// A result that a thread is at, which goes on only when the sender says so or is gone.
    fn held(is_short: bool) -> (Coming, JoinHandle<()>, Sender<()>) {
        let (begun, begins) = channel();
        let (end, ends) = channel::<()>();
        let first = Mutex::new(Some((begun, ends)));
        let coming = Coming::by(CallOutcome::Done, is_short, move || {
            let held = first.lock().unwrap().take();
            if let Some((begun, ends)) = held {
                begun.send(()).unwrap();
                let _ = ends.recv();
            }
            Aligned { text: "21 degrees".to_owned(), ..Aligned::nothing() }
        });
        let maker = std::thread::spawn({
            let coming = coming.clone();
            move || coming.make()
        });
        begins.recv().unwrap();
        (coming, maker, end)
    }

    #[test]
    fn who_needs_a_short_result_does_not_wait_for_a_thread_that_is_at_it() {
        let (coming, maker, end) = held(true);
        let (tell, told) = channel();
        std::thread::spawn({
            let coming = coming.clone();
            move || tell.send(coming.poll()).unwrap()
        });
        let polled = told.recv_timeout(Duration::from_secs(20));
        end.send(()).unwrap();
        maker.join().unwrap();
        assert!(matches!(polled, Ok(Poll::Ready(aligned)) if aligned.text == "21 degrees"));
        assert!(coming.poll().is_ready());
    }

    #[test]
    fn who_needs_a_long_one_leaves_it_to_who_is_at_it() {
        let (coming, maker, end) = held(false);
        assert!(coming.poll().is_pending());
        end.send(()).unwrap();
        maker.join().unwrap();
        assert!(coming.poll().is_ready());
    }

    #[test]
    fn of_a_maker_that_breaks_nothing_came() {
        let coming = Coming::by(CallOutcome::Done, true, || panic!("on purpose"));
        assert_eq!(coming.poll(), Poll::Ready(Aligned::nothing()));
    }
}
