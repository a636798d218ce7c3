//! Requests to servers on this machine, honest ones and others.

mod rig;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_tools::grant::Grant;
use agentos_tools::http::{HttpLimits, http_get};
use agentos_tools::{Collected, Tool};
use rig::{LONG, call, pool, until};
use serde_json::json;

/// A server that answers each request with what `answer` writes, and tells what was asked for.
fn server(answer: impl Fn(&str, u16, &mut TcpStream) + Send + 'static) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, asks) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let _headers = lines.take_while(|line| !line.is_empty()).count();
            let _gone = asked.send(path.clone());
            answer(&path, port, &mut stream);
        }
    });
    (port, asks)
}

fn write(stream: &mut TcpStream, text: &str) {
    let _gone = stream.write_all(text.as_bytes());
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    write(stream, &format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"));
}

fn tool(hosts: &[String], limits: HttpLimits) -> Tool {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    http_get(Grant { hosts, ..Grant::default() }, limits, &pool()).unwrap()
}

fn local(port: u16) -> Tool {
    tool(&[format!("127.0.0.1:{port}")], HttpLimits { body_bytes: 1000, ..HttpLimits::default() })
}

fn why(tool: &mut Tool, url: &str) -> String {
    let (error, why) = call(tool, &json!({ "url": url })).unwrap_err();
    assert_eq!(error, PeripheralError::Failed, "{url}: {why}");
    why
}

#[test]
fn a_page_is_got() {
    let (port, asks) = server(|path, _, stream| answer(stream, "200 OK", "", &format!("this is {path}")));
    let mut tool = local(port);
    let page = call(&mut tool, &json!({ "url": format!("http://127.0.0.1:{port}/a?b=c#d") })).unwrap();
    assert_eq!(page, "this is /a?b=c");
    assert_eq!(asks.recv_timeout(LONG).unwrap(), "/a?b=c");
}

#[test]
fn a_status_that_is_no_success_is_told() {
    let (port, _) = server(|_, _, stream| answer(stream, "404 Not Found", "", "no such\npage"));
    let why = why(&mut local(port), &format!("http://127.0.0.1:{port}/"));
    assert_eq!(why, format!("127.0.0.1:{port} answers with status 404 Not Found: no such page"));
}

#[test]
fn redirects_lead_to_granted_hosts_alone() {
    let (port, asks) = server(|path, port, stream| {
        let to = match path {
            "/relative" => "/end".to_owned(),
            "/absolute" => format!("http://127.0.0.1:{port}/end"),
            "/other-port" => "http://127.0.0.1:1/".to_owned(),
            "/other-host" => "http://evil.example/".to_owned(),
            "/other-name" => format!("http://localhost:{port}/end"),
            "/scheme" => "file:///etc/passwd".to_owned(),
            "/user" => format!("http://u:p@127.0.0.1:{port}/end"),
            "/metadata" => "http://169.254.169.254/latest/".to_owned(),
            "/broken" => "http://[".to_owned(),
            "/loop" => "/loop".to_owned(),
            _ => return answer(stream, "200 OK", "", "the end"),
        };
        answer(stream, "302 Found", &format!("location: {to}\r\n"), "");
    });
    let mut tool = local(port);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    for path in ["/relative", "/absolute"] {
        assert_eq!(call(&mut tool, &json!({ "url": url(path) })).unwrap(), "the end");
    }
    for (path, reason) in [
        ("/other-port", "127.0.0.1:1 is not granted"),
        ("/other-host", "evil.example:80 is not granted"),
        ("/other-name", "is not granted"),
        ("/scheme", "\"file\" is not asked for"),
        ("/user", "has a user"),
        ("/metadata", "169.254.169.254:80 is not granted"),
        ("/broken", "is no URL"),
        ("/loop", "more than 4 redirects"),
    ] {
        let why = why(&mut tool, &url(path));
        assert!(why.contains(reason), "{path}: {why}");
    }
    let asked: Vec<String> = asks.try_iter().collect();
    assert_eq!(asked.iter().filter(|path| *path == "/end").count(), 2);
    assert_eq!(asked.iter().filter(|path| *path == "/loop").count(), 5);
}

/// `localhost` may be this machine; any other name, granted as it may be, may not.
#[test]
fn a_name_that_leads_to_this_machine_leads_nowhere() {
    let (port, asks) = server(|_, _, stream| answer(stream, "200 OK", "", "inside"));
    let url = |host: &str| json!({ "url": format!("http://{host}:{port}/") });
    let mut by_name = tool(&[format!("localhost:{port}")], HttpLimits::default());
    assert_eq!(call(&mut by_name, &url("localhost")).unwrap(), "inside");
    asks.recv_timeout(LONG).unwrap();
    // Forms of 127.0.0.1 that the system's resolver takes: as names, they are granted, but what they lead to is
    // not.
    for name in ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"] {
        let mut granted = tool(&[format!("{name}:{port}")], HttpLimits::default());
        let why = why(&mut granted, &format!("http://{name}:{port}/"));
        let refused = why.contains("127.0.0.1 belongs to this machine") || why.contains("no such host");
        assert!(refused || why.contains("failed to lookup"), "{name}: {why}");
    }
    assert!(asks.try_recv().is_err(), "somebody was let in");
}

