//! Texts with facts in them, and questions for those.
//!
//! The text is somebody's; a few lines of it are ours: "The code word of Halvorsen is copper." A question
//! names one of the names, and the answer is one token among twenty that might be it.

use agentos_kernel::random;

use crate::text::{
    ChatError, Message, RenderOptions, Role, Special, Template, Tokenizer, TokenizerError, encode_chat,
};

/// Facts of a text.
pub const FACTS: usize = 4;

/// Candidates for an answer.
pub const CANDIDATES: usize = 20;

/// Where in a text its facts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// All over it.
    Anywhere,
    /// In its first tenth.
    Beginning,
}

/// A text and what is asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exam {
    /// Tokens that all its questions have in common.
    pub text: Vec<u32>,
    /// The questions.
    pub questions: Vec<Question>,
    /// What the answers may be.
    pub candidates: Vec<u32>,
}

/// A question about a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The tokens behind those of the text, up to where the answer begins.
    pub tokens: Vec<u32>,
    /// The token that is right.
    pub answer: u32,
}

/// Why there is no exam.
#[derive(Debug)]
pub enum ExamError {
    /// The text is too short for so many tokens.
    TooShort {
        /// Tokens asked for.
        tokens: usize,
    },
    /// The tokenizer has too few words of one token.
    Words {
        /// Those that it has.
        found: usize,
    },
    /// A conversation cannot be encoded.
    Chat(ChatError),
    /// A text cannot be encoded.
    Encode(TokenizerError),
}

impl std::fmt::Display for ExamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExamError::TooShort { tokens } => {
                write!(
                    f,
                    "the text is shorter than an exam of {tokens} tokens; more or longer files would do"
                )
            }
            ExamError::Words { found } => write!(
                f,
                "the tokenizer has {found} of the words that may be answers as one token; {CANDIDATES} would do"
            ),
            ExamError::Chat(error) => error.fmt(f),
            ExamError::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ExamError {}

const NAMES: [&str; 40] = [
    "Halvorsen",
    "Okonkwo",
    "Lindqvist",
    "Marchetti",
    "Tanaka",
    "Vasquez",
    "Petrov",
    "Adeyemi",
    "Kowalski",
    "Nakamura",
    "Fitzgerald",
    "Hernandez",
    "Bergstrom",
    "Castellano",
    "Dubois",
    "Eriksen",
    "Farouk",
    "Gallagher",
    "Hashimoto",
    "Ivanova",
    "Jankowski",
    "Karlsson",
    "Laurent",
    "Mbeki",
    "Novak",
    "Olsen",
    "Pereira",
    "Quinlan",
    "Rahman",
    "Sorensen",
    "Takahashi",
    "Ullman",
    "Volkov",
    "Whitaker",
    "Ximenes",
    "Yamamoto",
    "Zielinski",
    "Abernathy",
    "Blackwood",
    "Carmichael",
];

const WORDS: [&str; 48] = [
    "copper", "silver", "garden", "river", "mountain", "window", "bridge", "forest", "winter", "summer",
    "orange", "purple", "yellow", "castle", "island", "planet", "rocket", "engine", "mirror", "candle",
    "ladder", "hammer", "button", "pocket", "basket", "bottle", "butter", "cotton", "dragon", "eagle",
    "falcon", "guitar", "harbor", "jungle", "kitchen", "lemon", "marble", "needle", "ocean", "pepper",
    "rabbit", "saddle", "temple", "turtle", "velvet", "whale", "anchor", "desert",
];

/// What an exam is made with.
pub struct Maker<'m> {
    /// Between text and tokens.
    pub tokenizer: &'m Tokenizer,
    /// How the model reads a conversation.
    pub template: &'m Template,
    /// The text that the facts stand in.
    pub filler: &'m str,
}

