//! Models from the hub, against a server on the loopback interface: what goes wrong, and what is said then.

#[path = "fetch_support/hub.rs"]
mod hub;

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agentos_desktop::fetch::environment::Token;
use agentos_desktop::fetch::error::{RequestError, ServerError, ServerFault};
use agentos_desktop::fetch::{FetchError, HubSpec, hub_model};
use hub::fetch_support::{Recorder, model_bytes, names};
use hub::server::{Answer, End, file, redirect};
use hub::{Bench, LISTING, listing};

const SIZE: usize = 100_000;

/// A hub whose list is as it should be and that answers `answer` when asked for the file.
fn with_file(answer: Answer) -> Bench {
    let bytes = model_bytes(SIZE);
    Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("m.gguf", &bytes)]),
        _ => answer.clone(),
    })
}

/// A hub that answers `answer` to all.
fn with_all(answer: Answer) -> Bench {
    Bench::new(move |_, _| answer.clone())
}

fn server_fault(bench: &Bench) -> ServerFault {
    match bench.fetch("o/r") {
        Err(FetchError::Server(ServerError { fault, url })) => {
            assert!(url.starts_with(&bench.server.url()), "{url}");
            assert!(!bench.hub_file("m.gguf").exists());
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_are_told_at_once_and_with_advice() {
    let cases = [
        (401, ServerFault::Unauthorized { token_sent: false }, "HF_TOKEN"),
        (403, ServerFault::Forbidden, "licence"),
        (404, ServerFault::NotFound, "spelling"),
        (418, ServerFault::Status(418), "418"),
        (206, ServerFault::Status(206), "206"),
    ];
    for (status, fault, advice) in cases {
        for bench in [with_all(Answer::new(status, "no")), with_file(Answer::new(status, "no"))] {
            assert_eq!(server_fault(&bench), fault);
            assert!(bench.waits_s().is_empty());
        }
        assert!(fault.to_string().contains(advice), "{fault}");
    }
}

#[test]
fn a_refused_token_is_told_and_not_shown() {
    let mut bench = with_all(Answer::new(401, "no"));
    bench.environment.token = Token::new("hf_secret");
    let error = bench.fetch("o/r").unwrap_err();
    let FetchError::Server(ServerError { fault, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(fault, &ServerFault::Unauthorized { token_sent: true });
    assert!(!format!("{error} {error:?}").contains("secret"));

    bench.environment.token = Token::new("hf_sec\nret");
    let error = bench.fetch("o/r").unwrap_err();
    assert!(matches!(error, FetchError::Request(RequestError::Token)), "{error:?}");
}

#[test]
fn a_busy_server_is_asked_again_a_few_times() {
    let unavailable = |status, retry_after_s| ServerFault::Unavailable { status, retry_after_s };
    let bench = with_all(Answer::new(500, "broken"));
    assert_eq!(server_fault(&bench), unavailable(500, None));
    assert_eq!(bench.waits_s(), [1, 2, 4, 8]);
    assert_eq!(bench.server.requests().len(), 5);

    let bench = with_file(Answer::new(429, "slow down").with("Retry-After", 7));
    assert_eq!(server_fault(&bench), unavailable(429, Some(7)));
    assert_eq!(bench.waits_s(), [7, 7, 7, 8]);

    let bench = with_file(Answer::new(503, "later").with("Retry-After", u64::MAX));
    assert_eq!(server_fault(&bench), unavailable(503, Some(u64::MAX)));
    assert_eq!(bench.waits_s(), [60; 4]);
}

#[test]
fn a_server_that_is_gone_is_a_network_fault() {
    let mut bench = with_all(Answer::new(200, "[]"));
    bench.environment.endpoint = {
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let error = bench.fetch("o/r").unwrap_err();
    let FetchError::Server(ServerError { fault: ServerFault::Network(_), .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(bench.waits_s(), [1, 2, 4, 8]);
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for_for_ever() {
    for silent_at in [LISTING, "/o/r/resolve/main/m.gguf"] {
        let bytes = model_bytes(SIZE);
        let mut bench = Bench::new(move |request, _| {
            let answer = match request.target.as_str() {
                LISTING => listing(&[("m.gguf", &bytes)]),
                _ => file(request, &bytes, "\"v1\""),
            };
            match request.target == silent_at {
                true => answer.cut(10).ending(End::Stall),
                false => answer,
            }
        });
        bench.environment.patience.stall = Duration::from_millis(100);
        assert!(matches!(server_fault(&bench), ServerFault::Network(_)));
        assert_eq!(bench.waits_s(), [1, 2, 4, 8]);
    }
}

#[test]
fn connections_that_bring_little_come_to_an_end() {
    let bytes = model_bytes(SIZE);
    let bench = Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("m.gguf", &bytes)]),
        _ => file(request, &bytes, "\"v1\"").cut(10),
    });
    assert!(matches!(server_fault(&bench), ServerFault::Network(_)));
    assert_eq!(fs::metadata(bench.hub_file("m.gguf.part")).unwrap().len(), 50);
}

#[test]
fn wrong_lengths_are_refused_before_the_download() {
    for (answer, wrong) in [
        (Answer::new(200, model_bytes(SIZE - 1)), SIZE - 1),
        (Answer::new(200, model_bytes(SIZE + 1)), SIZE + 1),
        (Answer::new(200, model_bytes(SIZE)).with("X-Linked-Size", 5), 5),
    ] {
        let bench = with_file(answer);
        let error = bench.fetch("o/r").unwrap_err();
        let FetchError::Size { expected, found, .. } = error else { panic!("{error:?}") };
        assert_eq!((expected, found), (SIZE as u64, wrong as u64));
        assert_eq!(names(&bench.hub_file("")), ["m.gguf.lock", "m.gguf.part", "m.gguf.part.json"]);
        assert_eq!(fs::metadata(bench.hub_file("m.gguf.part")).unwrap().len(), 0);
    }
}

#[test]
fn an_endless_body_is_cut_off() {
    let bench = with_file(Answer::new(200, model_bytes(30_000)).ending(End::Endless));
    let error = bench.fetch("o/r").unwrap_err();
    assert!(matches!(error, FetchError::Size { .. }), "{error:?}");
    assert!(fs::metadata(bench.hub_file("m.gguf.part")).unwrap().len() <= SIZE as u64);
}

#[test]
fn other_contents_are_refused() {
    let html = Answer::new(200, vec![b'<'; SIZE]).with("Content-Type", "text/html; charset=utf-8");
    assert_eq!(server_fault(&with_file(html.clone())), ServerFault::WebPage);
    assert_eq!(server_fault(&with_all(html)), ServerFault::WebPage);
    assert_eq!(server_fault(&with_file(Answer::new(200, vec![b'<'; SIZE]))), ServerFault::NotGguf);

    let mut other = model_bytes(SIZE);
    other[SIZE - 1] ^= 1;
    let bench = with_file(Answer::new(200, other).with("ETag", "\"v1\""));
    let error = bench.fetch("o/r").unwrap_err();
    assert!(matches!(error, FetchError::Digest { .. }), "{error:?}");
    assert_eq!(names(&bench.hub_file("")), ["m.gguf.lock"]);

    let linked = Answer::new(200, model_bytes(SIZE)).with("X-Linked-ETag", format!("\"{}\"", "0".repeat(64)));
    let error = with_file(linked).fetch("o/r").unwrap_err();
    assert!(matches!(error, FetchError::Digest { .. }), "{error:?}");
}

#[test]
fn a_model_smaller_than_its_first_word_is_no_model() {
    for size in 0..4 {
        let bytes = model_bytes(4)[..size].to_vec();
        let bench = Bench::new(move |request, _| match request.target.as_str() {
            LISTING => listing(&[("m.gguf", &bytes)]),
            _ => Answer::new(200, "GGUF").ending(End::Endless),
        });
        assert_eq!(server_fault(&bench), ServerFault::NotGguf);
    }
}

#[test]
fn redirects_end_and_lead_to_the_web_only() {
    assert_eq!(server_fault(&with_file(redirect("/o/r/resolve/main/m.gguf"))), ServerFault::TooManyRedirects);
    for location in ["file:///etc/passwd", "ftp://h/x", "http://user:word@h/x", "", "http://"] {
        assert_eq!(server_fault(&with_file(redirect(location))), ServerFault::Redirect, "{location}");
    }
    assert_eq!(server_fault(&with_all(Answer::new(302, "where?"))), ServerFault::Redirect);
}

#[test]
fn lists_that_are_none_are_refused() {
    for text in
        ["", "{}", "[1]", "[{\"type\":\"file\"}]", "[{\"type\":\"file\",\"path\":\"m.gguf\",\"size\":-1}]"]
    {
        assert_eq!(server_fault(&with_all(Answer::new(200, text))), ServerFault::Listing, "{text}");
    }
    let deep = "[".repeat(1_000_000);
    assert_eq!(server_fault(&with_all(Answer::new(200, deep))), ServerFault::Listing);
    let endless = Answer::new(200, " ".repeat(1 << 16)).ending(End::Endless);
    assert!(matches!(server_fault(&with_all(endless)), ServerFault::ListingTooLarge(_)));
    let endless_pages =
        listing(&[("m.gguf", b"GGUF")]).with("Link", "</api/models/o/r/tree/main?again>; rel=\"next\"");
    assert!(matches!(server_fault(&with_all(endless_pages)), ServerFault::ListingTooLarge(_)));
    let elsewhere = listing(&[("m.gguf", b"GGUF")]).with("Link", "<http://elsewhere/x>; rel=\"next\"");
    assert_eq!(server_fault(&with_all(elsewhere)), ServerFault::Redirect);
}

#[test]
fn names_that_leave_the_cache_are_refused() {
    for name in ["../evil.gguf", "/evil.gguf", "a/../../evil.gguf", ".choice.gguf", "a\\evil.gguf"] {
        let bench = with_all(listing(&[(name, b"GGUF")]));
        let error = bench.fetch("o/r").unwrap_err();
        assert!(matches!(error, FetchError::Request(RequestError::UnsafeName { .. })), "{name}: {error:?}");
        assert_eq!(names(bench.folder.path()), Vec::<String>::new());
    }
}

#[test]
fn what_the_repository_does_not_have_is_told_with_what_it_has() {
    let all = |files: &[(&str, &[u8])]| with_all(listing(files));
    let request = |bench: Bench, spec: &str| match bench.fetch(spec) {
        Err(FetchError::Request(error)) => error,
        other => panic!("{other:?}"),
    };
    let missing = request(all(&[("m-Q8_0.gguf", b"GGUF")]), "o/r:n.gguf");
    assert!(missing.to_string().contains("m-Q8_0.gguf"), "{missing}");
    assert!(matches!(request(all(&[("model.bin", b"GGUF")]), "o/r"), RequestError::NoGguf { .. }));
    let split = all(&[("m-00001-of-00002.gguf", b"GGUF"), ("m-00002-of-00002.gguf", b"GGUF")]);
    assert!(matches!(request(split, "o/r"), RequestError::SplitModel { .. }));
}

#[test]
fn a_full_disk_is_told_before_and_during() {
    let bytes = model_bytes(SIZE);
    let bench = Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("m.gguf", &bytes)]),
        _ => file(request, &bytes, "\"v1\""),
    });
    bench.system.free.store(1000, Ordering::Relaxed);
    let before = bench.fetch("o/r").unwrap_err();
    let FetchError::DiskFull { needed, available, .. } = before else { panic!("{before:?}") };
    assert_eq!((needed, available), (SIZE as u64, Some(1000)));
    assert_eq!(bench.server.requests().len(), 1);

    bench.system.free.store(u64::MAX, Ordering::Relaxed);
    bench.system.room.store(30_000, Ordering::Relaxed);
    let during = bench.fetch("o/r").unwrap_err();
    assert!(matches!(during, FetchError::DiskFull { .. }), "{during:?}");
    assert!(!bench.hub_file("m.gguf").exists());

    // With room again, the download goes on.
    bench.system.room.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(fs::read(bench.fetch("o/r").unwrap()).unwrap(), model_bytes(SIZE));
    assert_eq!(bench.server.requests().last().unwrap().header("range"), Some("bytes=30000-"));
}

#[test]
fn wrong_settings_are_told_before_anything_is_asked() {
    let mut bench = with_all(Answer::new(200, "[]"));
    let certificates = bench.folder.path().join("certificates.pem");
    bench.environment.root_certificates = Some(certificates.clone());
    for text in [None, Some("not a certificate")] {
        if let Some(text) = text {
            fs::write(&certificates, text).unwrap();
        }
        let error = bench.fetch("o/r").unwrap_err();
        let is_told = matches!(error, FetchError::Request(RequestError::RootCertificates { .. }));
        assert!(is_told, "{error:?}");
    }
    bench.environment.root_certificates = None;
    bench.environment.endpoint = "huggingface.co".to_owned();
    let spec = HubSpec::parse("o/r").unwrap();
    let error = hub_model(&spec, &bench.environment, &mut Recorder::default()).unwrap_err();
    assert!(matches!(error, FetchError::Request(RequestError::Endpoint { .. })), "{error:?}");
    assert!(bench.server.requests().is_empty());
}
