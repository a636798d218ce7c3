//! Keeps a server running, and its calls going.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agentos_hal::{CallNumber, PeripheralError};
use rmcp::Peer;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, ServerResult, Tool as Offered};
use rmcp::service::{PeerRequestOptions, RequestHandle, RoleClient, ServiceError};
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::outcome;
use super::declaration::{Declaration, McpError};
use super::session::Session;
use super::shared::{Failure, Outcome, Shared};

/// Times in a row that a server is started again.
const RESTARTS: u32 = 5;
/// How long after its first end it is started again; each further time it takes twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(200);
/// A server that ran for so long has started well.
const STEADY: Duration = Duration::from_secs(60);
/// How long telling a server that a call is given up may take.
const TELLING: Duration = Duration::from_secs(1);

/// How long after a broken connection the server counts as still there.
const LOST: Duration = Duration::from_millis(500);

/// What is asked of a keeper.
pub(super) enum Order {
    /// Make a call.
    Call {
        /// Its number.
        call: CallNumber,
        /// The tool, as the server knows it.
        tool: String,
        /// What it is called with.
        arguments: Map<String, Value>,
    },
    /// Give one up.
    Cancel(CallNumber),
}

/// Who waits for the first start, and gets the tools.
pub(super) type First = std::sync::mpsc::SyncSender<Result<Vec<Offered>, McpError>>;

/// What a keeper works with.
pub(super) struct Keeper {
    pub(super) declaration: Declaration,
    pub(super) shared: Arc<Shared>,
    /// Closed when no tool of the server is left.
    pub(super) orders: UnboundedReceiver<Order>,
    /// Closed when the hub is.
    pub(super) hub: watch::Receiver<()>,
}

/// Why a session is over.
enum End {
    /// Nobody wants the server any more.
    Unwanted,
    /// The server ended.
    Ended,
}

impl Keeper {
    /// Starts the server and keeps it. A server that does not start the first time is not tried again.
    pub(super) async fn keep(mut self, first: First) {
        let (session, tools) = tokio::select! {
            opened = Session::open(&self.declaration) => match opened {
                Ok(opened) => opened,
                Err(error) => {
                    self.shared.gone(&format!("the server did not start: {error}"));
                    let _ = first.send(Err(error));
                    return;
                }
            },
            () = closed(&mut self.hub) => return,
        };
        self.shared.up();
        // Nobody waits any more: then nobody has the tools, and the orders end at once.
        let _ = first.send(Ok(tools));
        let (mut session, mut failures) = (session, 0);
        loop {
            let since = Instant::now();
            let why = match self.serve(session).await {
                (End::Unwanted, _) => return self.shared.gone("the server was stopped"),
                (End::Ended, how) => format!("the server ended: {how}"),
            };
            if since.elapsed() >= STEADY {
                failures = 0;
            }
            self.shared.down(&why);
            session = match self.start_again(&mut failures, why).await {
                Some(session) => session,
                None => return,
            };
            self.shared.up();
        }
    }

    /// Starts the server again, after a while and as often as it is worth; none when it is given up.
    async fn start_again(&mut self, failures: &mut u32, mut why: String) -> Option<Session> {
        while *failures < RESTARTS {
            let delay = FIRST_DELAY * (1 << *failures);
            *failures += 1;
            let opened = tokio::select! {
                opened = async {
                    tokio::time::sleep(delay).await;
                    Session::open(&self.declaration).await
                } => opened,
                () = unwanted(&mut self.orders, &mut self.hub) => {
                    self.shared.gone("the server was stopped");
                    return None;
                }
            };
            match opened {
                Ok((session, _)) => return Some(session),
                Err(error) => why = format!("the server does not start any more: {error}"),
            }
        }
        self.shared.gone(&format!("{why} (started again {RESTARTS} times)"));
        None
    }