impl Maker<'_> {
    /// An exam of about so many tokens, of a seed. Another seed has other names, answers and lines.
    ///
    /// # Errors
    /// Any [`ExamError`].
    pub fn exam(&self, tokens: usize, place: Place, seed: u64) -> Result<Exam, ExamError> {
        let words = self.words(seed)?;
        let names = shuffled(&NAMES, seed ^ 0x5eed);
        let facts: Vec<String> = (0..FACTS)
            .map(|fact| format!("The code word of {} is {}.", names[fact], words[fact].0))
            .collect();
        let lines = self.lines(tokens, seed)?;
        let document = planted(&lines, &facts, place, seed);
        let whole = (0..FACTS)
            .map(|fact| self.conversation(&document, names[fact]))
            .collect::<Result<Vec<Vec<u32>>, ExamError>>()?;
        let common = |at: usize| whole.iter().all(|tokens| tokens.get(at) == whole[0].get(at));
        let length = (0..whole[0].len()).take_while(|&at| common(at)).count();
        let question = |(fact, tokens): (usize, &Vec<u32>)| Question {
            tokens: tokens[length..].to_vec(),
            answer: words[fact].1,
        };
        Ok(Exam {
            text: whole[0][..length].to_vec(),
            questions: whole.iter().enumerate().map(question).collect(),
            candidates: words.iter().map(|word| word.1).collect(),
        })
    }

    /// The words that may be answers, with their tokens behind a space.
    fn words(&self, seed: u64) -> Result<Vec<(&'static str, u32)>, ExamError> {
        let mut words = Vec::new();
        for word in shuffled(&WORDS, seed) {
            let tokens = self.tokenizer.encode(&format!(" {word}"), Special::AsText);
            if let [token] = tokens.map_err(ExamError::Encode)?[..] {
                words.push((word, token));
            }
        }
        let found = words.len();
        words.truncate(CANDIDATES);
        if words.len() == CANDIDATES { Ok(words) } else { Err(ExamError::Words { found }) }
    }

    /// Lines of the text, from a place that the seed says on, with about so many tokens less than a
    /// conversation needs besides.
    fn lines(&self, tokens: usize, seed: u64) -> Result<Vec<&str>, ExamError> {
        let lines: Vec<&str> = self.filler.lines().filter(|line| !line.trim().is_empty()).collect();
        let first = (random::unit(seed, 1) * lines.len() as f64) as usize;
        let (mut chosen, mut count) = (Vec::new(), 160);
        // Round and round, but no line twice.
        for line in lines.iter().cycle().skip(first).take(lines.len()) {
            count += self.tokenizer.encode(line, Special::AsText).map_err(ExamError::Encode)?.len() + 1;
            if count > tokens {
                return Ok(chosen);
            }
            chosen.push(*line);
        }
        Err(ExamError::TooShort { tokens })
    }

    fn conversation(&self, document: &str, name: &str) -> Result<Vec<u32>, ExamError> {
        let content = format!("{document}\n\nWhat is the code word of {name}?");
        let messages = [Message { role: Role::User, content }];
        let options = RenderOptions { add_generation_prompt: true, now_s: 0 };
        let mut tokens =
            encode_chat(self.template, self.tokenizer, &messages, &options).map_err(ExamError::Chat)?;
        let begun = format!("The code word of {name} is");
        tokens.extend(self.tokenizer.encode(&begun, Special::AsText).map_err(ExamError::Encode)?);
        Ok(tokens)
    }
}

/// A text of lines with facts between them.
fn planted(lines: &[&str], facts: &[String], place: Place, seed: u64) -> String {
    let end = match place {
        Place::Anywhere => lines.len(),
        Place::Beginning => lines.len() / 10,
    };
    let at = |fact: usize| {
        let share = (fact as f64 + random::unit(seed, 10 + fact as u64)) / facts.len() as f64;
        (share * end as f64) as usize
    };
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (fact, words) in facts.iter().enumerate() {
            if at(fact) == number {
                text.push_str(words);
                text.push('\n');
            }
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn shuffled<T: Copy>(all: &[T], seed: u64) -> Vec<T> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| random::unit(seed, a as u64).total_cmp(&random::unit(seed, b as u64)));
    order.into_iter().map(|at| all[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_is_in_the_text_once_and_where_it_should_be() {
        let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let facts: Vec<String> = (0..FACTS).map(|fact| format!("fact {fact}.")).collect();
        for seed in 0..50 {
            let text = planted(&lines, &facts, Place::Beginning, seed);
            for fact in &facts {
                assert_eq!(text.matches(fact.as_str()).count(), 1);
                assert!(text.find(fact.as_str()).unwrap() < text.find("line 10\n").unwrap());
            }
            assert_eq!(text.lines().count(), 104);
        }
    }

    #[test]
    fn a_seed_shuffles_all_there_are() {
        let mut words = shuffled(&WORDS, 7);
        assert_ne!(words, WORDS);
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
    }
}
