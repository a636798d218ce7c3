//! Calls of functions as peripherals: what they come to, and how they end.

mod rig;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;

use agentos_hal::{CallNumber, PeripheralError};
use agentos_tools::worker::tool;
use agentos_tools::{
    Access, Collected, Descriptor, Effect, Example, Function, Pool, PoolLimits, Registry, RegistryError,
    Stop, Tool, ToolFailure, ToolNumber, Urgency,
};
use rig::{LONG, call, pool, until, wait};
use serde_json::{Value, json};

fn descriptor(name: &str) -> Descriptor {
    Descriptor {
        name: name.to_owned(),
        description: "For tests.".to_owned(),
        arguments: json!({
            "type": "object",
            "properties": { "n": { "type": "integer", "minimum": 0 } },
            "required": ["n"],
        }),
        output: None,
        access: Access::None,
        effect: Effect::None,
        urgency: Urgency::High,
        timeout: LONG,
        attempts: 1,
        output_bytes: 64,
        output_tokens: 16,
        examples: vec![Example { request: "Three, please.".to_owned(), arguments: json!({ "n": 3 }) }],
    }
}

fn made(function: impl Function, pool: &Pool) -> Tool {
    tool(descriptor("test"), function, pool).unwrap()
}

/// A function that says when it begins and waits until it is given up.
fn hanging(begun: Sender<u64>) -> impl Function {
    let begun = std::sync::Mutex::new(begun);
    move |arguments: &Value, stop: &Stop| {
        begun.lock().unwrap().send(arguments["n"].as_u64().unwrap()).unwrap();
        stop.wait(LONG);
        Ok(b"given up".to_vec())
    }
}

fn started(tool: &mut Tool, number: u64) -> Result<(), PeripheralError> {
    let arguments = json!({ "n": number }).to_string();
    tool.peripheral.start(CallNumber(number), arguments.as_bytes(), &mut Collected::new(1000))
}

#[test]
fn a_result_comes_once() {
    let mut tool =
        made(|arguments: &Value, _: &Stop| Ok(format!("got {}", arguments["n"]).into_bytes()), &pool());
    started(&mut tool, 5).unwrap();
    assert_eq!(wait(tool.peripheral.as_mut(), CallNumber(5)), (Ok(()), "got 5".to_owned()));
    let again = tool.peripheral.poll(CallNumber(5), &mut Collected::new(10));
    assert_eq!(again, Poll::Ready(Err(PeripheralError::NoCall)));
}

#[test]
fn arguments_that_do_not_fit_begin_nothing() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let count = move |_: &Value, _: &Stop| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(Vec::new())
    };
    let mut tool = made(count, &pool());
    let (error, why) = call(&mut tool, &json!({ "n": -1 })).unwrap_err();
    assert_eq!(error, PeripheralError::Refused);
    assert!(why.contains("at /n is the number -1, where a number of 0 or more would fit"), "{why}");
    let (error, why) = call(&mut tool, &json!([])).unwrap_err();
    assert_eq!(error, PeripheralError::Refused);
    assert!(why.contains("a value of type object would fit"), "{why}");
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[test]
fn what_a_function_would_not_do_is_refused_before_it_begins() {
    struct Picky;
    impl Function for Picky {
        fn check(&self, arguments: &Value) -> Result<(), ToolFailure> {
            match arguments["n"].as_u64() {
                Some(13) => panic!("on purpose"),
                Some(n) if n > 10 => Err(ToolFailure::refused("at most 10 would do")),
                _ => Ok(()),
            }
        }

        fn call(&self, _: &Value, _: &Stop) -> Result<Vec<u8>, ToolFailure> {
            Ok(b"done".to_vec())
        }
    }
    let mut tool = made(Picky, &pool());
    assert_eq!(call(&mut tool, &json!({ "n": 10 })).unwrap(), "done");
    let refused = (PeripheralError::Refused, "at most 10 would do".to_owned());
    assert_eq!(call(&mut tool, &json!({ "n": 11 })).unwrap_err(), refused);
    assert!(call(&mut tool, &json!({ "n": 13 })).unwrap_err().1.contains("on purpose"));
}

#[test]
fn a_failure_and_a_panic_are_reasons() {
    let broken = |arguments: &Value, _: &Stop| match arguments["n"].as_u64() {
        Some(0) => Err(ToolFailure::failed("no such thing")),
        Some(1) => panic!("a {} panic", "formatted"),
        Some(2) => std::panic::panic_any(5u8),
        _ => Ok(b"fine".to_vec()),
    };
    let mut tool = made(broken, &pool());
    let mut failed = |n: u64| {
        let (error, why) = call(&mut tool, &json!({ "n": n })).unwrap_err();
        assert_eq!(error, PeripheralError::Failed);
        why
    };
    assert_eq!(failed(0), "no such thing");
    assert_eq!(failed(1), "the tool itself broke: a formatted panic");
    assert_eq!(failed(2), "the tool itself broke: for a reason that it does not tell");
    assert_eq!(call(&mut tool, &json!({ "n": 3 })).unwrap(), "fine");
}