    /// Passes calls on until the session is over; and tells how it ended.
    async fn serve(&mut self, mut session: Session) -> (End, String) {
        let mut givers_up: HashMap<CallNumber, oneshot::Sender<()>> = HashMap::new();
        let mut tasks = JoinSet::new();
        let too_long = Arc::clone(&session.too_long);
        let end = loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Call { call, tool, arguments }) => {
                        let (give_up, given_up) = oneshot::channel();
                        givers_up.insert(call, give_up);
                        let (shared, peer) = (Arc::clone(&self.shared), session.peer.clone());
                        let timeout = self.declaration.timeout;
                        tasks.spawn(async move {
                            if let Some(outcome) = make(&peer, tool, arguments, timeout, given_up).await {
                                shared.settle(call, outcome);
                            }
                            call
                        });
                    }
                    // Dropping the sender tells.
                    Some(Order::Cancel(call)) => drop(givers_up.remove(&call)),
                    None => break End::Unwanted,
                },
                Some(done) = tasks.join_next() => {
                    // Another call may have come to have its number, which then still listens.
                    if let Ok(call) = done && givers_up.get(&call).is_some_and(oneshot::Sender::is_closed) {
                        givers_up.remove(&call);
                    }
                }
                () = too_long.notified() => {
                    // Whose answer it was cannot be told: it was not read.
                    let limit = self.declaration.message_bytes;
                    let why = format!("the server sent a message of more than {limit} bytes, which is the most");
                    self.shared.settle_all(&Failure::new(PeripheralError::Output, why));
                    givers_up.clear();
                }
                () = session.ended() => break End::Ended,
                () = closed(&mut self.hub) => break End::Unwanted,
            }
        };
        tasks.abort_all();
        (end, session.close().await)
    }
}

/// Over when the hub is.
async fn closed(hub: &mut watch::Receiver<()>) {
    while hub.changed().await.is_ok() {}
}

/// Over when nobody wants the server any more. Calls that were sent to one that had just ended are dropped;
/// they were told.
async fn unwanted(orders: &mut UnboundedReceiver<Order>, hub: &mut watch::Receiver<()>) {
    let none_left = async { while orders.recv().await.is_some() {} };
    tokio::select! {
        () = none_left => (),
        () = closed(hub) => (),
    }
}

/// Makes a call; none when it was given up.
async fn make(
    peer: &Peer<RoleClient>,
    tool: String,
    arguments: Map<String, Value>,
    timeout: Duration,
    mut given_up: oneshot::Receiver<()>,
) -> Option<Outcome> {
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    let deadline = Instant::now() + timeout;
    let slow = || {
        let why =
            format!("no answer after {} ms; whether it had an effect is not known", timeout.as_millis());
        Some(Err(Failure::new(PeripheralError::Failed, why)))
    };
    let mut handle: RequestHandle<RoleClient> = tokio::select! {
        sent = peer.send_cancellable_request(request, PeerRequestOptions::no_options()) => match sent {
            Ok(handle) => handle,
            Err(error) => return answered(Err(error)).await,
        },
        _ = &mut given_up => return None,
        () = tokio::time::sleep_until(deadline) => return slow(),
    };
    let over = tokio::select! {
        answer = &mut handle.rx => {
            return answered(answer.unwrap_or(Err(ServiceError::TransportClosed))).await;
        }
        _ = &mut given_up => None,
        () = tokio::time::sleep_until(deadline) => slow(),
    };
    let _ = tokio::time::timeout(TELLING, handle.cancel(Some("nobody waits for it".to_owned()))).await;
    over
}

/// The outcome of a call that was answered, or lost. When the server ended the keeper knows more, ends the task
/// that waits here, and tells itself.
async fn answered(answer: Result<ServerResult, ServiceError>) -> Option<Outcome> {
    if let Err(ServiceError::TransportClosed) = answer {
        tokio::time::sleep(LOST).await;
        let why = "the connection broke before an answer came, or the answer was too large";
        return Some(Err(Failure::new(PeripheralError::Gone, why)));
    }
    Some(outcome(answer))
}
