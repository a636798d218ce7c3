//! Which of its tools an agent calls, by what a model makes of its prompt.

mod cli_support;

use std::sync::Arc;

use agentos_desktop::device::{Device, DeviceOptions};
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team::tools::{Question, by_likeness};
use agentos_tools::calculator::calculator;
use agentos_tools::clock::clock;
use agentos_tools::{Descriptor, Pool, PoolLimits};

/// The calculator and the clock, without their examples where that is wanted.
fn tools(examples: bool) -> Vec<Descriptor> {
    let pool = Pool::new(PoolLimits { threads: 1.try_into().unwrap(), queue: 1 }, || ());
    let now = Arc::new(std::time::SystemTime::now);
    let mut tools = vec![calculator(&pool).unwrap().descriptor, clock(now, &pool).unwrap().descriptor];
    if !examples {
        tools.iter_mut().for_each(|tool| tool.examples.clear());
    }
    tools
}

#[test]
fn a_request_goes_to_the_tool_whose_example_it_is_and_its_neighbours_change_nothing() {
    let desk = cli_support::Desk::tiny();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    let tokenizer = model::tokenizer(&desk.model(), &vocabulary, file.model.shape.vocab).unwrap();
    let mut device = Device::open(&DeviceOptions::cpu()).unwrap();
    let (shown, bare) = (tools(true), tools(false));
    let requests: Vec<(usize, &str)> = shown
        .iter()
        .enumerate()
        .flat_map(|(tool, known)| known.examples.iter().map(move |example| (tool, example.request.as_str())))
        .collect();
    let mut choose =
        |questions: &[Question<'_>]| by_likeness(questions, &file, &tokenizer, &mut device).unwrap();
    let of = |request, tools| Question { request, tools };
    let questions: Vec<_> = requests.iter().map(|(_, request)| of(*request, &shown[..])).collect();
    let right: Vec<usize> = requests.iter().map(|(tool, _)| *tool).collect();
    assert_eq!(choose(&questions), right);
    // Each is chosen for as if it were alone, with examples or without.
    let questions: Vec<_> = requests.iter().map(|(_, request)| of(*request, &bare[..])).collect();
    let together = choose(&questions);
    for (question, chosen) in questions.iter().zip(&together) {
        assert_eq!(choose(std::slice::from_ref(question)), [*chosen]);
    }
}
