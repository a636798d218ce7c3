//! A call that a person makes.

use std::task::Poll;
use std::time::{Duration, Instant};

use agentos_hal::{CallNumber, PeripheralError};
use agentos_tools::{Access, Collected, Registry, ToolFailure, ToolNumber};

use crate::cli::error::CliError;
use crate::team::tools::{Errands, Reception, person};

/// How long nothing happens between two looks at a call.
const PAUSE: Duration = Duration::from_millis(1);

/// Calls a tool, and waits for what it gives.
///
/// # Errors
/// [`CliError::Tools`]: what the tool says of why it did not.
pub(super) fn call(
    registry: &mut Registry,
    number: ToolNumber,
    arguments: &str,
    errands: &Errands,
) -> Result<String, CliError> {
    let tool = registry.descriptor(number).expect("it was just found").clone();
    let mut output = Collected::new(tool.output_bytes);
    let call = CallNumber(1);
    let result = match registry.start(call, number, arguments.as_bytes(), &mut output) {
        Err(error) => Err(error),
        Ok(()) => {
            let began = Instant::now();
            let is_late = || began.elapsed() > tool.timeout;
            wait(registry, call, (&mut output, errands), tool.access, is_late)
        }
    };
    let text = output.text();
    match result {
        Ok(()) => Ok(text),
        Err(PeripheralError::Gone) if text.is_empty() => {
            let seconds = tool.timeout.as_secs_f32();
            Err(CliError::Tools(format!("{} gave nothing within {seconds} s", tool.name)))
        }
        Err(error) if text.is_empty() => Err(CliError::Tools(error.to_string())),
        Err(_) => Err(CliError::Tools(text)),
    }
}

fn wait(
    registry: &mut Registry,
    call: CallNumber,
    (output, errands): (&mut Collected, &Errands),
    access: Access,
    is_late: impl Fn() -> bool,
) -> Result<(), PeripheralError> {
    let (mut reception, who) = (None, |_: u64| "agentos".to_owned());
    loop {
        if access == Access::Person {
            reception.get_or_insert_with(|| Reception::new(person(), None)).serve(&errands.person, who);
        }
        if let Some(served) = errands.memory.next() {
            let nobody = "a memory is an agent's own: agents of a team may call this".to_owned();
            errands.memory.answer(served.call, Err(ToolFailure::Refused(nobody)));
        }
        if let Some(served) = errands.agents.next() {
            let nobody = "no team is running whose agents could be asked".to_owned();
            errands.agents.answer(served.call, Err(ToolFailure::Refused(nobody)));
        }
        match registry.poll(call, output) {
            Poll::Ready(result) => return result,
            Poll::Pending if is_late() => {
                registry.cancel(call);
                return Err(PeripheralError::Gone);
            }
            Poll::Pending => std::thread::sleep(PAUSE),
        }
    }
}