#[test]
fn output_beyond_the_limit_is_cut_and_told() {
    let mut tool = made(|_: &Value, _: &Stop| Ok(vec![b'x'; 10_000_000]), &pool());
    let (error, text) = call(&mut tool, &json!({ "n": 0 })).unwrap_err();
    assert_eq!(error, PeripheralError::Output);
    assert_eq!(text, "x".repeat(64));
    // The one who asks may have less room than the tool gives.
    started(&mut tool, 1).unwrap();
    let mut room = Collected::new(10);
    until("the call", || match tool.peripheral.poll(CallNumber(1), &mut room) {
        Poll::Pending => false,
        Poll::Ready(ready) => {
            assert_eq!(ready, Err(PeripheralError::Output));
            true
        }
    });
    assert_eq!(room.bytes(), [b'x'; 10]);
}

#[test]
fn a_full_queue_is_busy_and_then_free_again() {
    let (begun, begins) = channel();
    let limits = PoolLimits { threads: NonZeroUsize::MIN, queue: 1 };
    let pool = Pool::new(limits, || ());
    let mut tool = made(hanging(begun), &pool);
    started(&mut tool, 0).unwrap();
    assert_eq!(begins.recv_timeout(LONG), Ok(0));
    started(&mut tool, 1).unwrap();
    assert_eq!(started(&mut tool, 2), Err(PeripheralError::Busy));
    let unknown = tool.peripheral.poll(CallNumber(2), &mut Collected::new(10));
    assert_eq!(unknown, Poll::Ready(Err(PeripheralError::NoCall)));
    tool.peripheral.cancel(CallNumber(0));
    assert_eq!(begins.recv_timeout(LONG), Ok(1));
    until("a place in the queue", || started(&mut tool, 2).is_ok());
}

#[test]
fn a_call_that_is_given_up_is_told_and_forgotten() {
    let (begun, begins) = channel();
    let (ended, ends) = channel();
    let ended = std::sync::Mutex::new(ended);
    let waits = hanging(begun);
    let function = move |arguments: &Value, stop: &Stop| {
        let result = waits.call(arguments, stop);
        ended.lock().unwrap().send(()).unwrap();
        result
    };
    let mut tool = made(function, &pool());
    started(&mut tool, 0).unwrap();
    begins.recv_timeout(LONG).unwrap();
    assert_eq!(tool.peripheral.poll(CallNumber(0), &mut Collected::new(10)), Poll::Pending);
    tool.peripheral.cancel(CallNumber(0));
    ends.recv_timeout(LONG).unwrap();
    let after = tool.peripheral.poll(CallNumber(0), &mut Collected::new(10));
    assert_eq!(after, Poll::Ready(Err(PeripheralError::NoCall)));
    tool.peripheral.cancel(CallNumber(0));
    // Calls end with their tool.
    started(&mut tool, 1).unwrap();
    begins.recv_timeout(LONG).unwrap();
    drop(tool);
    ends.recv_timeout(LONG).unwrap();
}

/// A function that hears nothing hangs on a thread of its own, and the others are served.
#[test]
fn a_function_that_hangs_for_good_stops_nobody_else() {
    let (begun, begins) = channel();
    let (hold, held): (Sender<()>, Receiver<()>) = channel();
    let (begun, held) = (std::sync::Mutex::new(begun), std::sync::Mutex::new(held));
    let deaf = move |_: &Value, _: &Stop| {
        begun.lock().unwrap().send(()).unwrap();
        let _ = held.lock().unwrap().recv();
        Ok(Vec::new())
    };
    let pool = Pool::new(PoolLimits { threads: NonZeroUsize::MIN, queue: 0 }, || ());
    let mut deaf = made(deaf, &pool);
    let mut quick = made(|_: &Value, _: &Stop| Ok(b"quick".to_vec()), &pool);
    started(&mut deaf, 1).unwrap();
    begins.recv_timeout(LONG).unwrap();
    assert_eq!(started(&mut quick, 2), Err(PeripheralError::Busy));
    deaf.peripheral.cancel(CallNumber(1));
    assert_eq!(call(&mut quick, &json!({ "n": 1 })).unwrap(), "quick");
    drop(hold);
}

#[test]
fn a_number_is_one_call() {
    let (begun, _begins) = channel();
    let mut tool = made(hanging(begun), &pool());
    started(&mut tool, 1).unwrap();
    assert_eq!(started(&mut tool, 1), Err(PeripheralError::Refused));
}

