//! Tools chosen by likeness, with the default model.
//!
//! The model has to be on this machine: `cargo xtask model` brings it.

mod ready;

use agentos_desktop::tools::likeness::{Frame, Known, best, calibrate};
use ready::Ready;

/// Requests for each of some tools: three examples, then two that are new.
const REQUESTS: [[&str; 5]; 8] = [
    [
        "What is 17 times 23?",
        "How much is 15 % of 240 plus 12?",
        "Add 1250.75 and 349.25 and divide it by 4.",
        "Multiply 12.5 by 8.",
        "How much is 999 minus 123?",
    ],
    [
        "What time is it?",
        "What day of the week is it today?",
        "How late is it in Tokyo now?",
        "Tell me today's date.",
        "What is the current time in Paris?",
    ],
    [
        "What does the file notes.txt say?",
        "Show me the first ten lines of readme.md.",
        "Read lines 50 to 60 of the log.",
        "Open plan.txt and show it to me.",
        "Print the contents of the file config.ini.",
    ],
    [
        "Which files are there?",
        "What is in the folder reports?",
        "Which folders can you see?",
        "List everything in the directory images.",
        "Show me the files in the folder music.",
    ],
    [
        "Which files mention the lighthouse?",
        "Find the line with the budget.",
        "Where is an e-mail address written?",
        "Find all lines that mention the harbour.",
        "In which files does the word keeper occur?",
    ],
    [
        "Get the page about.html.",
        "What does the website say?",
        "Download the list of stations.",
        "Fetch the web page index.html.",
        "Download the page with the prices.",
    ],
    [
        "How warm is it in the room?",
        "What is the air pressure right now?",
        "Is the air humid?",
        "Measure the temperature.",
        "How humid is the room?",
    ],
    [
        "Ask the operator whether we may go on.",
        "Let a person decide which one to take.",
        "Check with the user before you delete it.",
        "Ask somebody for permission.",
        "Let the user choose the colour.",
    ],
];

#[test]
fn tools_are_chosen_by_their_examples() {
    let mut model = Ready::new();
    let mut read = |from: usize, to: usize| -> Vec<_> {
        let mut all = Vec::new();
        for (tool, requests) in REQUESTS.iter().enumerate() {
            all.extend(requests[from..to].iter().map(|request| (tool, model.pooled(request))));
        }
        all
    };
    let (examples, new) = (read(0, 3), read(3, 5));
    let calibration = calibrate(&examples).unwrap();
    let rows = || examples.iter().map(|(tool, pooled)| (*tool, pooled[calibration.layer].as_slice()));
    let frame = Frame::of(rows().map(|(_, row)| row), calibration.scale);
    let known = Known::new(rows(), &frame);
    let likeness = |row: &[f32]| known.likeness(&frame.place(row));
    let right =
        |(tool, row): &&(usize, Vec<Vec<f32>>)| best(&likeness(&row[calibration.layer])) == Some(*tool);
    let right = new.iter().filter(right).count();
    println!("{calibration:?}; of {} new requests {right} go to their tool", new.len());
    // Chance finds one of eight.
    assert!(calibration.right * 2 >= calibration.of, "{calibration:?}");
    assert!(right * 8 >= new.len() * 5, "{right} of {}", new.len());
}