#[test]
fn a_body_without_end_ends() {
    let (port, _) = server(|path, _, stream| match path {
        "/declared" => answer(stream, "200 OK", "", &"x".repeat(1001)),
        "/fits" => answer(stream, "200 OK", "", &"x".repeat(1000)),
        "/headers" => {
            write(stream, "HTTP/1.1 200 OK\r\n");
            for number in 0..100_000 {
                if stream.write_all(format!("x-{number}: y\r\n").as_bytes()).is_err() {
                    break;
                }
            }
        }
        _ => {
            write(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while stream.write_all(b"400\r\n").and_then(|()| stream.write_all(&[b'x'; 1024])).is_ok() {
                write(stream, "\r\n");
            }
        }
    });
    let mut tool = local(port);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    for path in ["/declared", "/endless"] {
        assert!(why(&mut tool, &url(path)).contains("sends more than the 1000 bytes"), "{path}");
    }
    assert_eq!(call(&mut tool, &json!({ "url": url("/fits") })).unwrap().len(), 1000);
    why(&mut tool, &url("/headers"));
}

#[test]
fn nonsense_is_told() {
    let (port, _) = server(|path, _, stream| match path {
        "/cut" => write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"),
        "/none" => (),
        "/zero" => write(stream, "\0\0\0\0\r\n\r\n"),
        _ => write(stream, "220 smtp.example.org ESMTP\r\n\r\n"),
    });
    let mut tool = local(port);
    for path in ["/cut", "/none", "/zero", "/smtp"] {
        let why = why(&mut tool, &format!("http://127.0.0.1:{port}{path}"));
        assert!(why.starts_with(&format!("127.0.0.1:{port} cannot be asked: ")), "{path}: {why}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let why = why(&mut local(closed), &format!("http://127.0.0.1:{closed}/"));
    assert!(why.contains("cannot be asked"), "{why}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let (port, asks) = server(|_, _, stream| {
        write(stream, "HTTP/1.1 200 OK\r\nx: ");
        // It drips, so that no pause is long.
        while stream.write_all(b"y").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let limits = HttpLimits { time: Duration::from_millis(500), ..HttpLimits::default() };
    let mut hasty = tool(&[format!("127.0.0.1:{port}")], limits);
    let why = why(&mut hasty, &format!("http://127.0.0.1:{port}/"));
    assert!(why.contains("it takes longer than 500ms"), "{why}");
    asks.recv_timeout(LONG).unwrap();
    // One that is cancelled is forgotten at once, whatever its server does.
    let arguments = json!({ "url": format!("http://127.0.0.1:{port}/") }).to_string();
    let mut output = Collected::new(1000);
    hasty.peripheral.start(CallNumber(1), arguments.as_bytes(), &mut output).unwrap();
    hasty.peripheral.cancel(CallNumber(1));
    let gone = hasty.peripheral.poll(CallNumber(1), &mut output);
    assert_eq!(gone, std::task::Poll::Ready(Err(PeripheralError::NoCall)));
    until("a place", || hasty.peripheral.start(CallNumber(2), arguments.as_bytes(), &mut output).is_ok());
}

#[test]
fn what_is_in_another_character_set_comes_in_utf_8() {
    let pages: [(&str, &[u8], &str); 4] = [
        ("text/html; charset=iso-8859-1", b"caf\xe9", "caf\u{e9}"),
        ("text/plain; charset=shift_jis", b"\x93\xfa\x96\x7b", "\u{65e5}\u{672c}"),
        ("text/plain; charset=utf-8", "caf\u{e9}".as_bytes(), "caf\u{e9}"),
        ("text/plain", "caf\u{e9}".as_bytes(), "caf\u{e9}"),
    ];
    for (media_type, body, text) in pages {
        let body = body.to_vec();
        let (port, _asks) = server(move |_, _, stream| {
            let length = body.len();
            write(
                stream,
                &format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ncontent-type: {media_type}\r\n\r\n"),
            );
            let _gone = stream.write_all(&body);
        });
        let got = call(&mut local(port), &json!({ "url": format!("http://127.0.0.1:{port}/") }));
        assert_eq!(got.unwrap(), text, "{media_type}");
    }
}
