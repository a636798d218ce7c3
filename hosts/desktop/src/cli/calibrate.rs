//! `agentos calibrate`: what is known of a model beside its weights, measured.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::load;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::calibration::measure::{self, Subject, calibrate};
use crate::calibration::{Calibration, Origin, file, known};
use crate::context::Tables;
use crate::fetch::Environment;
use crate::host::StdConsole;
use crate::knowledge::prefix::frame;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::slicing::Runner;
use crate::team::prompt::Chat;
use crate::text::Template;

/// `agentos calibrate`.
#[derive(Args, Debug)]
pub struct Calibrate {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Where it is kept [default: the user's folder, where all commands find it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Sheet<'s> {
    path: String,
    calibration: &'s Calibration,
}

impl Calibrate {
    pub fn run(&self) -> Result<(), CliError> {
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let identity = model::identity(&file);
        let out = match &self.out {
            Some(out) => out.clone(),
            None => known::path(&Environment::from_process(), &identity).ok_or(CliError::NoFolder)?,
        };
        let shape = &file.model.shape;
        let limits = measure::limits(shape, self.kv.kv())?;
        let encode = || {
            let vocabulary = file.vocabulary(&path)?;
            let tokenizer = model::tokenizer(&path, &vocabulary, shape.vocab)?;
            let delimiters = tokenizer.delimiter_classes();
            // A model may have no template, or one that a question does not fit: it is only asked in texts then.
            let turn = Template::of(&vocabulary).ok().and_then(|template| {
                let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };
                Some(frame(&chat, &delimiters).ok()?.after)
            });
            Ok((delimiters, tokenizer, turn.unwrap_or_default()))
        };
        let (mut prepared, (delimiters, tokenizer, turn)) =
            load::prepare(&file, &limits, &self.compute.device(), encode)?;
        let mut tables = Tables::new(limits, delimiters.clone());
        let (mut sequence, mut pool) = tables.start()?;
        let runner =
            Runner::new((&mut sequence, &mut pool), prepared.device.tensor_device(), shape, limits.context);
        let kv = self.kv.kv();
        let mut subject =
            Subject { runner, tokenizer: &tokenizer, delimiters: &delimiters, turn: &turn, shape, kv };
        let calibration = calibrate(&mut subject, &mut |what| eprintln!("measuring: {what}"))?;
        file::write(&out, &calibration, &identity)
            .map_err(|source| CliError::Write { path: out.clone(), source })?;
        let mut console = StdConsole(std::io::stdout().lock());
        if self.json {
            let sheet = Sheet { path: out.display().to_string(), calibration: &calibration };
            return output::write_json(&mut console, &sheet);
        }
        let mut text = told(&calibration, Origin::Measured);
        writeln!(text, "{:<14}{}", "kept in", out.display()).expect("a string takes all text");
        output::write_all(&mut console, &text)
    }
}

/// A calibration in lines for a person.
pub fn told(calibration: &Calibration, origin: Origin) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<14}{value}").expect("a string takes all text");
    };
    let c = calibration;
    let from = match origin {
        Origin::Measured => "measured on this machine",
        Origin::Shipped => "came with the program",
        Origin::Default => "not measured: what is usual (`agentos calibrate` measures)",
    };
    line("calibration", from.to_owned());
    line("sinks", format!("{} tokens", c.sink_tokens));
    line("topics", format!("layer {}, from a change of {:.3} on", c.slicing_layer, c.slicing_threshold));
    line(
        "",
        format!(
            "density: layer {}, {:.3}; attention: layers {} to {}, {:.3}",
            c.density_layer, c.density_threshold, c.attention_first, c.attention_last, c.attention_threshold
        ),
    );
    line(
        "relevance",
        format!("layer {} ({} to {} do)", c.relevance_layer, c.relevance_first, c.relevance_last),
    );
    line("confident", format!("from a probability of {:.2} on", c.confident));
    line("drift", format!("another topic from {:.1} on", c.drift));
    line("duplicates", format!("hashes differ in {} bits at most", c.duplicate_bits));
    if let Some(m) = &c.measured {
        line(
            "measured",
            format!(
                "sinks take {:.0} % of attention; F1 of topics {:.2} (density {:.2}, attention {:.2}); {:.0} % of facts found",
                100.0 * m.sink_share,
                m.slicing_f1,
                m.density_f1,
                m.attention_f1,
                100.0 * m.relevance_found
            ),
        );
        line(
            "",
            format!(
                "{:.1} % of confident tokens stay with less context; drift {:.1} within topics, {:.1} between (AUC {:.2})",
                100.0 * m.confident_same,
                m.drift_same,
                m.drift_different,
                m.drift_auc
            ),
        );
        line(
            "",
            format!(
                "int8 pages cost {:.5} nats and change {:.1} % of tokens",
                m.packing_kl,
                100.0 * (1.0 - m.packing_same)
            ),
        );
    }
    text
}
