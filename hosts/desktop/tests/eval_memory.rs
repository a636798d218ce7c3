//! What bounded memory costs, on a small model: nothing where nothing is left out, moved or packed, and something where
//! it is.

mod cli_support;

use agentos_desktop::context::Tables;
use agentos_desktop::device::{Activations, Device, DeviceOptions};
use agentos_desktop::eval::memory::baseline::{Asked, Baseline, h2o, quest};
use agentos_desktop::eval::memory::packing::{self, Way};
use agentos_desktop::eval::memory::relocation::{self, Arrangement, Source};
use agentos_desktop::eval::memory::retrieval::{self, Exam, Question};
use agentos_desktop::eval::memory::{Memory, Setup, Subject, loss};
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::text::Special;
use agentos_hal::{KvType, Limits};
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::system::config::Paging;
use cli_support::{Desk, Tiny};

const ALL: [Memory; 6] =
    [Memory::Full, Memory::Relevance, Memory::Recency, Memory::Window, Memory::H2o, Memory::Quest];

/// Lines that differ, of about so many bytes, each a token.
fn text(bytes: usize) -> String {
    let line = |n: u64| format!("Line {n} has {} and {}.\n", n * n * 7919 % 1009, n * 104_729 % 997);
    let mut text: String = (0..).map(line).take(bytes / 16).collect();
    text.truncate(bytes);
    text
}

/// What is measured, and a device for it.
struct Lab<'l> {
    subject: Subject<'l>,
    file: &'l ModelFile<'l>,
    text: Vec<u32>,
}

impl Lab<'_> {
    fn device(&self, limits: &Limits) -> Device {
        let options =
            DeviceOptions { threads: Some(1), activations: Activations::F32, ..DeviceOptions::cpu() };
        let mut device = Device::open(&options).unwrap();
        device.prepare(&self.file.model, limits, &mut self.file.weights()).unwrap();
        device
    }

    fn setup(&self, memory: Memory, tokens: usize, l1: u32) -> Setup {
        Setup { memory, tokens: tokens as u32, l1, layer: 1, paging: Paging::DEFAULT, packed: false }
    }

    fn logprobs(&self, setup: &Setup, text: &[u32]) -> Vec<f64> {
        let mut device = self.device(&setup.telling_limits(&self.subject, 1));
        loss::logprobs(setup, text, &self.subject, device.tensor_device()).unwrap()
    }
}

