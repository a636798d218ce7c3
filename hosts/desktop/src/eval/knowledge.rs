//! Questions about a collection whose answers are known: how soon the first token comes, and how often the answer is
//! right, by where the prompt's passages come from.

use serde::Serialize;

/// A question with its known answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// Words that stand in the passage that answers it, and nowhere else.
    pub passage: String,
    /// Answers, one of which is to be said.
    pub answers: Vec<String>,
}

/// A line of a file of questions that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionError {
    /// Its number, from 1.
    pub line: usize,
    /// The columns that it has.
    pub columns: usize,
}

impl std::fmt::Display for QuestionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "line {}: {} columns; three with tabs between them would fit: a question, words of the passage that answers \
             it, and answers with | between them",
            self.line, self.columns
        )
    }
}

impl std::error::Error for QuestionError {}

/// Reads questions, one a line.
///
/// # Errors
/// [`QuestionError`].
pub fn questions(text: &str) -> Result<Vec<Question>, QuestionError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| question(line).map_err(|columns| QuestionError { line: number + 1, columns }))
        .collect()
}

fn question(line: &str) -> Result<Question, usize> {
    let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
    let &[question, passage, answers] = &columns[..] else { return Err(columns.len()) };
    let answers: Vec<String> = answers
        .split('|')
        .map(|answer| answer.trim().to_owned())
        .filter(|answer| !answer.is_empty())
        .collect();
    if question.is_empty() || passage.is_empty() || answers.is_empty() {
        let filled = [question.is_empty(), passage.is_empty(), answers.is_empty()];
        return Err(filled.iter().filter(|empty| !**empty).count());
    }
    Ok(Question { question: question.to_owned(), passage: passage.to_owned(), answers })
}

impl Question {
    /// Whether a text says one of the answers, as whole words.
    pub fn is_answered_by(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.answers.iter().any(|answer| has_words(&text, &answer.to_lowercase()))
    }

    /// Whether a passage is the one that answers it. Line ends and spaces are the same.
    pub fn is_in(&self, passage: &str) -> bool {
        let plain = |text: &str| text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        plain(passage).contains(&plain(&self.passage))
    }
}

/// Whether `words` stand in a text with no letter or digit right before or behind them.
fn has_words(text: &str, words: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(words).any(|(at, found)| {
        let (before, behind) = (&text[..at], &text[at + found.len()..]);
        let begins = !joins(words.chars().next()) || !joins(before.chars().next_back());
        let ends = !joins(words.chars().next_back()) || !joins(behind.chars().next());
        begins && ends
    })
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Whether it was right.
    pub right: bool,
    /// From the question to its passages, in milliseconds.
    pub recall_ms: f64,
    /// From the question to the first token.
    pub first_ms: f64,
    /// From the first agent to when all passages that are sent were in page memory.
    pub mapped_ms: f64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens that were computed for it.
    pub computed_tokens: u64,
}

/// What all answers of one way came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Where the passages came from.
    pub way: &'static str,
    /// Questions.
    pub questions: usize,
    /// Those that were answered right.
    pub right: usize,
    /// Median milliseconds from a question to its passages.
    pub recall_ms: f64,
    /// Median milliseconds in which passages that are sent come into page memory.
    pub mapped_ms: f64,
    /// Median milliseconds from a question to the first token.
    pub first_ms: f64,
    /// The 90th percentile of those.
    pub first_p90_ms: f64,
    /// Mean tokens of a prompt.
    pub prompt_tokens: f64,
    /// Mean tokens that were computed for one.
    pub computed_tokens: f64,
}

impl Line {
    /// Sums up. Without samples all is 0.
    pub fn of(way: &'static str, samples: &[Sample]) -> Line {
        let mean =
            |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / samples.len().max(1) as f64;
        Line {
            way,
            questions: samples.len(),
            right: samples.iter().filter(|sample| sample.right).count(),
            recall_ms: quantile(samples.iter().map(|sample| sample.recall_ms), 0.5),
            mapped_ms: quantile(samples.iter().map(|sample| sample.mapped_ms), 0.5),
            first_ms: quantile(samples.iter().map(|sample| sample.first_ms), 0.5),
            first_p90_ms: quantile(samples.iter().map(|sample| sample.first_ms), 0.9),
            prompt_tokens: mean(&|sample| f64::from(sample.prompt_tokens)),
            computed_tokens: mean(&|sample| sample.computed_tokens as f64),
        }
    }
}

/// The sample below which a share of all lies.
fn quantile(samples: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut samples: Vec<f64> = samples.collect();
    samples.sort_by(f64::total_cmp);
    let place = (share * samples.len().saturating_sub(1) as f64).round() as usize;
    samples.get(place).copied().unwrap_or(0.0)
}

/// The lines as a table; the last is what the others are compared with.
pub fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| passages | right | first token, ms | p90 | of it recall | loading | prompt, tokens | computed | sooner |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let slowest = lines.last().map_or(0.0, |line| line.first_ms);
    for line in lines {
        text += &format!(
            "| {} | {} of {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.1} x |\n",
            line.way,
            line.right,
            line.questions,
            line.first_ms,
            line.first_p90_ms,
            line.recall_ms,
            line.mapped_ms,
            line.prompt_tokens,
            line.computed_tokens,
            slowest / line.first_ms.max(1e-9),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_question_with_its_passage_and_answers() {
        let read =
            questions("Who?\tthe keeper is\tMarta | M. Lindqvist\n\nWhere?\ton the point\tGull Point\n")
                .unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].answers, ["Marta", "M. Lindqvist"]);
        assert_eq!(questions("\nWho?\tMarta"), Err(QuestionError { line: 2, columns: 2 }));
        assert_eq!(questions("Who?\t\tMarta"), Err(QuestionError { line: 1, columns: 2 }));
        assert_eq!(questions("a\tb\tc\td"), Err(QuestionError { line: 1, columns: 4 }));
    }

    #[test]
    fn an_answer_is_said_in_whole_words() {
        let two = &questions("How many?\tx\ttwo|2").unwrap()[0];
        assert!(two.is_answered_by("There are TWO."));
        assert!(two.is_answered_by("'2'"));
        assert!(!two.is_answered_by("There are 12, or twofold 20"));
        let path = &questions("Where?\tx\t/etc/default").unwrap()[0];
        assert!(path.is_answered_by("in /etc/default, always"));
        assert!(!path.is_answered_by("in /etc/defaults"));
    }

    #[test]
    fn a_passage_is_known_by_its_words() {
        let question = &questions("Who?\tThe keeper is\tMarta").unwrap()[0];
        assert!(question.is_in("They say the\n  keeper   is Marta."));
        assert!(!question.is_in("The keepers are"));
    }

    #[test]
    fn figures_are_medians_and_means() {
        let sample = |first_ms: f64, right| Sample {
            right,
            recall_ms: 1.0,
            mapped_ms: 2.0,
            first_ms,
            prompt_tokens: 100,
            computed_tokens: first_ms as u64,
        };
        let line = Line::of("relocated", &[sample(30.0, true), sample(10.0, false), sample(20.0, true)]);
        assert_eq!((line.right, line.questions, line.first_ms, line.first_p90_ms), (2, 3, 20.0, 30.0));
        assert_eq!((line.prompt_tokens, line.computed_tokens), (100.0, 20.0));
        assert_eq!(Line::of("relocated", &[]).first_ms, 0.0);
        assert!(table(&[line.clone(), Line { first_ms: 200.0, ..line }]).contains("| 10.0 x |"));
    }
}
