//! The texts that models are calibrated on, and joining documents so that the boundaries are known.

/// A document: its paragraphs.
pub type Document<'t> = Vec<&'t str>;

const TEXTS: [&str; 12] = [
    include_str!("texts/bees.txt"),
    include_str!("texts/bridge.txt"),
    include_str!("texts/bread.txt"),
    include_str!("texts/court.txt"),
    include_str!("texts/glacier.txt"),
    include_str!("texts/violin.txt"),
    include_str!("texts/vaccine.txt"),
    include_str!("texts/football.txt"),
    include_str!("texts/scheduler.txt"),
    include_str!("texts/market.txt"),
    include_str!("texts/comet.txt"),
    include_str!("texts/tailor.txt"),
];

/// The documents that ship with the program.
pub fn documents() -> Vec<Document<'static>> {
    TEXTS.iter().map(|text| paragraphs(text)).collect()
}

/// The paragraphs of a text: what blank lines part.
pub fn paragraphs(text: &str) -> Document<'_> {
    text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).collect()
}

/// How documents are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As one line, so that nothing but the words tells where one ends.
    Flat,
    /// With blank lines between paragraphs, and the same between documents.
    Paragraphs,
}

impl Form {
    /// Both.
    pub const ALL: [Form; 2] = [Form::Flat, Form::Paragraphs];

    /// What stands between paragraphs and between documents.
    const fn between(self) -> &'static str {
        match self {
            Form::Flat => " ",
            Form::Paragraphs => "\n\n",
        }
    }

    /// A document in this form. Lines inside a paragraph are joined in both.
    pub fn of(self, document: &[&str]) -> String {
        let joined = |paragraph: &&str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        document.iter().map(joined).collect::<Vec<_>>().join(self.between())
    }

    /// The parts of a joined text, one for each document: each but the first begins with what stands between.
    pub fn parts<'d>(self, documents: impl Iterator<Item = &'d Document<'d>>) -> Vec<String> {
        let part = |(index, document): (usize, &Document<'_>)| {
            let before = if index == 0 { "" } else { self.between() };
            format!("{before}{}", self.of(document))
        };
        documents.enumerate().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_paragraphs_of_sentences() {
        for document in documents() {
            assert!((3..=5).contains(&document.len()), "{document:?}");
            assert!(document.iter().all(|paragraph| paragraph.ends_with('.') && paragraph.len() > 80));
        }
    }

    #[test]
    fn joined_documents_look_alike_inside_and_between() {
        let documents = [vec!["A b.", "C\nd."], vec!["E."]];
        assert_eq!(Form::Flat.parts(documents.iter()), ["A b. C d.", " E."]);
        assert_eq!(Form::Paragraphs.parts(documents.iter()), ["A b.\n\nC d.", "\n\nE."]);
    }
}
