//! The thread that talks to servers.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::declaration::{Declaration, McpError};
use super::keeper::{First, Keeper};
use super::offer::{LeftOut, take};
use super::peripheral::ServerTool;
use super::shared::Shared;
use crate::descriptor::Tool;

/// How long servers have to end when the hub does.
const ENDING: Duration = Duration::from_secs(5);
/// What a start may take beyond its own limit.
const MARGIN: Duration = Duration::from_secs(2);

/// One thread that talks to all servers. They end with it.
pub struct Hub {
    starts: Option<mpsc::UnboundedSender<(Keeper, First)>>,
    life: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    bell: Arc<dyn Fn() + Send + Sync>,
}

/// A server that runs.
pub struct Server {
    /// Its tools. The server ends when all of them are dropped.
    pub tools: Vec<Tool>,
    /// The tools that it has and that are not taken.
    pub left_out: Vec<LeftOut>,
}

impl Hub {
    /// Starts the thread. It calls `bell` whenever a call is over, so that a host that sleeps looks again.
    ///
    /// # Errors
    /// [`McpError::Thread`].
    pub fn new(bell: impl Fn() + Send + Sync + 'static) -> Result<Hub, McpError> {
        let failed = |error: std::io::Error| McpError::Thread(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (starts, started) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("servers".to_owned());
        let thread = thread.spawn(move || runtime.block_on(run(started))).map_err(failed)?;
        let (life, _) = watch::channel(());
        Ok(Hub { starts: Some(starts), life: Some(life), thread: Some(thread), bell: Arc::new(bell) })
    }

    /// Starts a server and waits until it has told its tools, as long as it was declared to take.
    ///
    /// # Errors
    /// [`McpError`].
    pub fn connect(&self, declaration: Declaration) -> Result<Server, McpError> {
        let ended = || McpError::Thread("it ended".to_owned());
        let (starts, life) = self.starts.as_ref().zip(self.life.as_ref()).ok_or_else(ended)?;
        let bell = Arc::clone(&self.bell);
        let shared = Arc::new(Shared::new(declaration.calls, move || bell()));
        let (orders, received) = mpsc::unbounded_channel();
        let (first, tools) = sync_channel(1);
        let limit = declaration.start;
        let keeper = Keeper {
            declaration: declaration.clone(),
            shared: Arc::clone(&shared),
            orders: received,
            hub: life.subscribe(),
        };
        starts.send((keeper, first)).map_err(|_| ended())?;
        let offered = tools.recv_timeout(limit + MARGIN).map_err(|error| match error {
            RecvTimeoutError::Timeout => McpError::Slow { limit, last_words: String::new() },
            RecvTimeoutError::Disconnected => ended(),
        })??;
        let (taken, left_out) = take(&declaration, offered);
        let tool = |taken: super::offer::Taken| Tool {
            peripheral: Box::new(ServerTool {
                name: taken.name,
                schema: taken.schema,
                output_bytes: taken.descriptor.output_bytes,
                shared: Arc::clone(&shared),
                orders: orders.clone(),
            }),
            descriptor: taken.descriptor,
        };
        Ok(Server { tools: taken.into_iter().map(tool).collect(), left_out })
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop((self.starts.take(), self.life.take()));
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was told where it happened.
            let _ = thread.join();
        }
    }
}

/// Keeps servers until the hub is dropped.
async fn run(mut starts: mpsc::UnboundedReceiver<(Keeper, First)>) {
    let mut keepers = JoinSet::new();
    loop {
        tokio::select! {
            start = starts.recv() => match start {
                Some((keeper, first)) => drop(keepers.spawn(keeper.keep(first))),
                None => break,
            },
            Some(_) = keepers.join_next() => (),
        }
    }
    let all = async { while keepers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(ENDING, all).await;
}
