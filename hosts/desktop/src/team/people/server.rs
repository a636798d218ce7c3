//! The thread that serves a board over HTTP.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::board::Board;
use super::guard::Guard;
use super::routes::routes;

/// A board over HTTP. It ends with this.
pub struct Server {
    address: SocketAddr,
    token: String,
    board: Board,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no server.
#[derive(Debug)]
pub enum PeopleError {
    /// Others than this machine's own programs could reach the address.
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The system does not give what it takes.
    System {
        /// The address.
        address: SocketAddr,
        /// What it says.
        source: std::io::Error,
    },
}

impl fmt::Display for PeopleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeopleError::NotLoopback { address } => write!(
                f,
                "--people {address}: others than this machine's own programs could reach that; 127.0.0.1:{port} would \
                 do, with a proxy before it that knows who may answer",
                port = address.port()
            ),
            PeopleError::System { address, source } => write!(f, "--people {address}: {source}"),
        }
    }
}

impl std::error::Error for PeopleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PeopleError::System { source, .. } => Some(source),
            PeopleError::NotLoopback { .. } => None,
        }
    }
}

/// How long requests that are under way may take when the server ends.
const ENDING: Duration = Duration::from_secs(1);

impl Server {
    /// Serves a board of its own at an address of this machine; port 0 is any that is free.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn start(address: SocketAddr) -> Result<Server, PeopleError> {
        if !address.ip().is_loopback() {
            return Err(PeopleError::NotLoopback { address });
        }
        let failed = |source| PeopleError::System { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let token = token().map_err(failed)?;
        let board = Board::default();
        let router = routes(board.clone(), Guard::new(address, token.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (end, ends) = oneshot::channel();
        let serve = move || runtime.block_on(serve(listener, router, ends));
        let thread = std::thread::Builder::new().name("people".to_owned()).spawn(serve).map_err(failed)?;
        Ok(Server { address, token, board, end: Some(end), thread: Some(thread) })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What requests prove by that they come from who was told it.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What it serves.
    pub fn board(&self) -> &Board {
        &self.board
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was told where it happened.
            let _ = thread.join();
        }
    }
}

/// Serves until the other end of `ends` is dropped.
async fn serve(listener: TcpListener, router: axum::Router, ends: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let (stop, stops) = oneshot::channel::<()>();
    let ended = async move {
        let _ = stops.await;
    };
    let served = axum::serve(listener, router).with_graceful_shutdown(ended);
    let late = async move {
        let _ = ends.await;
        drop(stop);
        tokio::time::sleep(ENDING).await;
    };
    tokio::select! {
        // It fails of nothing that a later request could not go well in spite of.
        _ = served => (),
        () = late => (),
    }
}

/// 128 bits that nobody guesses, in hexadecimal digits.
fn token() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
