//! Models from the hub, against a server on the loopback interface: what goes well.

#[path = "fetch_support/hub.rs"]
mod hub;

use std::fs;
use std::time::{Duration, SystemTime};

use agentos_desktop::fetch::environment::Token;
use agentos_desktop::fetch::{Choice, HubSpec, ensure, hub_model};
use hub::fetch_support::{Recorder, TestSystem, model_bytes, names};
use hub::server::{Answer, End, Server, file, redirect};
use hub::{Bench, LISTING, digest, listing};

#[test]
fn the_best_file_is_downloaded_once() {
    let (q4_1, f16) = (model_bytes(300_000), model_bytes(500_000));
    let bench = Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("README.md", b"hello"), ("m.F16.gguf", &f16), ("m.Q4_1.gguf", &q4_1)]),
        "/o/r/resolve/main/m.Q4_1.gguf" => file(request, &q4_1, "\"1\""),
        other => panic!("{other}"),
    });
    let mut progress = Recorder::default();
    let path = hub_model(&HubSpec::parse("o/r").unwrap(), &bench.environment, &mut progress).unwrap();
    assert_eq!(path, bench.folder.path().join("models/hub/o--r/m.Q4_1.gguf"));
    assert_eq!(fs::read(&path).unwrap(), model_bytes(300_000));
    assert_eq!(
        names(path.parent().unwrap()),
        [".choice", "m.Q4_1.gguf", "m.Q4_1.gguf.lock", "m.Q4_1.gguf.stamp"]
    );
    assert_eq!(progress.works.last().unwrap(), &("downloading m.Q4_1.gguf".to_owned(), 300_000, 300_000));
    assert_eq!(bench.server.requests().len(), 2);

    for spec in ["o/r", "o/r:m.Q4_1.gguf"] {
        let choice = Choice::Hub(spec.parse().unwrap());
        assert_eq!(ensure(&choice, &bench.environment, &mut Recorder::default()).unwrap(), path);
    }
    assert_eq!(bench.server.requests().len(), 2, "the cache needs no network");
}

#[test]
fn a_file_can_be_named_or_meant_by_its_quantisation() {
    let bytes = model_bytes(1000);
    let bench = Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("a b/m-Q8_0.gguf", &bytes), ("m-Q4_0.gguf", b"GGUF")]),
        "/o/r/resolve/main/a%20b/m-Q8_0.gguf" => file(request, &bytes, "\"1\""),
        other => panic!("{other}"),
    });
    let path = bench.fetch("o/r:q8_0").unwrap();
    assert_eq!(path, bench.folder.path().join("models/hub/o--r/a b/m-Q8_0.gguf"));
    assert_eq!(bench.server.requests().len(), 2);
    assert_eq!(bench.fetch("o/r:q8_0").unwrap(), path);
    assert_eq!(bench.fetch("o/r:a b/m-Q8_0.gguf").unwrap(), path);
    assert_eq!(bench.server.requests().len(), 2);
}

#[test]
fn a_list_in_pages_is_read_to_its_end() {
    let bytes = model_bytes(1000);
    let bench = Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("m.F16.gguf", b"GGUF")])
            .with("Link", "</api/models/o/r/tree/main?recursive=true&cursor=x>; rel=\"next\""),
        "/api/models/o/r/tree/main?recursive=true&cursor=x" => listing(&[("m.Q4_0.gguf", &bytes)]),
        "/o/r/resolve/main/m.Q4_0.gguf" => file(request, &bytes, "\"1\""),
        other => panic!("{other}"),
    });
    assert!(bench.fetch("o/r").unwrap().ends_with("m.Q4_0.gguf"));
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let bytes = model_bytes(1000);
    let cdn = Server::start(move |request, _| file(request, &bytes, "\"1\""));
    let away = format!("{}/blob?signature=s", cdn.url());
    let mut bench = Bench::new(move |request, _| match request.target.as_str() {
        // The list does not know the digest; the hub's own redirect does.
        LISTING => Answer::new(200, r#"[{"type":"file","path":"m.gguf","size":1000}]"#),
        "/o/r/resolve/main/m.gguf" => redirect("/moved/m.gguf"),
        "/moved/m.gguf" => redirect(&away)
            .with("X-Linked-ETag", format!("\"{}\"", digest(&model_bytes(1000))))
            .with("X-Linked-Size", 1000),
        other => panic!("{other}"),
    });
    bench.environment.token = Token::new("hf_secret");
    bench.fetch("o/r").unwrap();
    for request in bench.server.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer hf_secret"), "{}", request.target);
    }
    let [asked] = &cdn.requests()[..] else { panic!("one request to the other host") };
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.target, "/blob?signature=s");
}

