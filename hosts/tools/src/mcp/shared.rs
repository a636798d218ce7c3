//! The calls of one server, between those who make them and the thread that talks to it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use agentos_hal::{CallNumber, PeripheralError};

/// What a call came to: its output, or why there is none.
pub(super) type Outcome = Result<Vec<u8>, Failure>;

/// Why a call came to nothing: for the kernel, and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: PeripheralError,
    pub(super) why: String,
}

impl Failure {
    pub(super) fn new(error: PeripheralError, why: impl Into<String>) -> Failure {
        Failure { error, why: why.into() }
    }
}

/// Calls by number, and whether more are taken.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Told whenever a call is over.
    bell: Box<dyn Fn() + Send + Sync>,
    /// Calls that may be under way at once.
    limit: usize,
}

struct State {
    status: Status,
    /// None while a call is under way.
    calls: HashMap<CallNumber, Option<Outcome>>,
}

enum Status {
    Up,
    /// It ended, and is being started again.
    Starting,
    /// It will not be back.
    Gone(String),
}

impl Shared {
    pub(super) fn new(limit: usize, bell: impl Fn() + Send + Sync + 'static) -> Shared {
        let state = State { status: Status::Starting, calls: HashMap::new() };
        Shared { state: Mutex::new(state), bell: Box::new(bell), limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call on.
    pub(super) fn begin(&self, call: CallNumber) -> Result<(), Failure> {
        let mut state = self.lock();
        match &state.status {
            Status::Gone(why) => return Err(Failure::new(PeripheralError::Gone, why.clone())),
            Status::Starting => {
                return Err(Failure::new(PeripheralError::Busy, "the server is being started again"));
            }
            Status::Up => (),
        }
        if state.calls.contains_key(&call) {
            return Err(Failure::new(PeripheralError::Refused, format!("call {call} is under way already")));
        }
        if state.calls.len() >= self.limit {
            return Err(Failure::new(
                PeripheralError::Busy,
                format!("the server has {} calls under way, which is the most", self.limit),
            ));
        }
        state.calls.insert(call, None);
        Ok(())
    }

    /// What a call came to, which is then forgotten.
    pub(super) fn take(&self, call: CallNumber) -> Poll<Outcome> {
        let mut state = self.lock();
        match state.calls.get(&call) {
            Some(None) => Poll::Pending,
            Some(Some(_)) => Poll::Ready(state.calls.remove(&call).flatten().unwrap_or_else(no_call)),
            None => Poll::Ready(no_call()),
        }
    }

    /// Gives a call up; tells whether it was under way.
    pub(super) fn forget(&self, call: CallNumber) -> bool {
        self.lock().calls.remove(&call) == Some(None)
    }

    /// A call is over. One that was given up is not there any more, and none begins again.
    pub(super) fn settle(&self, call: CallNumber, outcome: Outcome) {
        if let Some(slot @ None) = self.lock().calls.get_mut(&call) {
            *slot = Some(outcome);
        }
        (self.bell)();
    }

    /// All calls under way are over, for one reason.
    pub(super) fn settle_all(&self, failure: &Failure) {
        for slot in self.lock().calls.values_mut() {
            slot.get_or_insert_with(|| Err(failure.clone()));
        }
        (self.bell)();
    }

    /// The server takes calls.
    pub(super) fn up(&self) {
        self.lock().status = Status::Up;
    }

    /// The server ended and is started again.
    pub(super) fn down(&self, why: &str) {
        self.lock().status = Status::Starting;
        self.settle_all(&Failure::new(PeripheralError::Gone, why));
    }

    /// The server will not be back.
    pub(super) fn gone(&self, why: &str) {
        self.lock().status = Status::Gone(why.to_owned());
        self.settle_all(&Failure::new(PeripheralError::Gone, why));
    }
}

fn no_call() -> Outcome {
    Err(Failure::new(PeripheralError::NoCall, ""))
}
