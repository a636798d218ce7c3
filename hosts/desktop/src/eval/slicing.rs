//! Topics of joined documents: F1 of the boundaries that each policy finds, against those that are known.

use serde::Serialize;

use crate::calibration::Calibration;
use crate::calibration::measure::{CalibrateError, Fit, Joined, Judged, TOLERANCE};
use crate::calibration::texts::{Document, Form, paragraphs};
use crate::chart::{Bars, bars};
use crate::eval::memory::report::{page, unique};
use crate::slicing::agreement::Agreement;
use crate::slicing::policy::DEVIATIONS;
use crate::slicing::{Policy, Runner, slice};
use crate::text::Tokenizer;
use agentos_kernel::layout::Delimiter;
use agentos_kernel::random::unit;
use agentos_kernel::slicing::ends::Structure;

/// Documents that are joined to one text.
const DOCUMENTS: usize = 8;

/// Sentences of a paragraph, where a document has no paragraphs of its own.
const SENTENCES: usize = 3;

/// What is evaluated, and on what.
pub struct Plan<'p> {
    /// The documents, as texts.
    pub documents: &'p [String],
    /// The policies.
    pub policies: &'p [Policy],
    /// What is known of the model, and its layers.
    pub calibration: &'p Calibration,
    /// Layers of the model.
    pub layers: u32,
    /// What makes tokens.
    pub tokenizer: &'p Tokenizer,
    /// What each token ends.
    pub delimiters: &'p [Delimiter],
}

/// How well a policy does.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The form of the texts.
    pub form: &'static str,
    /// The policy, or what it is compared with.
    pub policy: &'static str,
    /// Counts over all texts.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// F1.
    pub f1: f64,
    /// Of those found the part that is right.
    pub precision: f64,
    /// Of those known the part that was found.
    pub recall: f64,
    /// F1 with the threshold that would have been best for these very texts, where a policy has one: what a better
    /// calibration could gain.
    pub best_f1: Option<f32>,
}

/// Evaluates the policies in both forms, one line each; `tell` is told what is under way.
///
/// # Errors
/// Any [`CalibrateError`] but those of its texts.
pub fn evaluate(
    runner: &mut Runner<'_, '_>,
    plan: &Plan<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Line>, CalibrateError> {
    let documents: Vec<Vec<String>> = plan.documents.iter().map(|text| divided(text)).collect();
    let documents: Vec<Document<'_>> =
        documents.iter().map(|document| document.iter().map(String::as_str).collect()).collect();
    let mut lines = Vec::new();
    for form in Form::ALL {
        let joined = documents.chunks(DOCUMENTS).filter(|some| some.len() == DOCUMENTS);
        let texts: Vec<Joined> =
            joined.map(|some| Joined::new(form, some.iter(), plan.tokenizer)).collect::<Result<_, _>>()?;
        lines.push(random(form, &texts, plan.delimiters));
        for &policy in plan.policies {
            tell(&format!("{} texts, {}, by {}", texts.len(), name(form), policy.name()));
            lines.push(evaluate_policy(runner, plan, (form, &texts), policy)?);
        }
    }
    Ok(lines)
}

fn evaluate_policy(
    runner: &mut Runner<'_, '_>,
    plan: &Plan<'_>,
    (form, texts): (Form, &[Joined]),
    policy: Policy,
) -> Result<Line, CalibrateError> {
    let mut all = Agreement::default();
    let mut judged = Vec::new();
    for text in texts {
        let tokens = (&text.tokens[..], plan.delimiters);
        let sliced = slice(runner, tokens, policy, (plan.calibration, plan.layers), false)?;
        let found: Vec<u32> = sliced.boundaries.iter().map(|boundary| boundary.end.at).collect();
        all += Agreement::of(&found, &text.known, TOLERANCE);
        judged.push(Judged { scored: sliced.scored, known: text.known.clone() });
    }
    let Fit { f1, .. } = crate::calibration::measure::fit(&judged);
    let scores = judged.iter().any(|text| !text.scored.is_empty()) && policy != Policy::Structure;
    Ok(line(form, policy.name(), all, scores.then_some(f1)))
}

fn line(form: Form, policy: &'static str, agreement: Agreement, best_f1: Option<f32>) -> Line {
    Line {
        form: name(form),
        policy,
        agreement,
        f1: agreement.f1(),
        precision: agreement.precision(),
        recall: agreement.recall(),
        best_f1,
    }
}

const fn name(form: Form) -> &'static str {
    match form {
        Form::Flat => "flat",
        Form::Paragraphs => "paragraphs",
    }
}

