//! Agents that write calls in a form, with threads that prepare it beside the run and without.

mod cli_support;

use std::sync::Arc;

use agentos_desktop::constraint;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team::tools::{Caller, Callers, Crew, Settled, Stage, Written, words};
use agentos_desktop::text::Tokenizer;
use agentos_grammar::{Grammar, Vocabulary};
use agentos_hal::LateMasks;
use agentos_kernel::agent::AgentId;
use agentos_kernel::guard::{Allowed, Guard};
use agentos_tools::calculator::calculator;
use agentos_tools::{Descriptor, Pool, PoolLimits};

fn tokenizer() -> Arc<Tokenizer> {
    let desk = cli_support::Desk::tiny();
    let map = ModelMap::open(&desk.model()).unwrap();
    let mut index = model::index(&desk.model(), &map).unwrap();
    let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
    let vocabulary = file.vocabulary(&desk.model()).unwrap();
    Arc::new(model::tokenizer(&desk.model(), &vocabulary, file.model.shape.vocab).unwrap())
}

fn descriptor() -> Descriptor {
    let limits = PoolLimits { threads: 1.try_into().unwrap(), queue: 1 };
    calculator(&Pool::new(limits, || ())).unwrap().descriptor
}

const AGENT: AgentId = AgentId { index: 3, generation: 1 };

/// Follows a call token by token on a device that does this with late masks; returns the masks before each token,
/// whether some came later, and the call.
fn follow(
    vocabulary: &Vocabulary,
    tokenizer: &Tokenizer,
    (crew, late): (Crew, LateMasks),
    said: &[u8],
) -> (Vec<Vec<u32>>, bool, Written) {
    let has_crew = crew.has_processors();
    let mut callers = Callers::new(1, vocabulary.clone(), crew);
    callers.enrol(0, ([descriptor()].iter(), &words::plain_shape()), None).unwrap();
    callers.settle(AGENT, 0);
    let mut caller = Caller::new(Stage::Writing { tool: Some(0), from: 2, most: 99 }, Vec::new(), None, "x");
    callers.hold(0, &caller.stage, &[]).unwrap();
    let (mut log, mut masks, mut any_later) = (vec![0, 0], Vec::new(), false);
    for &byte in said {
        let mut mask = vec![0; vocabulary.mask_words()];
        match callers.next(AGENT, &mut mask, late) {
            Allowed::Later => {
                any_later = true;
                assert_eq!(callers.next(AGENT, &mut mask, LateMasks::Refused), Allowed::Masked);
                // In a step that is laid out once more it is there at once, unless the crew is looking whether it is.
                let mut again = vec![0; vocabulary.mask_words()];
                match callers.next(AGENT, &mut again, late) {
                    Allowed::Later => assert!(has_crew),
                    allowed => assert_eq!((allowed, &again), (Allowed::Masked, &mask)),
                }
            }
            allowed => assert_eq!(allowed, Allowed::Masked),
        }
        masks.push(mask);
        log.push(u32::from(byte));
        callers.said(0, &mut caller, (u32::from(byte), ""), (log.len() as u32, 99)).unwrap();
        callers.find_next();
        let written =
            callers.settled(0, (&caller.stage, ""), &log, &|tokens| tokenizer.decode(tokens)).unwrap();
        if let Some(written) = written {
            let Settled::Call(written) = written else { panic!("{written:?}") };
            let mut mask = vec![0; vocabulary.mask_words()];
            assert_eq!(callers.next(AGENT, &mut mask, late), Allowed::Anything);
            return (masks, any_later, written);
        }
    }
    panic!("the call is never whole");
}

#[test]
fn masks_are_those_of_the_grammar_whoever_makes_them() {
    let tokenizer = tokenizer();
    let vocabulary = constraint::vocabulary(&tokenizer).unwrap();
    let said = br#"{"expression": "17 * 23"}"#;
    let mut matcher = Grammar::json_schema(&vocabulary, &descriptor().arguments).unwrap().matcher();
    let expected: Vec<Vec<u32>> = said
        .iter()
        .map(|&byte| {
            let mut mask = vec![0; vocabulary.mask_words()];
            matcher.mask(&mut mask).unwrap();
            matcher.accept(u32::from(byte)).unwrap();
            mask
        })
        .collect();
    use LateMasks::{Beside, InPoll, Refused};
    // With a crew it depends on how fast that is.
    for (crew, late, comes_later) in [
        (Crew::of(2), Refused, Some(false)),
        (Crew::of(4), Refused, Some(false)),
        (Crew::default(), Refused, Some(false)),
        (Crew::of(2), InPoll, Some(false)),
        (Crew::of(4), InPoll, None),
        (Crew::of(2), Beside, Some(true)),
        (Crew::of(4), Beside, None),
    ] {
        let (masks, later, written) = follow(&vocabulary, &tokenizer, (crew, late), said);
        assert_eq!(masks, expected);
        assert!(comes_later.is_none_or(|comes| comes == later), "{late:?}");
        assert_eq!(
            written,
            Written { tool: 0, arguments: String::from_utf8(said.to_vec()).unwrap(), cut: None, from: 2 }
        );
    }
}

#[test]
fn a_token_that_is_not_of_the_form_is_told() {
    let tokenizer = tokenizer();
    let vocabulary = constraint::vocabulary(&tokenizer).unwrap();
    for crew in [Crew::of(2), Crew::of(4), Crew::default()] {
        let mut callers = Callers::new(1, vocabulary.clone(), crew);
        callers.enrol(0, ([descriptor()].iter(), &words::plain_shape()), None).unwrap();
        let mut caller =
            Caller::new(Stage::Writing { tool: Some(0), from: 0, most: 99 }, Vec::new(), None, "x");
        callers.hold(0, &caller.stage, &[]).unwrap();
        callers.said(0, &mut caller, (u32::from(b'x'), "x"), (1, 99)).unwrap();
        callers.find_next();
        assert!(callers.settled(0, (&caller.stage, ""), &[u32::from(b'x')], &|_| String::new()).is_err());
    }
}
