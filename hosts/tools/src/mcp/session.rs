//! A connection to a server: opened, its tools told, and closed.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams, Tool as Offered,
};
use rmcp::service::{ClientInitializeError, RoleClient, RunningService, ServiceError};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::common::client_side_sse::SseRetryPolicy;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, Transport};
use rmcp::{Peer, ServiceExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::answer::chain;
use super::child::Program;
use super::declaration::{Declaration, McpError, Reach};

/// Tools that a server may have.
pub(super) const MAX_TOOLS: usize = 128;
/// Pages in which it may tell them.
const MAX_PAGES: usize = 16;
/// How long closing may take.
const CLOSING: Duration = Duration::from_secs(1);

/// A connection to a server.
pub(super) struct Session {
    pub(super) peer: Peer<RoleClient>,
    /// Told when the server sent more at once than is read.
    pub(super) too_long: Arc<Notify>,
    /// Over when the connection is.
    running: JoinHandle<()>,
    stop: Arc<Notify>,
    program: Option<Program>,
}

impl Session {
    /// Starts or reaches the server and asks for its tools.
    pub(super) async fn open(declaration: &Declaration) -> Result<(Session, Vec<Offered>), McpError> {
        let too_long = Arc::new(Notify::new());
        match &declaration.reach {
            Reach::Command { program, arguments, environment, folder } => {
                let (program, (stdout, stdin)) = Program::start(
                    program,
                    arguments,
                    environment,
                    folder.as_ref(),
                    declaration.message_bytes,
                    Arc::clone(&too_long),
                )?;
                let transport = AsyncRwTransport::new_client(stdout, stdin)
                    .with_max_line_length(declaration.message_bytes);
                Session::begin(declaration, transport, Some(program), too_long).await
            }
            Reach::Http { url, token } => {
                let said = token.as_ref().map(|token| token.text(|name| std::env::var(name).ok()));
                let token = said.transpose().map_err(|name| McpError::Address {
                    url: url.clone(),
                    why: format!("its token is to be in the variable {name}, which is not set"),
                })?;
                let transport = http(declaration, url, token.as_deref())?;
                Session::begin(declaration, transport, None, too_long).await
            }
        }
    }

    async fn begin(
        declaration: &Declaration,
        transport: impl Transport<RoleClient> + 'static,
        mut program: Option<Program>,
        too_long: Arc<Notify>,
    ) -> Result<(Session, Vec<Offered>), McpError> {
        let greeted = async {
            let service = config().serve(transport).await.map_err(|error| initialising(&error))?;
            let tools = tools(service.peer()).await?;
            Ok::<_, Fault>((service, tools))
        };
        let greeted = tokio::select! {
            greeted = greeted => greeted,
            () = tokio::time::sleep(declaration.start) => Err(Fault::Slow),
            () = too_long.notified() => Err(Fault::TooLong),
        };
        match greeted {
            Ok((service, tools)) => Ok((Session::of(service, program, too_long), tools)),
            Err(fault) => {
                if let Some(program) = &mut program {
                    program.hear().await;
                }
                Err(fault.told(declaration, program.as_ref().map(Program::last_words).unwrap_or_default()))
            }
        }
    }

    fn of(
        service: RunningService<RoleClient, ClientConfig>,
        program: Option<Program>,
        too_long: Arc<Notify>,
    ) -> Session {
        let peer = service.peer().clone();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let running = tokio::spawn(async move {
            let token = service.cancellation_token();
            let waiting = service.waiting();
            tokio::pin!(waiting);
            tokio::select! {
                _ = &mut waiting => (),
                () = stopped.notified() => {
                    token.cancel();
                    let _ = waiting.await;
                }
            }
        });
        Session { peer, too_long, running, stop, program }
    }

    /// Waits until the connection is over.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.running).await;
    }

    /// Closes it, and ends the program; tells how that ended.
    pub(super) async fn close(mut self) -> String {
        self.stop.notify_one();
        if !self.running.is_finished() && tokio::time::timeout(CLOSING, &mut self.running).await.is_err() {
            self.running.abort();
        }
        match self.program.take() {
            Some(program) => program.end().await,
            None => "the connection was closed".to_owned(),
        }
    }
}

/// A stream of events that broke off is taken up again where it was, a few times. No call is sent anew for it.
#[derive(Debug)]
struct Resume;

impl SseRetryPolicy for Resume {
    fn retry(&self, times: usize) -> Option<Duration> {
        (times < 3).then_some(Duration::from_millis(200))
    }
}

/// Who asks.
fn config() -> ClientConfig {
    ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("agentos", env!("CARGO_PKG_VERSION")),
    )
}

fn http(
    declaration: &Declaration,
    url: &str,
    token: Option<&str>,
) -> Result<impl Transport<RoleClient> + use<>, McpError> {
    // The first of the process stays; all are alike here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: &dyn std::error::Error| McpError::Address { url: url.to_owned(), why: chain(error) };
    reqwest::Url::parse(url).map_err(|error| failed(&error))?;
    let client = reqwest::Client::builder()
        .connect_timeout(declaration.start)
        // Elsewhere is not what was declared.
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| failed(&error))?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url)
        .max_sse_event_size(declaration.message_bytes)
        .max_json_response_size(declaration.message_bytes)
        // A call is sent once.
        .reinit_on_expired_session(false);
    config.retry_config = Arc::new(Resume);
    if let Some(token) = token {
        config = config.auth_header(token);
    }
    Ok(StreamableHttpClientTransport::with_client(client, config))
}

enum Fault {
    Slow,
    TooLong,
    ManyTools,
    Protocol(String),
}

impl Fault {
    fn told(self, declaration: &Declaration, last_words: String) -> McpError {
        match self {
            Fault::Slow => McpError::Slow { limit: declaration.start, last_words },
            Fault::ManyTools => McpError::ManyTools { limit: MAX_TOOLS },
            Fault::Protocol(why) => McpError::Protocol { why, last_words },
            Fault::TooLong => McpError::Protocol {
                why: format!("a message of more than {} bytes, which is the most", declaration.message_bytes),
                last_words,
            },
        }
    }
}

fn initialising(error: &ClientInitializeError) -> Fault {
    Fault::Protocol(short(&chain(error)))
}

/// All tools of a server, in as many pages as it likes, up to a limit.
async fn tools(peer: &Peer<RoleClient>) -> Result<Vec<Offered>, Fault> {
    let (mut tools, mut cursor) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor.take());
        let failed = |error: ServiceError| Fault::Protocol(short(&chain(&error)));
        let page = peer.list_tools(Some(params)).await.map_err(failed)?;
        tools.extend(page.tools);
        if tools.len() > MAX_TOOLS {
            return Err(Fault::ManyTools);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(tools);
        }
    }
    Err(Fault::Protocol(format!("its tools come in more than {MAX_PAGES} pages, which is the most")))
}

/// The first words of what may repeat all that the server sent.
fn short(text: &str) -> String {
    const CHARS: usize = 240;
    let end = text.char_indices().nth(CHARS).map_or(text.len(), |(at, _)| at);
    agentos_perception::text::visible(&text[..end]).0
}
