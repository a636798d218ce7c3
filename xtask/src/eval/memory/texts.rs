//! Texts that are not in this repository: Debian's licences and manuals, and news.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::eval::{debian, slicing};
use crate::process::{Failure, output_of};

/// Debian's packages of the licences, of the policy, and of the questions that are asked frequently.
const PACKAGES: [&str; 3] = ["base-files", "debian-policy", "debian-faq"];

const LICENCES: &str = "usr/share/common-licenses";

/// Manuals as packed texts, and the names that they get.
const MANUALS: [(&str, &str); 2] = [
    ("usr/share/doc/debian-policy/policy.txt.gz", "policy.txt"),
    ("usr/share/doc/debian/FAQ/debian-faq.en.txt.gz", "faq.txt"),
];

/// News items that are joined to a text, and texts of that kind.
const JOINED: (usize, usize) = (40, 3);

/// Words of the shortest item that is joined.
const WORDS: usize = 100;

/// Texts, a file each.
pub struct Texts {
    pub licences: Vec<PathBuf>,
    pub manuals: Vec<PathBuf>,
    /// News items.
    pub items: Vec<PathBuf>,
    /// Many news items to a text.
    pub joined: Vec<PathBuf>,
}

impl Texts {
    /// Gets them once into a folder.
    ///
    /// # Errors
    /// Those of [`debian::arranged`] and [`slicing::items`]; [`Failure::Start`] and [`Failure::Exit`] of Python;
    /// [`Failure::File`].
    pub fn get(folder: &Path) -> Result<Texts, Failure> {
        let texts = debian::arranged(&folder.join("texts"), &PACKAGES, |all, wanted| {
            let licences = wanted.join("licences");
            debian::make(&licences)?;
            for file in debian::files(&all.join(LICENCES))? {
                // Some are other names of others.
                if let Some(name) = file.file_name().filter(|_| !file.is_symlink()) {
                    debian::rename(&file, &licences.join(name))?;
                }
            }
            MANUALS.iter().try_for_each(|(from, to)| {
                let text = output_of(Command::new("gzip").arg("-dc").arg(all.join(from)))?;
                write(&wanted.join(to), &text)
            })
        })?;
        let items = slicing::items(folder)?;
        let joined = joined(&texts, &items)?;
        Ok(Texts {
            licences: debian::files(&texts.join("licences"))?,
            manuals: MANUALS.iter().map(|(_, name)| texts.join(name)).collect(),
            items,
            joined,
        })
    }

    /// Both manuals, some news and some licences.
    pub fn of_several_kinds(&self) -> Vec<PathBuf> {
        let news = self.items.iter().take(20);
        self.manuals.iter().chain(news).chain(self.licences.iter().take(5)).cloned().collect()
    }

    /// So many news items by which no constant was chosen.
    pub fn items_not_seen(&self, count: usize) -> Vec<PathBuf> {
        self.items.iter().skip(slicing::SEEN).take(count).cloned().collect()
    }
}

fn joined(folder: &Path, items: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let (each, count) = JOINED;
    let paths: Vec<PathBuf> = (0..count).map(|text| folder.join(format!("news-{text}.txt"))).collect();
    if paths.iter().all(|path| path.exists()) {
        return Ok(paths);
    }
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|source| Failure::File { path: path.clone(), source })
    };
    let mut texts: Vec<String> = items.iter().map(read).collect::<Result<_, _>>()?;
    texts.retain(|text| text.split_whitespace().count() >= WORDS);
    for (path, part) in paths.iter().zip(texts.chunks(each)) {
        let part: Vec<&str> = part.iter().map(|text| text.trim()).collect();
        write(path, part.join("\n\n").as_bytes())?;
    }
    Ok(paths)
}

fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|source| Failure::File { path: path.to_owned(), source })
}