#[test]
fn a_cut_connection_is_continued() {
    let bytes = model_bytes(3_000_000);
    let bench = Bench::new(move |request, number| match (request.target.as_str(), number) {
        (LISTING, _) => listing(&[("m.gguf", &bytes)]),
        (_, 1) => file(request, &bytes, "\"v1\"").cut(1_200_000),
        (_, 2) => file(request, &bytes, "\"v1\"").cut(5).ending(End::Stall),
        _ => file(request, &bytes, "\"v1\""),
    });
    let path = bench.fetch("o/r").unwrap();
    assert_eq!(fs::read(path).unwrap(), model_bytes(3_000_000));
    let requests = bench.server.requests();
    assert_eq!(requests[1].header("range"), None);
    for (request, from) in [(&requests[2], 1_200_000), (&requests[3], 1_200_005)] {
        assert_eq!(request.header("range"), Some(format!("bytes={from}-").as_str()));
        assert_eq!(request.header("if-range"), Some("\"v1\""));
    }
    assert_eq!(bench.waits_s(), [1, 2]);
}

#[test]
fn a_later_call_continues_what_an_earlier_one_left() {
    let bytes = model_bytes(500_000);
    let bench = Bench::new(move |request, number| match (request.target.as_str(), number) {
        (LISTING, _) => listing(&[("m.gguf", &bytes)]),
        (_, 1) => file(request, &bytes, "\"v1\"").cut(100_000),
        (_, 2..=5) => Answer::new(503, "busy"),
        _ => file(request, &bytes, "\"v1\""),
    });
    bench.fetch("o/r").unwrap_err();
    assert_eq!(bench.waits_s(), [1, 2, 4, 8]);
    assert_eq!(fs::metadata(bench.hub_file("m.gguf.part")).unwrap().len(), 100_000);

    let path = bench.fetch("o/r").unwrap();
    assert_eq!(fs::read(path).unwrap(), model_bytes(500_000));
    let last = bench.server.requests().pop().unwrap();
    assert_eq!(last.header("range"), Some("bytes=100000-"));
    assert!(!bench.hub_file("m.gguf.part").exists() && !bench.hub_file("m.gguf.part.json").exists());
}

#[test]
fn a_server_that_cannot_continue_sends_all_again() {
    for broken in [
        // It knows no ranges.
        |answer: Answer, bytes: &[u8]| Answer {
            status: 200,
            body: bytes.to_vec(),
            sent: bytes.len(),
            ..answer
        },
        // It has another version and does not look at If-Range.
        |answer: Answer, _: &[u8]| {
            Answer { headers: vec![], ..answer }
                .with("Content-Range", "bytes 100000-499999/500000")
                .with("ETag", "\"v2\"")
        },
        // It sends another part than was asked for.
        |answer: Answer, _: &[u8]| {
            Answer { headers: vec![], ..answer }
                .with("Content-Range", "bytes 0-399999/500000")
                .with("ETag", "\"v1\"")
        },
        |_: Answer, _: &[u8]| Answer::new(416, "<html>no</html>").with("Content-Type", "text/html"),
    ] {
        let bytes = model_bytes(500_000);
        let bench = Bench::new(move |request, number| match (request.target.as_str(), number) {
            (LISTING, _) => listing(&[("m.gguf", &bytes)]),
            (_, 1) => file(request, &bytes, "\"v1\"").cut(100_000),
            (_, 2) => broken(file(request, &bytes, "\"v1\""), &bytes),
            _ => file(request, &bytes, "\"v1\""),
        });
        let path = bench.fetch("o/r").unwrap();
        assert_eq!(fs::read(path).unwrap(), model_bytes(500_000));
        assert_eq!(bench.server.requests()[2].header("range"), Some("bytes=100000-"));
    }
}

