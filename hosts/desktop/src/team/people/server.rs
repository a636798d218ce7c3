//! The thread that serves a board over HTTP. Whoever is slow or sends much takes a place for a bounded time and memory
//! of a bounded size, and nothing of the run.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

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

/// What those who connect may take. A connection is for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections that are open at once; one beyond them is served when one of those ends.
    pub connections: usize,
    /// How long a connection may be open, whatever it is that the other side is slow at: its request, or reading the
    /// answer.
    pub time: Duration,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits { connections: 32, time: Duration::from_secs(10) }
    }
}

/// Bytes, and number, of the headers of a request.
const MOST_HEADER_BYTES: usize = 8192;
const MOST_HEADERS: usize = 64;

/// Bytes that are read ahead: headers have to fit, bodies go through it piece by piece.
const MOST_AHEAD_BYTES: usize = 2 * MOST_HEADER_BYTES;

/// How long requests that are under way may take when the server ends.
const ENDING: Duration = Duration::from_secs(1);

/// How long nobody is let in after the system had nothing to give for one who connects.
const SHORTAGE: Duration = Duration::from_millis(50);

impl Server {
    /// Serves a board of its own at an address of this machine; port 0 is any that is free.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub fn start(address: SocketAddr, limits: ServerLimits) -> Result<Server, PeopleError> {
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
        let serve = move || runtime.block_on(serve(listener, router, limits, ends));
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
async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, mut ends: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut ends => break,
            Some(_) = open.join_next() => (),
            accepted = listener.accept(), if open.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    let served = answer_one(stream, router.clone());
                    // What fails of it is the other side's to see.
                    open.spawn(tokio::time::timeout(limits.time, served));
                }
                Err(_) => tokio::time::sleep(SHORTAGE).await,
            },
        }
    }
    drop(listener);
    let all = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(ENDING, all).await;
}

/// Answers the request of a connection.
async fn answer_one(stream: TcpStream, router: Router) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    http.keep_alive(false)
        .max_headers(MOST_HEADERS)
        .max_header_size(MOST_HEADER_BYTES)
        .max_buf_size(MOST_AHEAD_BYTES);
    http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await
}

/// 128 bits that nobody guesses, in hexadecimal digits.
fn token() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
