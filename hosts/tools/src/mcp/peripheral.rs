//! A tool of a server, as a peripheral.

use std::sync::Arc;
use std::task::Poll;

use agentos_hal::{CallNumber, Output, Peripheral, PeripheralError};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::failure::ToolFailure;
use crate::output::write;
use crate::schema::{self, Schema};

use super::keeper::Order;
use super::shared::{Failure, Shared};

/// A tool of a server.
pub(super) struct ServerTool {
    /// Its name, as the server knows it.
    pub(super) name: String,
    /// What its arguments are held to, before they are sent.
    pub(super) schema: Schema,
    /// Bytes of output that are taken.
    pub(super) output_bytes: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: UnboundedSender<Order>,
}

impl ServerTool {
    fn begin(&self, call: CallNumber, arguments: &[u8]) -> Result<(), Failure> {
        let refused = |why: String| Failure::new(PeripheralError::Refused, why);
        let fitting = schema::read(&self.schema, arguments).map_err(|failure| match failure {
            ToolFailure::Refused(why) | ToolFailure::Failed(why) => refused(why),
        })?;
        let Value::Object(arguments) = fitting else {
            return Err(refused(
                "the arguments are no JSON object; {\"name\": value, …} would fit".to_owned(),
            ));
        };
        self.shared.begin(call)?;
        let order = Order::Call { call, tool: self.name.clone(), arguments };
        self.orders.send(order).map_err(|_| {
            self.shared.forget(call);
            Failure::new(PeripheralError::Gone, "the server was stopped")
        })
    }
}

impl Peripheral for ServerTool {
    fn start(
        &mut self,
        call: CallNumber,
        arguments: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), PeripheralError> {
        self.begin(call, arguments).map_err(|failure| tell(&failure, output))
    }

    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        self.shared.take(call).map(|outcome| match outcome {
            Ok(bytes) if bytes.len() > self.output_bytes => {
                // What fits is worth having.
                write(output, &bytes[..self.output_bytes])?;
                Err(PeripheralError::Output)
            }
            Ok(bytes) => write(output, &bytes),
            Err(failure) => Err(tell(&failure, output)),
        })
    }

    fn cancel(&mut self, call: CallNumber) {
        if self.shared.forget(call) {
            // Without a thread nothing is under way.
            let _ = self.orders.send(Order::Cancel(call));
        }
    }
}

/// Writes why a call came to nothing, as far as there is room for it.
fn tell(failure: &Failure, output: &mut Output<'_>) -> PeripheralError {
    let _ = write(output, failure.why.as_bytes());
    failure.error
}
