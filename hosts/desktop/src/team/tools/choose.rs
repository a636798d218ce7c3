//! Choosing a tool for a request by what the model makes of it: the tool whose example requests have the most
//! similar hidden rows.

use crate::context::{self, CHUNK, Purpose, Tables};
use crate::device::Device;
use crate::model::ModelFile;
use crate::text::Tokenizer;
use crate::tools::hidden::{Pooled, Reading, middle_layers};
use crate::tools::likeness::{Frame, Known, best, calibrate};
use agentos_hal::KvType;
use agentos_tools::Descriptor;

/// Tokens that a request is looked at for; what is longer says the same again.
const CONTEXT: u32 = 512;

/// Characters of a request that are looked at: they are always fewer tokens than fit.
const CHARS: usize = 480;

/// What is to be chosen: a request, and the tools that there are for it.
pub struct Question<'q> {
    /// The request.
    pub request: &'q str,
    /// The tools; at least one.
    pub tools: &'q [Descriptor],
}

/// The tool for each question, by its number. Layer and scale are those that tell the tools' own examples apart.
///
/// # Errors
/// What the device or the model refuses, in words.
pub fn by_likeness(
    questions: &[Question<'_>],
    file: &ModelFile<'_>,
    tokenizer: &Tokenizer,
    device: &mut Device,
) -> Result<Vec<usize>, String> {
    let shape = &file.model.shape;
    let layers = middle_layers(shape.layers);
    let purpose = Purpose { outcomes: 1, candidates: 1, masks: 0, taps: layers.len() as u32, exposed: CHUNK };
    let context = CONTEXT.min(shape.context);
    let limits =
        context::limits(shape, Some(context), KvType::F16, purpose).map_err(|error| error.to_string())?;
    device.prepare(&file.model, &limits, &mut file.weights()).map_err(|error| error.to_string())?;
    let mut tables = Tables::new(limits, tokenizer.delimiter_classes());
    let mut pooled = |text: &str| -> Result<Pooled, String> {
        let end = text.char_indices().nth(CHARS.min(context as usize / 2)).map_or(text.len(), |(end, _)| end);
        let reading = Reading::new(&text[..end], tokenizer).map_err(|error| error.to_string())?;
        let (mut sequence, mut pool) = tables.start().map_err(|error| error.to_string())?;
        let device = device.tensor_device();
        reading
            .pooled(&layers, shape.width as usize, &mut sequence, &mut pool, device)
            .map_err(|error| error.to_string())
    };
    questions.iter().map(|question| choose(question, &mut pooled)).collect()
}

fn choose(
    question: &Question<'_>,
    pooled: &mut dyn FnMut(&str) -> Result<Pooled, String>,
) -> Result<usize, String> {
    let mut examples = Vec::new();
    for (tool, descriptor) in question.tools.iter().enumerate() {
        for example in &descriptor.examples {
            examples.push((tool, pooled(&example.request)?));
        }
        examples.push((tool, pooled(&descriptor.description)?));
    }
    let Some(calibration) = calibrate(&examples) else { return Ok(0) };
    let rows = || examples.iter().map(|(tool, pooled)| (*tool, pooled[calibration.layer].as_slice()));
    let frame = Frame::of(rows().map(|(_, row)| row), calibration.scale);
    let request = pooled(question.request)?;
    let likeness = Known::new(rows(), &frame).likeness(&frame.place(&request[calibration.layer]));
    Ok(best(&likeness).unwrap_or(0))
}