#[test]
fn a_weak_tag_is_not_relied_on() {
    let bytes = model_bytes(500_000);
    let bench = Bench::new(move |request, number| match (request.target.as_str(), number) {
        (LISTING, _) => listing(&[("m.gguf", &bytes)]),
        (_, 1) => file(request, &bytes, "W/\"v1\"").cut(100_000),
        _ => file(request, &bytes, "W/\"v1\""),
    });
    bench.fetch("o/r").unwrap();
    assert_eq!(bench.server.requests()[2].header("range"), None);
}

#[test]
fn a_damaged_part_is_thrown_away() {
    let bytes = model_bytes(500_000);
    let bench = Bench::new(move |request, number| match (request.target.as_str(), number) {
        (LISTING, _) => listing(&[("m.gguf", &bytes)]),
        (_, 1) => file(request, &bytes, "\"v1\"").cut(100_000),
        (_, 2..=5) => Answer::new(503, "busy"),
        _ => file(request, &bytes, "\"v1\""),
    });
    bench.fetch("o/r").unwrap_err();
    let part = bench.hub_file("m.gguf.part");
    let mut damaged = fs::read(&part).unwrap();
    damaged[50_000] ^= 1;
    fs::write(&part, damaged).unwrap();
    let mut progress = Recorder::default();
    let path = hub_model(&HubSpec::parse("o/r").unwrap(), &bench.environment, &mut progress).unwrap();
    assert_eq!(fs::read(path).unwrap(), model_bytes(500_000));
    assert!(progress.notes.iter().any(|note| note.contains("starting again")), "{:?}", progress.notes);
}

#[test]
fn a_part_of_another_version_is_thrown_away() {
    let (old, new) = (model_bytes(500_000), model_bytes(400_000));
    let bench = Bench::new(move |request, number| match (request.target.as_str(), number) {
        (LISTING, 0) => listing(&[("m.gguf", &old)]),
        (_, 1) => file(request, &old, "\"v1\"").cut(100_000),
        (_, 2..=5) => Answer::new(503, "busy"),
        (LISTING, _) => listing(&[("m.gguf", &new)]),
        _ => file(request, &new, "\"v2\""),
    });
    bench.fetch("o/r").unwrap_err();
    let path = bench.fetch("o/r").unwrap();
    assert_eq!(fs::read(path).unwrap(), model_bytes(400_000));
    assert_eq!(bench.server.requests().last().unwrap().header("range"), None);
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced() {
    let bytes = model_bytes(100_000);
    let bench = Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("m.gguf", &bytes)]),
        _ => file(request, &bytes, "\"v1\""),
    });
    let path = bench.fetch("o/r").unwrap();
    let touch = |seconds| {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    touch(1_000_000);
    bench.fetch("o/r").unwrap();
    assert_eq!(bench.server.requests().len(), 2, "the content is as it was");

    fs::write(&path, vec![0; 100_000]).unwrap();
    touch(2_000_000);
    bench.fetch("o/r").unwrap();
    assert_eq!(fs::read(&path).unwrap(), model_bytes(100_000));
    assert_eq!(bench.server.requests().len(), 4);
}

#[test]
fn callers_that_start_together_download_once() {
    let bytes = model_bytes(200_000);
    let bench = Bench::new(move |request, _| match request.target.as_str() {
        LISTING => listing(&[("m.gguf", &bytes)]),
        _ => {
            std::thread::sleep(Duration::from_millis(200));
            file(request, &bytes, "\"v1\"")
        }
    });
    let (home, endpoint) = (bench.folder.path(), bench.server.url());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let environment = hub::environment(home, &endpoint, &TestSystem::default());
                let spec = HubSpec::parse("o/r").unwrap();
                let path = hub_model(&spec, &environment, &mut Recorder::default()).unwrap();
                assert_eq!(fs::read(path).unwrap(), model_bytes(200_000));
            });
        }
    });
    let downloads = bench.server.requests().iter().filter(|request| request.target != LISTING).count();
    assert_eq!(downloads, 1);
}