/// As many ends of sentences as there are boundaries, taken by chance: what any rule has to beat.
fn random(form: Form, texts: &[Joined], delimiters: &[Delimiter]) -> Line {
    let mut all = Agreement::default();
    for (seed, text) in (0u64..).zip(texts) {
        let (_, sealed) = crate::slicing::runner::slices_of(&text.tokens, delimiters);
        let mut places: Vec<u32> =
            sealed.iter().filter(|end| end.structure > Structure::Inside).map(|end| end.at).collect();
        let mut found = Vec::new();
        for place in 0..text.known.len() as u64 {
            if !places.is_empty() {
                found.push(places.swap_remove((unit(seed, place) * places.len() as f64) as usize));
            }
        }
        found.sort_unstable();
        all += Agreement::of(&found, &text.known, TOLERANCE);
    }
    line(form, "random sentence ends", all, None)
}

/// The paragraphs of a document: its own, or a few sentences each.
fn divided(text: &str) -> Vec<String> {
    let own = paragraphs(text);
    if own.len() > 1 {
        return own.into_iter().map(str::to_owned).collect();
    }
    let mut divided = vec![String::new()];
    let mut sentences = 0;
    for word in text.split_whitespace() {
        let last = divided.last_mut().expect("there is one from the beginning");
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
        sentences += u32::from(word.trim_end_matches(['"', '\'', ')']).ends_with(['.', '!', '?']));
        if sentences == SENTENCES as u32 {
            sentences = 0;
            divided.push(String::new());
        }
    }
    divided.retain(|paragraph| !paragraph.is_empty());
    divided
}

/// A table for a person.
pub fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<12} {:<22} {:>6} {:>9} {:>6} {:>6} {:>6} {:>8}\n",
        "form", "policy", "F1@8", "precision", "recall", "found", "known", "at best"
    );
    for line in lines {
        text += &format!(
            "{:<12} {:<22} {:>6.2} {:>9.2} {:>6.2} {:>6} {:>6} {:>8}\n",
            line.form,
            line.policy,
            line.f1,
            line.precision,
            line.recall,
            line.agreement.found,
            line.agreement.known,
            line.best_f1.map_or_else(String::new, |f1| format!("{f1:.2}"))
        );
    }
    text + &format!("the paper's rule as it stands: {DEVIATIONS} standard deviations above the mean\n")
}

/// F1 of each policy in both forms, as a chart.
pub fn draw(lines: &[Line]) -> String {
    let policies = unique(lines.iter().map(|line| line.policy));
    let forms = unique(lines.iter().map(|line| line.form));
    let find = |form: &str, policy: &str| {
        lines.iter().find(|line| (line.form, line.policy) == (form, policy)).map(|line| line.f1)
    };
    let group =
        |&form: &&'static str| (form.to_owned(), policies.iter().map(|policy| find(form, policy)).collect());
    let series = policies.iter().map(|&policy| policy.to_owned()).collect();
    let label = "F1 of boundaries between documents, within 8 tokens".to_owned();
    let (body, end) = bars(&Bars { label, series, groups: forms.iter().map(group).collect() }, 24.0);
    page("Topics of joined documents", &body, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_bar_for_each_policy_in_each_form() {
        let count = Agreement { found: 2, known: 4, ..Agreement::default() };
        let line = |form, policy| line(form, policy, count, None);
        let lines =
            [line(Form::Flat, "hidden"), line(Form::Flat, "density"), line(Form::Paragraphs, "hidden")];
        let svg = draw(&lines);
        assert_eq!(svg.matches("<title>").count(), 3, "{svg}");
        assert!(svg.contains("paragraphs") && svg.contains("density"));
    }

    #[test]
    fn a_document_without_paragraphs_gets_some() {
        assert_eq!(divided("A b. C! \"D?\" E. F"), ["A b. C! \"D?\"", "E. F"]);
        assert_eq!(divided("A b.\n\nC."), ["A b.", "C."]);
        assert_eq!(divided(" "), Vec::<String>::new());
    }
}
