//! `agentos inspect`: what a model file holds, and what running it takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use agentos_hal::{Caps, Footprint, KvType, Limits, ModelShape, page};
use agentos_kernel::memory::pack::Packing;
use clap::Args;
use serde::Serialize;

use super::calibrate::told;
use super::error::CliError;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::boot::KernelBytes;
use crate::calibration::{Calibration, Known, Origin};
use crate::context::{self, Purpose};
use crate::device::Device;
use crate::fetch::Environment;
use crate::fetch::progress::megabytes;
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::team::runner;
use crate::text::{CallFormat, Template, Tokenizer, Vocabulary};

/// `agentos inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    /// Tokens of context to plan for [default: the model's, at most 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ctx: Option<u32>,
    #[command(flatten)]
    kv: KvOptions,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Everything that is told: the fields of the JSON object.
#[derive(Debug, Serialize)]
struct Sheet {
    name: Option<String>,
    path: String,
    bytes: u64,
    architecture: String,
    layers: u32,
    width: u32,
    ffn: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    trained_context: u32,
    tied_embedding: bool,
    rope: String,
    vocabulary: VocabularySheet,
    quantisations: Vec<Quantisation>,
    kernels: Kernels,
    memory: MemoryPlan,
    team: TeamPlan,
    calibration: CalibrationSheet,
}

#[derive(Debug, Serialize)]
struct CalibrationSheet {
    origin: Origin,
    #[serde(flatten)]
    calibration: Calibration,
}

