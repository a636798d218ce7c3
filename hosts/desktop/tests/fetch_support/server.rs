//! A web server on the loopback interface that answers as a test tells it to, well or badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a client asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path and query.
    pub target: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What comes after the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection closes.
    Close,
    /// Nothing, while the connection stays open.
    Stall,
    /// More of the same, in chunks, until the client goes away.
    Endless,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the body that are really sent.
    pub sent: usize,
    pub end: End,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        let body = body.into();
        Answer { status, headers: vec![], sent: body.len(), body, end: End::Close }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Announces all of the body and closes after `sent` bytes of it.
    pub fn cut(mut self, sent: usize) -> Answer {
        self.sent = sent;
        self
    }

    pub fn ending(mut self, end: End) -> Answer {
        self.end = end;
        self
    }
}

/// Redirects to `location`.
pub fn redirect(location: impl ToString) -> Answer {
    Answer::new(302, "moved").with("Location", location)
}

/// Answers as a good server does for a file: whole, or from the byte that was asked for.
pub fn file(request: &Request, bytes: &[u8], etag: &str) -> Answer {
    let from = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        .filter(|_| request.header("if-range") == Some(etag));
    let answer = match from {
        Some(from) if from >= bytes.len() => Answer::new(416, ""),
        Some(from) => Answer::new(206, &bytes[from..])
            .with("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
        None => Answer::new(200, bytes),
    };
    answer.with("ETag", etag).with("Content-Type", "application/octet-stream")
}

type Handler = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// The server; it stops when dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `handler` gets a request and its number, from 0.
    pub fn start(handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let handler: Arc<Handler> = Arc::new(handler);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (log, stopped, handler) = (Arc::clone(&log), Arc::clone(&stopped), Arc::clone(&handler));
                // A client that goes away early is part of the game.
                std::thread::spawn(move || serve(&stream.unwrap(), &log, &stopped, &*handler).ok());
            }
        });
        Server { address, requests, stop, thread: Some(thread) }
    }

    /// Its address, as `HF_ENDPOINT` takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has been asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    stream: &TcpStream,
    log: &Mutex<Vec<Request>>,
    stop: &AtomicBool,
    handler: &Handler,
) -> std::io::Result<()> {
    let request = read_request(stream)?;
    let number = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    let answer = handler(&request, number);
    let chunked = answer.end == End::Endless;
    let mut out = stream;
    let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", answer.status);
    match chunked {
        true => head.push_str("Transfer-Encoding: chunked\r\n"),
        false => head.push_str(&format!("Content-Length: {}\r\n", answer.body.len())),
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    out.write_all(format!("{head}\r\n").as_bytes())?;
    match answer.end {
        End::Close => out.write_all(&answer.body[..answer.sent]),
        End::Stall => {
            out.write_all(&answer.body[..answer.sent])?;
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        End::Endless => loop {
            out.write_all(format!("{:x}\r\n", answer.body.len()).as_bytes())?;
            out.write_all(&answer.body)?;
            out.write_all(b"\r\n")?;
        },
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).take(1 << 16).lines();
    let first = lines.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = vec![];
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Request { target, headers })
}
