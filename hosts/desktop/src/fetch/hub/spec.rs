//! The text after `-hf`.

use super::error::{RequestError, SpecFault};

/// The longest name of an owner, a repository, a folder or a file.
const NAME_BYTES_MAX: usize = 96;
const COMPONENT_BYTES_MAX: usize = 200;
const PATH_BYTES_MAX: usize = 1000;

/// A model on the hub. Its names are safe to build paths and addresses from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSpec {
    owner: String,
    repository: String,
    wanted: Wanted,
}

/// Which file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one that suits best.
    Any,
    /// The one with this quantisation, such as `Q4_K_M`.
    Quantisation(String),
    /// This one: a path in the repository that ends in `.gguf`.
    File(String),
}

impl HubSpec {
    /// Reads `owner/repository`, `owner/repository:path/of/file.gguf` or `owner/repository:QUANTISATION`.
    ///
    /// # Errors
    /// [`RequestError::Spec`], [`RequestError::UnsafeName`], [`RequestError::SplitModel`].
    pub fn parse(text: &str) -> Result<HubSpec, RequestError> {
        let refuse = |fault| RequestError::Spec { text: text.to_owned(), fault };
        let (place, file) = match text.split_once(':') {
            Some((place, file)) => (place, Some(file)),
            None => (text, None),
        };
        let (owner, repository) =
            place.split_once('/').ok_or_else(|| refuse(SpecFault::NotOwnerAndRepository))?;
        if repository.contains('/') {
            return Err(refuse(SpecFault::NotOwnerAndRepository));
        }
        if !is_hub_name(owner) || !is_hub_name(repository) {
            return Err(refuse(SpecFault::Name));
        }
        let wanted = match file {
            None => Wanted::Any,
            Some("") => return Err(refuse(SpecFault::EmptyFile)),
            Some(name) if is_gguf(name) => {
                check_file_name(name)?;
                if is_split(name) {
                    return Err(RequestError::SplitModel { name: name.to_owned() });
                }
                Wanted::File(name.to_owned())
            }
            Some(tag) if is_hub_name(tag) => Wanted::Quantisation(tag.to_owned()),
            Some(tag) => return Err(RequestError::UnsafeName { name: tag.to_owned() }),
        };
        Ok(HubSpec { owner: owner.to_owned(), repository: repository.to_owned(), wanted })
    }

    /// Whose repository.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Which repository.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Which of its files.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}

impl std::str::FromStr for HubSpec {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        HubSpec::parse(text)
    }
}

/// The hub's own rule for names. `--` is what joins owner and repository in the cache.
fn is_hub_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
        && !name.contains("--")
        && !name.contains("..")
}

/// Whether `name` is that of a GGUF file.
pub(super) fn is_gguf(name: &str) -> bool {
    name.len() > 5 && name.as_bytes()[name.len() - 5..].eq_ignore_ascii_case(b".gguf")
}

/// Whether `name` ends as the parts of a split model do: `-00001-of-00003.gguf`.
pub(super) fn is_split(name: &str) -> bool {
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(stem) = name.len().checked_sub(5).and_then(|end| name.get(..end)) else {
        return false;
    };
    let mut pieces = stem.rsplitn(4, '-');
    let (of, word, number) = (pieces.next(), pieces.next(), pieces.next());
    of.is_some_and(digits) && word == Some("of") && number.is_some_and(digits)
}

/// Refuses a path of a repository that is not safe as a path below the cache, on any system.
///
/// # Errors
/// [`RequestError::UnsafeName`].
pub(super) fn check_file_name(path: &str) -> Result<(), RequestError> {
    // Names that begin with a dot are the cache's own.
    let safe = |name: &str| {
        (1..=COMPONENT_BYTES_MAX).contains(&name.len())
            && !name.starts_with(['.', ' '])
            && !name.ends_with(['.', ' '])
            && !name.chars().any(|c| c.is_control() || r#"\:*?"<>|"#.contains(c))
    };
    match path.len() <= PATH_BYTES_MAX && is_gguf(path) && path.split('/').all(safe) {
        true => Ok(()),
        false => Err(RequestError::UnsafeName { name: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Result<Wanted, RequestError> {
        HubSpec::parse(text).map(|spec| spec.wanted)
    }

    #[test]
    fn the_three_forms_are_read() {
        let spec = HubSpec::parse("Owner/Some.Model-GGUF").unwrap();
        assert_eq!((spec.owner(), spec.repository()), ("Owner", "Some.Model-GGUF"));
        assert_eq!(spec.wanted(), &Wanted::Any);
        assert_eq!(wanted("o/r:Q4_K_M"), Ok(Wanted::Quantisation("Q4_K_M".into())));
        assert_eq!(wanted("o/r:a/b c.GGUF"), Ok(Wanted::File("a/b c.GGUF".into())));
    }

    #[test]
    fn other_texts_are_refused_with_their_fault() {
        let fault = |text: &str| match HubSpec::parse(text) {
            Err(RequestError::Spec { fault, .. }) => Some(fault),
            _ => None,
        };
        assert_eq!(fault("model"), Some(SpecFault::NotOwnerAndRepository));
        assert_eq!(fault("a/b/c"), Some(SpecFault::NotOwnerAndRepository));
        assert_eq!(fault("https://huggingface.co/a/b"), Some(SpecFault::NotOwnerAndRepository));
        for name in ["/r", "o/", "../r", "o/..", "o/r--s", "-o/r", "o/r?x", "o/r é", "o\\p/r"] {
            assert_eq!(fault(name), Some(SpecFault::Name), "{name}");
        }
        assert_eq!(fault("o/r:"), Some(SpecFault::EmptyFile));
    }

    #[test]
    fn names_that_could_leave_the_cache_are_refused() {
        let names = [
            "../x.gguf",
            "/x.gguf",
            "a/../x.gguf",
            "a//x.gguf",
            "./x.gguf",
            "a\\x.gguf",
            "C:x.gguf",
            "a\nb.gguf",
            "a\0.gguf",
            ".choice.gguf",
            ".gguf",
            "a /x.gguf",
            "../../etc",
            "a/b",
        ];
        for name in names {
            let refused = matches!(wanted(&format!("o/r:{name}")), Err(RequestError::UnsafeName { .. }));
            assert!(refused, "{name:?}");
        }
        let long = format!("o/r:{}.gguf", "x".repeat(COMPONENT_BYTES_MAX));
        assert!(matches!(wanted(&long), Err(RequestError::UnsafeName { .. })));
    }

    #[test]
    fn parts_of_split_models_are_known() {
        assert!(is_split("big-Q8_0-00001-of-00003.gguf"));
        assert!(!is_split("big-Q8_0-1-of-3.gguf"));
        assert!(!is_split("00001-of-00003"));
        assert!(!is_split("é"));
        assert!(matches!(wanted("o/r:b-00002-of-00003.gguf"), Err(RequestError::SplitModel { .. })));
    }
}