#[derive(Debug, Serialize)]
struct VocabularySheet {
    tokens: u32,
    kind: String,
    pre: Option<String>,
    chat_template: bool,
    /// There is another one for conversations with tools.
    tool_template: bool,
    /// A call as the template writes it, if it takes tools.
    tool_calls: Option<String>,
    end_tokens: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Quantisation {
    dtype: &'static str,
    tensors: u32,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Kernels {
    backend: &'static str,
    variant: &'static str,
    threads: u32,
}

/// In bytes, for a context of `context` tokens.
#[derive(Debug, Serialize)]
struct MemoryPlan {
    context: u32,
    pages: u32,
    kv_type: &'static str,
    kv_per_token: u64,
    weights: u64,
    kv: u64,
    scratch: u64,
}

/// What the kernel takes for a team whose file says nothing of memory: `agents` contexts of `context`
/// tokens. In bytes but for the counts.
#[derive(Debug, Serialize)]
struct TeamPlan {
    agents: u16,
    context: u32,
    l1_pages: u32,
    l1: u64,
    l2_frames: u32,
    l2: u64,
    tables: u64,
    scratch: u64,
    rows: u32,
}

/// Agents of the team that memory is told for.
const AGENTS: u16 = 8;

impl Inspect {
    pub fn run(&self) -> Result<(), CliError> {
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let sheet = self.sheet(&path, &file)?;
        let mut console = StdConsole(std::io::stdout().lock());
        if self.json {
            return output::write_json(&mut console, &sheet);
        }
        let mut text = String::new();
        output::push_harmless(&sheet.text(), &mut text);
        output::write_all(&mut console, &text)
    }

    fn sheet(&self, path: &Path, file: &ModelFile<'_>) -> Result<Sheet, CliError> {
        let shape = &file.model.shape;
        let purpose = Purpose::GENERATE;
        let limits = context::limits(shape, self.ctx, self.kv.kv(), purpose)?;
        let mut device = Device::open(&self.compute.device())?;
        let footprint = device.footprint(&file.model, &limits, &mut file.weights())?;
        let caps = device.tensor_device().caps();
        let team = team_plan(&mut device, file, &limits)?;
        let vocabulary = file.vocabulary(path)?;
        let tokenizer = model::tokenizer(path, &vocabulary, shape.vocab)?;
        let mut known = Known::told(file, &Environment::from_process());
        // As many numbers as a row has, that tell a reader nothing.
        known.calibration.centre.clear();
        Ok(Sheet {
            name: file.name().map(str::to_owned),
            path: path.display().to_string(),
            bytes: file.map.bytes().len() as u64,
            architecture: file.gguf.architecture().unwrap_or_default().to_owned(),
            layers: shape.layers,
            width: shape.width,
            ffn: shape.ffn,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            trained_context: shape.context,
            tied_embedding: shape.tied_embedding,
            rope: rope(shape),
            vocabulary: vocabulary_sheet(&vocabulary, &tokenizer),
            quantisations: quantisations(file),
            kernels: kernels(&caps),
            memory: memory_plan(shape, &limits, &footprint),
            team,
            calibration: CalibrationSheet { origin: known.origin, calibration: known.calibration },
        })
    }
}

fn rope(shape: &ModelShape) -> String {
    let rope = &shape.rope;
    format!(
        "base {}, {} dimensions, pairs {:?}, scaling {:?}",
        rope.base, rope.dims, rope.pairing, rope.scaling
    )
}

fn vocabulary_sheet(vocabulary: &Vocabulary<'_>, tokenizer: &Tokenizer) -> VocabularySheet {
    let tokens = tokenizer.vocab_size();
    let ends = (0..tokens).filter(|&id| tokenizer.is_end_of_generation(id));
    let end_tokens = ends.map(|id| String::from_utf8_lossy(tokenizer.piece(id)).into_owned()).collect();
    let template = Template::of(vocabulary).ok();
    let calls = template.and_then(|template| CallFormat::of(&template, tokenizer, 0));
    VocabularySheet {
        tokens,
        kind: vocabulary.model.to_owned(),
        pre: vocabulary.pre.map(str::to_owned),
        chat_template: vocabulary.chat_template.is_some(),
        tool_template: vocabulary.tool_template.is_some(),
        tool_calls: calls.map(|format| format.example(tokenizer)),
        end_tokens,
    }
}

/// Tensors and bytes of each element type, the most bytes first.
fn quantisations(file: &ModelFile<'_>) -> Vec<Quantisation> {
    let mut found: BTreeMap<&'static str, (u32, u64)> = BTreeMap::new();
    for tensor in file.gguf.tensors() {
        let (tensors, bytes) = found.entry(tensor.info.dtype.name()).or_default();
        *tensors += 1;
        *bytes += tensor.bytes.len() as u64;
    }
    let quantisation = |(dtype, (tensors, bytes))| Quantisation { dtype, tensors, bytes };
    let mut found: Vec<_> = found.into_iter().map(quantisation).collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    found
}

fn kernels(caps: &Caps) -> Kernels {
    Kernels { backend: caps.backend, variant: caps.variant, threads: caps.threads }
}

fn memory_plan(shape: &ModelShape, limits: &Limits, footprint: &Footprint) -> MemoryPlan {
    MemoryPlan {
        context: limits.context,
        pages: limits.pages,
        kv_type: match limits.kv {
            KvType::F16 => "f16",
            KvType::F32 => "f32",
        },
        kv_per_token: (page::image_bytes(shape, limits.kv) / page::PAGE_TOKENS) as u64,
        weights: footprint.weights,
        kv: footprint.pages,
        scratch: footprint.scratch,
    }
}

fn team_plan(device: &mut Device, file: &ModelFile<'_>, limits: &Limits) -> Result<TeamPlan, CliError> {
    let shape = &file.model.shape;
    let config = runner::default_config(AGENTS, limits.context, shape, limits.kv);
    let footprint = device.footprint(&file.model, &config.device_limits(shape), &mut file.weights())?;
    let kernel = KernelBytes::of(&config, &Packing::of(shape, config.kv));
    Ok(TeamPlan {
        agents: config.agents,
        context: config.context,
        l1_pages: config.l1_pages,
        l1: footprint.pages,
        l2_frames: config.l2_frames,
        l2: kernel.arena,
        tables: kernel.tables,
        scratch: footprint.scratch,
        rows: config.rows,
    })
}

impl Sheet {
    /// The same for a person.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<14}{value}").expect("a string takes all text");
        };
        line("model", self.name.clone().unwrap_or_else(|| "(no name)".to_owned()));
        line("file", format!("{} ({})", self.path, megabytes(self.bytes)));
        line(
            "architecture",
            format!(
                "{}, {} layers, width {}, feed-forward {}",
                self.architecture, self.layers, self.width, self.ffn
            ),
        );
        line(
            "attention",
            format!("{} heads of {}, {} key/value heads", self.heads, self.head_dim, self.kv_heads),
        );
        line("rope", self.rope.clone());
        line("context", format!("{} tokens trained", self.trained_context));
        let vocabulary = &self.vocabulary;
        let tied = if self.tied_embedding { "tied" } else { "own" };
        line(
            "vocabulary",
            format!(
                "{} tokens, {} ({}), {tied} output projection",
                vocabulary.tokens,
                vocabulary.kind,
                vocabulary.pre.as_deref().unwrap_or("default")
            ),
        );
        line("ends with", vocabulary.end_tokens.join(" "));
        let templates = match (vocabulary.chat_template, vocabulary.tool_template) {
            (true, true) => "yes, and one for tools",
            (true, false) => "yes",
            (false, true) => "for tools alone",
            (false, false) => "no",
        };
        line("chat template", templates.to_owned());
        if let Some(call) = &vocabulary.tool_calls {
            line("calls tools", format!("{call:?}"));
        }
        for one in &self.quantisations {
            line(
                "weights",
                format!("{:<6} {:>4} tensors {:>12}", one.dtype, one.tensors, megabytes(one.bytes)),
            );
        }
        let Kernels { backend, variant, threads } = &self.kernels;
        line("kernels", format!("{backend}, {variant}, {threads} threads"));
        let memory = &self.memory;
        line(
            "memory",
            format!(
                "{} weights, {} keys and values, {} scratch",
                megabytes(memory.weights),
                megabytes(memory.kv),
                megabytes(memory.scratch)
            ),
        );
        line(
            "",
            format!(
                "for {} tokens of context in {} pages, {} bytes a token in {}",
                memory.context, memory.pages, memory.kv_per_token, memory.kv_type
            ),
        );
        let team = &self.team;
        line(
            "kernel",
            format!(
                "{} page memory (L1), {} arena (L2), {} tables, {} scratch",
                megabytes(team.l1),
                megabytes(team.l2),
                megabytes(team.tables),
                megabytes(team.scratch)
            ),
        );
        line(
            "",
            format!(
                "for a team of {} agents with {} tokens each: {} pages, {} frames, steps of {} rows",
                team.agents, team.context, team.l1_pages, team.l2_frames, team.rows
            ),
        );
        text.push_str(&told(&self.calibration.calibration, self.calibration.origin));
        text
    }
}
