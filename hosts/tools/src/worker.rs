//! Functions that block, as peripherals.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use agentos_hal::{CallNumber, Output, Peripheral, PeripheralError};
use serde_json::Value;

use crate::descriptor::{Descriptor, Tool};
use crate::failure::ToolFailure;
use crate::output;
use crate::pool::{JobNumber, Pool};
use crate::schema::{self, Schema, SchemaError};
use crate::stop::Stop;

/// What a tool does, in a thread that may wait.
pub trait Function: Send + Sync + 'static {
    /// Looks whether it would be done at all. It runs where the call is made, and so never waits.
    ///
    /// # Errors
    /// [`ToolFailure`]: it would not, and why.
    fn check(&self, _arguments: &Value) -> Result<(), ToolFailure> {
        Ok(())
    }

    /// Does it. The arguments fit the tool's schema and passed [`Function::check`]. When `stop` is raised
    /// nobody waits for the result any more, and what was begun is ended.
    ///
    /// # Errors
    /// [`ToolFailure`]: why there is no result.
    fn call(&self, arguments: &Value, stop: &Stop) -> Result<Vec<u8>, ToolFailure>;
}

impl<F> Function for F
where
    F: Fn(&Value, &Stop) -> Result<Vec<u8>, ToolFailure> + Send + Sync + 'static,
{
    fn call(&self, arguments: &Value, stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
        self(arguments, stop)
    }
}

/// Makes a tool of a function.
///
/// # Errors
/// [`SchemaError`]: the schema of the arguments is none.
pub fn tool(descriptor: Descriptor, function: impl Function, pool: &Pool) -> Result<Tool, SchemaError> {
    let worker = Worker {
        schema: Schema::new(&descriptor.arguments)?,
        function: Arc::new(function),
        output_bytes: descriptor.output_bytes,
        pool: pool.clone(),
        calls: HashMap::new(),
    };
    Ok(Tool { descriptor, peripheral: Box::new(worker) })
}

type Outcome = Result<Vec<u8>, ToolFailure>;

/// A peripheral whose calls run on the threads of a [`Pool`].
struct Worker {
    schema: Schema,
    function: Arc<dyn Function>,
    output_bytes: usize,
    pool: Pool,
    calls: HashMap<CallNumber, Call>,
}

struct Call {
    stop: Stop,
    job: JobNumber,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Worker {
    fn begin(&self, arguments: &[u8]) -> Result<Result<Call, PeripheralError>, ToolFailure> {
        let arguments = schema::read(&self.schema, arguments)?;
        guarded(|| self.function.check(&arguments))?;
        let stop = Stop::new();
        let outcome: Arc<Mutex<Option<Outcome>>> = Arc::default();
        let job = {
            let (function, stop, outcome) = (Arc::clone(&self.function), stop.clone(), Arc::clone(&outcome));
            move || {
                let result = guarded(|| function.call(&arguments, &stop));
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }
        };
        let job = self.pool.submit(Box::new(job));
        Ok(job.map(|job| Call { stop, job, outcome }).map_err(|_full| PeripheralError::Busy))
    }

    fn finish(&self, outcome: Outcome, output: &mut Output<'_>) -> Result<(), PeripheralError> {
        match outcome {
            Ok(bytes) => finish(&bytes, self.output_bytes, output),
            Err(failure) => {
                failure.write(output);
                Err(PeripheralError::Failed)
            }
        }
    }
}

impl Peripheral for Worker {
    fn start(
        &mut self,
        call: CallNumber,
        arguments: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), PeripheralError> {
        if self.calls.contains_key(&call) {
            return Err(ToolFailure::Refused(format!("call {call} is under way already")).write(output));
        }
        match self.begin(arguments) {
            Ok(begun) => {
                self.calls.insert(call, begun?);
                Ok(())
            }
            Err(failure) => {
                failure.write(output);
                Err(PeripheralError::Refused)
            }
        }
    }

    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        let Some(open) = self.calls.get(&call) else {
            return Poll::Ready(Err(PeripheralError::NoCall));
        };
        let outcome = open.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(outcome) = outcome else { return Poll::Pending };
        self.calls.remove(&call);
        Poll::Ready(self.finish(outcome, output))
    }

    fn cancel(&mut self, call: CallNumber) {
        if let Some(open) = self.calls.remove(&call) {
            open.stop.raise();
            self.pool.cancel(open.job);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for (_, open) in self.calls.drain() {
            open.stop.raise();
            self.pool.cancel(open.job);
        }
    }
}

/// Writes what a tool gave, as much of it as is taken.
pub(crate) fn finish(bytes: &[u8], most: usize, output: &mut Output<'_>) -> Result<(), PeripheralError> {
    let taken = bytes.len().min(most);
    output::write(output, &bytes[..taken])?;
    if taken < bytes.len() { Err(PeripheralError::Output) } else { Ok(()) }
}

/// Runs what may panic over what somebody wrote.
fn guarded<T>(act: impl FnOnce() -> Result<T, ToolFailure>) -> Result<T, ToolFailure> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let what = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (None, Some(text)) => text.as_str(),
            (None, None) => "for a reason that it does not tell",
        };
        Err(ToolFailure::Failed(format!("the tool itself broke: {}", crate::schema::clipped(what))))
    })
}