#[test]
fn calls_reach_the_tool_that_they_were_started_with() {
    let pool = pool();
    let mut registry = Registry::new();
    for name in ["one", "two"] {
        let answer = move |_: &Value, _: &Stop| Ok(name.as_bytes().to_vec());
        registry.add(tool(descriptor(name), answer, &pool).unwrap()).unwrap();
    }
    let mut output = Collected::new(1000);
    let arguments = br#"{"n":1}"#;
    for (number, name) in [(1, "two"), (2, "one"), (3, "two")] {
        let tool = registry.find(name).unwrap();
        registry.start(CallNumber(number), tool, arguments, &mut output).unwrap();
    }
    assert_eq!(registry.open(), 3);
    let twice = registry.start(CallNumber(1), ToolNumber(0), arguments, &mut output);
    assert_eq!(twice, Err(PeripheralError::Refused));
    registry.cancel(CallNumber(3));
    for (number, name) in [(2, "one"), (1, "two")] {
        output.clear();
        until("the call", || registry.poll(CallNumber(number), &mut output).is_ready());
        assert_eq!(output.text(), name);
    }
    assert_eq!(registry.open(), 0);
    for number in [1, 3] {
        let gone = registry.poll(CallNumber(number), &mut output);
        assert_eq!(gone, Poll::Ready(Err(PeripheralError::NoCall)));
    }
    let none = registry.start(CallNumber(4), ToolNumber(2), arguments, &mut output);
    assert_eq!(none, Err(PeripheralError::Refused));
    let unfit = registry.start(CallNumber(4), ToolNumber(1), b"{}", &mut output);
    assert_eq!(unfit, Err(PeripheralError::Refused));
    assert_eq!(registry.open(), 0);
}

#[test]
fn an_unknown_name_comes_with_the_nearest_one() {
    let mut registry = Registry::new();
    let unknown = registry.find("clock").unwrap_err();
    assert_eq!(unknown.to_string(), "there is no tool `clock`; there are none");
    for name in ["calculator", "read_file", "list_files"] {
        let nothing = |_: &Value, _: &Stop| Ok(Vec::new());
        registry.add(tool(descriptor(name), nothing, &pool()).unwrap()).unwrap();
    }
    let nearest = |name: &str| registry.find(name).unwrap_err().nearest;
    assert_eq!(nearest("Calculater").as_deref(), Some("calculator"));
    assert_eq!(nearest("readfile").as_deref(), Some("read_file"));
    assert_eq!(nearest("lsit_files").as_deref(), Some("list_files"));
    assert_eq!(nearest("weather"), None);
    assert_eq!(nearest(&"x".repeat(1_000_000)), None);
    let text = registry.find("list_file").unwrap_err().to_string();
    let known = "the tools are: calculator, read_file, list_files";
    assert_eq!(text, format!("there is no tool `list_file` (did you mean `list_files`?); {known}"));
}

#[test]
fn a_tool_that_is_not_sound_is_not_taken_in() {
    let mut registry = Registry::new();
    let mut refused = |change: &dyn Fn(&mut Descriptor)| {
        let nothing = |_: &Value, _: &Stop| Ok(Vec::new());
        let mut tool = made(nothing, &pool());
        change(&mut tool.descriptor);
        registry.add(tool)
    };
    assert_eq!(refused(&|_| ()), Ok(ToolNumber(0)));
    assert_eq!(refused(&|_| ()), Err(RegistryError::Duplicate { name: "test".to_owned() }));
    for name in ["", "two words", "a/b", "ü", &"x".repeat(65)] {
        let named = refused(&|descriptor| descriptor.name = name.to_owned());
        assert_eq!(named, Err(RegistryError::Name { name: name.to_owned() }));
    }
    let other = |descriptor: &mut Descriptor| descriptor.name = "other".to_owned();
    let of = |result: Result<ToolNumber, RegistryError>| match result {
        Err(RegistryError::Schema { of, .. }) => of,
        other => panic!("{other:?}"),
    };
    let with = |schema: Value| {
        move |descriptor: &mut Descriptor| {
            descriptor.name = "other".to_owned();
            descriptor.arguments = schema.clone();
        }
    };
    assert_eq!(of(refused(&with(json!({ "type": "objekt" })))), "arguments");
    for schema in [json!({}), json!({ "type": "string" }), json!(true)] {
        let result = refused(&with(schema));
        assert_eq!(result, Err(RegistryError::NoObject { name: "other".to_owned() }));
    }
    let result = refused(&|descriptor| {
        other(descriptor);
        descriptor.output = Some(json!({ "type": 5 }));
    });
    assert_eq!(of(result), "output");
    let result = refused(&|descriptor| {
        other(descriptor);
        descriptor.examples[0].arguments = json!({ "n": "three" });
    });
    assert!(matches!(result, Err(RegistryError::Example { .. })), "{result:?}");
    assert_eq!(refused(&other), Ok(ToolNumber(1)));
}
