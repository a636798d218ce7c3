//! Tools that the host itself answers, in its own loop: what only it can do, such as asking the person who sits
//! before it, or seeing to the memory of the agent that calls.
//!
//! The tool holds its arguments to their schema and puts the call into [`Requests`]; the host takes it from
//! there and answers it when it can. Whose call it is, the host knows by its number.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use agentos_hal::{CallNumber, Output, Peripheral, PeripheralError};
use serde_json::Value;

use crate::descriptor::{Descriptor, Tool};
use crate::failure::ToolFailure;
use crate::schema::{self, Schema, SchemaError};
use crate::worker::finish;

/// What came of a call.
pub type Outcome = Result<Vec<u8>, ToolFailure>;

/// Calls that wait for their host, and its answers. Copies are the same.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Served>,
    /// Calls that were begun, with the answers that there are.
    open: HashMap<CallNumber, Option<Outcome>>,
}

/// A call that waits for its host.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Its number.
    pub call: CallNumber,
    /// Its arguments, which fit the tool's schema.
    pub arguments: Value,
}

impl Requests {
    /// The call that waits longest. It waits no more.
    pub fn next(&self) -> Option<Served> {
        self.lock().waiting.pop_front()
    }

    /// Answers a call; one that nobody waits for any more is not answered.
    pub fn answer(&self, call: CallNumber, outcome: Outcome) {
        if let Some(open) = self.lock().open.get_mut(&call) {
            *open = Some(outcome);
        }
    }

    fn begin(&self, call: CallNumber, arguments: Value) -> Result<(), ToolFailure> {
        let mut state = self.lock();
        if state.open.contains_key(&call) {
            return Err(ToolFailure::Refused(format!("call {call} is under way already")));
        }
        state.open.insert(call, None);
        state.waiting.push_back(Served { call, arguments });
        Ok(())
    }

    fn take(&self, call: CallNumber) -> Poll<Option<Outcome>> {
        let mut state = self.lock();
        match state.open.get_mut(&call) {
            None => Poll::Ready(None),
            Some(outcome) => match outcome.take() {
                None => Poll::Pending,
                outcome => {
                    state.open.remove(&call);
                    Poll::Ready(outcome)
                }
            },
        }
    }

    fn forget(&self, call: CallNumber) {
        let mut state = self.lock();
        state.open.remove(&call);
        state.waiting.retain(|served| served.call != call);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a tool whose calls go to `requests`.
///
/// # Errors
/// [`SchemaError`]: the schema of the arguments is none.
pub fn served(descriptor: Descriptor, requests: &Requests) -> Result<Tool, SchemaError> {
    let counter = Counter {
        schema: Schema::new(&descriptor.arguments)?,
        output_bytes: descriptor.output_bytes,
        requests: requests.clone(),
    };
    Ok(Tool { descriptor, peripheral: Box::new(counter) })
}

/// Where calls are handed in and their answers are handed out.
struct Counter {
    schema: Schema,
    output_bytes: usize,
    requests: Requests,
}

impl Peripheral for Counter {
    fn start(
        &mut self,
        call: CallNumber,
        arguments: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), PeripheralError> {
        let begun =
            schema::read(&self.schema, arguments).and_then(|arguments| self.requests.begin(call, arguments));
        begun.map_err(|failure| {
            failure.write(output);
            PeripheralError::Refused
        })
    }

    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        self.requests.take(call).map(|outcome| match outcome {
            None => Err(PeripheralError::NoCall),
            // The host would not, where a function would have failed.
            Some(Err(failure)) => Err(failure.write(output)),
            Some(Ok(bytes)) => finish(&bytes, self.output_bytes, output),
        })
    }

    fn cancel(&mut self, call: CallNumber) {
        self.requests.forget(call);
    }
}