fn with_lab<T>(kv: KvType, use_it: impl FnOnce(&Lab<'_>) -> T) -> T {
    let desk = Desk::new(&Tiny { context: 4096, ..Tiny::default() }.gguf());
    let path = desk.model();
    let map = ModelMap::open(&path).unwrap();
    let mut index = model::index(&path, &map).unwrap();
    let file = ModelFile::read(&path, &map, &mut index).unwrap();
    let tokenizer =
        model::tokenizer(&path, &file.vocabulary(&path).unwrap(), file.model.shape.vocab).unwrap();
    let delimiters = tokenizer.delimiter_classes();
    let frequencies: Vec<f64> = file.model.shape.rope.frequencies(&[]).collect();
    let subject =
        Subject { shape: &file.model.shape, delimiters: &delimiters, frequencies: &frequencies, kv };
    let text = tokenizer.encode(&text(2000), Special::AsText).unwrap();
    use_it(&Lab { subject, file: &file, text })
}

fn farthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn nothing_is_lost_where_all_fits_and_something_where_it_does_not() {
    // Keys that are rounded to half precision differ by how slices are laid out, and these weights make much of it.
    with_lab(KvType::F32, |lab| {
        let text = &lab.text[..1000];
        let full = lab.logprobs(&lab.setup(Memory::Full, 1000, 0), text);
        assert!(full.iter().all(|logprob| *logprob < 0.0));
        for memory in ALL {
            // Slices leave a part of their last pages empty.
            let roomy = lab.logprobs(&lab.setup(memory, 1000, 2400), text);
            assert!(farthest(&roomy, &full) < 1e-4, "{memory:?}: {}", farthest(&roomy, &full));
            if memory != Memory::Full {
                let tight = lab.logprobs(&lab.setup(memory, 1000, 192), text);
                assert!(farthest(&tight[..90], &full[..90]) < 1e-4, "{memory:?}");
                assert!(farthest(&tight, &full) > 1e-2, "{memory:?}");
            }
        }
    });
}

/// What is kept depends on the tokens, not on the pieces in which they come; and a place that is gone back to is as it
/// was.
#[test]
fn baselines_read_in_pieces_and_go_back() {
    with_lab(KvType::F16, |lab| {
        let (before, rest) = lab.text[..500].split_at(413);
        let check = |baseline: &mut dyn Baseline, fresh: &mut dyn Baseline| {
            fresh.read(before, Asked::Nothing).unwrap();
            let expected = fresh.read(rest, Asked::Scores).unwrap();
            assert_eq!(expected.len(), rest.len() - 1);
            let mut at = 0;
            for piece in [1, 7, 9, 100, 3].into_iter().cycle() {
                let end = (at + piece).min(before.len());
                assert!(baseline.read(&before[at..end], Asked::Nothing).unwrap().is_empty());
                at = end;
                if at == before.len() {
                    break;
                }
            }
            baseline.mark();
            let _ = baseline.read(&lab.text[900..1000], Asked::Scores).unwrap();
            baseline.go_back().unwrap();
            assert_eq!(baseline.read(rest, Asked::Scores).unwrap(), expected);
            baseline.go_back().unwrap();
            assert_eq!(baseline.read(rest, Asked::Scores).unwrap(), expected);
        };
        let subject = &lab.subject;
        let limits = h2o::limits(subject, 600, 128);
        let (mut one, mut other) = (lab.device(&limits), lab.device(&limits));
        check(
            &mut h2o::H2o::new(subject, one.tensor_device(), 128),
            &mut h2o::H2o::new(subject, other.tensor_device(), 128),
        );
        let limits = quest::limits(subject, 600);
        let (mut one, mut other) = (lab.device(&limits), lab.device(&limits));
        check(
            &mut quest::Quest::new(subject, one.tensor_device(), 128),
            &mut quest::Quest::new(subject, other.tensor_device(), 128),
        );
    });
}

#[test]
fn answers_are_those_of_full_attention_where_all_fits() {
    with_lab(KvType::F32, |lab| {
        let question = |at: usize, answer| Question { tokens: lab.text[at..at + 30].to_vec(), answer };
        let exam = Exam {
            text: lab.text[..900].to_vec(),
            questions: vec![question(1000, 65), question(1100, 70), question(1200, 80)],
            candidates: (65..85).collect(),
        };
        let exams = [exam];
        let run = |memory, l1| {
            let setup = lab.setup(memory, 1000, l1);
            let mut device = lab.device(&setup.limits(&lab.subject));
            let sheet = retrieval::run(&setup, &exams, &lab.subject, device.tensor_device()).unwrap();
            assert_eq!((sheet.questions, sheet.tokens), (3, 930));
            sheet
        };
        let full = run(Memory::Full, 0);
        for memory in ALL {
            let roomy = run(memory, 2400);
            assert!((roomy.logprob - full.logprob).abs() < 1e-4, "{memory:?}");
            assert_eq!((roomy.first, roomy.top4), (full.first, full.top4), "{memory:?}");
            if memory != Memory::Full {
                assert!((run(memory, 192).logprob - full.logprob).abs() > 1e-4, "{memory:?}");
            }
        }
    });
}

#[test]
fn one_passage_behind_its_own_beginning_is_as_computed_there() {
    with_lab(KvType::F16, |lab| {
        let (before, text) = lab.text.split_at(relocated_from(lab));
        let cases = relocation::cases(&[text.to_vec()], lab.subject.delimiters, (48, 16), Source::Same, 3);
        let mut device = lab.device(&relocation::limits(before, &cases, &lab.subject, 4096));
        let mut told = 0;
        let found = relocation::measure(before, &cases, &lab.subject, device.tensor_device(), &mut |_| {
            told += 1;
        })
        .unwrap();
        assert_eq!((found.len(), told, cases.len()), (9, 3, 3));
        for one in &found {
            assert_eq!((one.cases, one.distance.tokens), (3, 48));
            let last = |case: &relocation::Case| {
                case.passages[4 - one.passages as usize..].iter().map(Vec::len).sum::<usize>() as u64
            };
            let tokens = cases.iter().map(last).sum::<u64>();
            let is_mapped = one.arrangement != Arrangement::Absent;
            assert_eq!(one.mapped, if is_mapped { tokens } else { 0 }, "{one:?}");
            let is_exact = one.passages == 1 && one.arrangement == Arrangement::Behind;
            assert_eq!(one.distance.kl == 0.0 && one.distance.top1 == 1.0, is_exact, "{one:?}");
            assert!(is_exact || one.distance.kl > 1e-7, "{one:?}");
        }
    });
}

/// Where whole slices of the text end that are a beginning.
fn relocated_from(lab: &Lab<'_>) -> usize {
    let (ends, _) = agentos_desktop::slicing::runner::slices_of(&lab.text, lab.subject.delimiters);
    ends.into_iter().find(|&end| end >= 60).unwrap() as usize
}

#[test]
fn lossless_pages_cost_nothing_and_planted_errors_do() {
    with_lab(KvType::F16, |lab| {
        let case = packing::case(&lab.text, lab.subject.delimiters, 512, 40).unwrap();
        assert!(case.context.len() > 440 && case.text.len() == 40);
        let limits = packing::limits(600, &lab.subject, 4096).unwrap();
        let mut device = lab.device(&limits);
        let mut tables = Tables::new(limits, lab.subject.delimiters.to_vec());
        let (mut sequence, mut pool) = tables.start().unwrap();
        let costs = packing::measure_encodings(
            std::slice::from_ref(&case),
            (&mut sequence, &mut pool),
            &lab.subject,
            device.tensor_device(),
        )
        .unwrap();
        let kl = |way: Way| costs.iter().find(|cost| cost.way == way).unwrap().distance.kl;
        assert_eq!(kl(Way::Lossless), 0.0);
        assert!(kl(Way::Int8) > 0.0);
        assert!(kl(Way::K4V4) > kl(Way::Int8) && kl(Way::K4V4Sink) > kl(Way::Int8), "{costs:?}");
        assert!(costs.iter().all(|cost| cost.pages > 50 && cost.distance.tokens == 40));
        // A slice whose values are lost is no small error.
        let bytes = Packing::of(lab.subject.shape, lab.subject.kv).image_bytes();
        let mut follow = |lost: Option<usize>| {
            let keep: packing::Keep<'_> = &mut |slice, _, images: Vec<u8>| {
                if Some(slice) == lost { vec![0; images.len()] } else { images }
            };
            let at = (&mut sequence, &mut pool);
            packing::follow(&case, at, device.tensor_device(), bytes, keep).unwrap().0
        };
        let mut distance = agentos_desktop::distribution::Distance::default();
        distance.add(&follow(None), &follow(Some(3)));
        assert!(distance.kl > 1e-6 && distance.tokens == 40, "{distance:?}");
    });
}

