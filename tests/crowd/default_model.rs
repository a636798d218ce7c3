//! The default model on the CPU: sixteen agents of up to 300 tokens in page memory for 1,024. It has to be on
//! this machine: `cargo xtask model` brings it.

use agentos_desktop::context::Tables;
use agentos_desktop::device::{Device, DeviceOptions};
use agentos_desktop::text::Special;
use agentos_hal::{Limits, TensorDevice};
use agentos_kernel::agent::{Priority, Spec};
use agentos_kernel::layout::{Delimiter, SliceLimits};
use agentos_kernel::sample::Sampler;
use agentos_kernel::sequence::Tick;
use agentos_kernel::system::Config;
use agentos_tests::default_model::{DefaultModel, with_default_model};

use super::team::{Team, spec};

const AGENTS: u16 = 16;
const PROMPT: usize = 100;
const ANSWER: u32 = 200;
const CONTEXT: u32 = PROMPT as u32 + ANSWER;

/// Page memory for 1,024 tokens, of eight each.
const CONFIG: Config = Config::new(AGENTS, CONTEXT, 1024 / 8, 1100).checked();

const LINES: [&str; 4] = [
    "The harbour was quiet that morning, and the boats lay still on the grey water. ",
    "A kernel decides which program runs next; it never asks the programs. ",
    "Rivers carry sand to the sea, year after year, and the coast moves on. ",
    "She counted the coins twice, wrote the sum in the book, and closed it. ",
];

#[test]
fn sixteen_agents_that_overcommit_the_memory_all_finish_as_if_alone() {
    with_default_model(all_finish);
}

fn all_finish(model: &DefaultModel<'_>) {
    let (file, tokenizer) = (&model.file, model.tokenizer());
    let delimiters = tokenizer.delimiter_classes();
    let agent = |tag: u64| {
        let text = LINES[tag as usize % LINES.len()].repeat(12);
        let mut prompt = tokenizer.encode(&text, Special::AsText).unwrap();
        prompt.truncate(PROMPT);
        assert_eq!(prompt.len(), PROMPT);
        // Some are more urgent than others, and hold them up.
        let priority = Priority::new((tag % 3) as u8).unwrap();
        (Spec { priority, ..spec(tag, CONTEXT, ANSWER) }, prompt)
    };
    let agents: Vec<(Spec, Vec<u32>)> = (0..u64::from(AGENTS)).map(agent).collect();

    let open = |threads, limits: &Limits| {
        let mut device = Device::open(&DeviceOptions { threads, ..DeviceOptions::cpu() }).unwrap();
        device.prepare(&file.model, limits, &mut file.weights()).unwrap();
        device
    };
    let shape = &file.model.shape;
    let limits = CONFIG.device_limits(shape);
    let mut device = open(Some(2), &limits);
    let team = Team::run(CONFIG, shape, delimiters.clone(), Vec::new(), device.tensor_device(), &agents);
    drop(device);

    let pages = SliceLimits::DEFAULT.worst_pages(CONTEXT);
    let mut device = open(Some(1), &Limits { rows: 7, pages, ..limits });
    for (spec, prompt) in &agents {
        let expected = alone(device.tensor_device(), &limits, pages, &delimiters, spec, prompt);
        assert_eq!(team.given[&spec.tag], expected, "agent {}", spec.tag);
    }
    assert!(team.paged_in > 0 && team.recomputed == 0);
    assert!(team.shared > 0, "agents with the same prompt share it");
}

/// What one agent says on a device of its own, with one thread and another chunk.
fn alone(
    device: &mut dyn TensorDevice,
    limits: &Limits,
    pages: u32,
    delimiters: &[Delimiter],
    spec: &Spec,
    prompt: &[u32],
) -> Vec<(u32, u32)> {
    let sampler = Sampler::new(spec.sampling).unwrap();
    let mut tables = Tables::new(Limits { rows: 7, pages, ..*limits }, delimiters.to_vec());
    let (mut sequence, mut pool) = tables.start().unwrap();
    sequence.push(prompt, &mut pool).unwrap();
    let mut given = Vec::new();
    loop {
        while sequence.tick(device).unwrap() != Tick::Idle {}
        let choice = sequence.choose(&sampler).unwrap();
        given.push((choice.token, choice.logit.to_bits()));
        if given.len() == ANSWER as usize {
            return given;
        }
        sequence.push(&[choice.token], &mut pool).unwrap();
    }
}