#[test]
fn the_kernel_packs_what_it_leaves_out_and_nothing_else() {
    with_lab(KvType::F16, |lab| {
        let case = packing::case(&lab.text, lab.subject.delimiters, 1500, 64).unwrap();
        let cost = |l1| {
            let setup = Setup { packed: true, ..lab.setup(Memory::Relevance, 1600, l1) };
            let mut device = lab.device(&setup.telling_limits(&lab.subject, 4096));
            let cases = std::slice::from_ref(&case);
            packing::measure_kernel(&setup, cases, &lab.subject, device.tensor_device()).unwrap()
        };
        let roomy = cost(3600);
        assert_eq!((roomy.pages, roomy.distance.kl), (0, 0.0));
        let tight = cost(192);
        assert!(tight.pages > 0 && tight.distance.kl > 0.0 && tight.distance.kl < 0.1, "{tight:?}");
    });
}

/// All measurements by the program, on a model that knows too few words for exams.
#[test]
fn the_program_measures_and_draws() {
    let desk = Desk::new(&Tiny { context: 4096, ..Tiny::default() }.gguf());
    desk.put("text.txt", text(2000).as_bytes());
    let eval = |arguments: &[&str]| {
        let line = ["eval", "memory", arguments[0], "text.txt", "--model", "model.gguf"];
        desk.agentos([&line[..], &arguments[1..]].concat())
    };
    let loss = eval(&["loss", "--tokens", "760", "--json", "--svg", "loss.svg"]).json();
    let names: Vec<&str> =
        loss.as_array().unwrap().iter().map(|one| one["memory"].as_str().unwrap()).collect();
    // A fourth and an eighth of the text are both less than what an agent works in.
    assert_eq!(names, ["full", "relevance", "recency", "window", "h2o", "quest"]);
    assert_eq!((&loss[0]["gap"], &loss[4]["tokens"]), (&0.0.into(), &760.into()));
    let moved =
        eval(&["relocation", "--passage", "32", "--judged", "8", "--cases", "2", "--svg", "moved.svg"]);
    let moved = moved.printed();
    assert!(moved.starts_with("passages are") && moved.lines().count() == 10, "{moved}");
    let packed = eval(&["packing", "--tokens", "700", "--judged", "16", "--svg", "packed.svg"]).printed();
    assert!(packed.contains("K4V4, sink kept full"), "{packed}");
    for (name, bars) in [("loss", 5), ("moved", 15), ("packed", 5)] {
        let svg = std::fs::read_to_string(desk.path(&format!("{name}.svg"))).unwrap();
        assert_eq!(svg.matches("<title>").count(), bars, "{name}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
    eval(&["retrieval"]).refuses(1, &["the tokenizer has ", "20 would do"]);
    eval(&["loss", "--tokens", "3000"]).refuses(1, &["the files have ", " 3000 are needed"]);
    eval(&["loss", "--tokens", "5000"]).refuses(1, &["--tokens 4096 would fit"]);
    eval(&["loss", "--tokens", "760", "--layer", "99"]).refuses(1, &["--layer 99", "would fit"]);
    eval(&["relocation", "--from", "different"]).refuses(1, &["need 4 files that differ", "--from same"]);
    eval(&["packing", "--tokens", "5000"]).refuses(1, &["the files have "]);
    eval(&["retrieval", "--tokens", "8192", "--memory", "window,quest"]).refuses(1, &["by quest only up to"]);
    eval(&["retrieval", "--tokens", "600,700,800", "--l1", "192,256"])
        .refuses(1, &["--l1 has 2", "--tokens 3"]);
    let help = desk.agentos(["eval", "memory", "--help"]).printed();
    for name in ["retrieval", "loss", "relocation", "packing"] {
        assert!(help.contains(name), "{help}");
    }
}
