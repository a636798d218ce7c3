//! Words that do not belong into the repository: paths of one person's machine, addresses that bind it to
//! one registry, and work that was left undone.

use super::Finding;
use super::code::{code_only, lines_with_word};

/// The rule's own words and the planted violations of its tests.
const OWN: &str = "xtask/src/tidy/";
/// Written by cargo, with the address of its registry.
const LOCK: &str = "Cargo.lock";
/// Where the hub's address may be: the code that fetches from it, its tests and its description.
const FETCHING: &str = "hosts/desktop/";
/// The hub.
const HUB: &str = "huggingface.co";

/// Paths that exist on one machine only.
const PATHS: [&str; 5] = ["/work/", "/tmp/", "/root/", "../shared", "shared/golden"];
/// Registries: a build gets things through its tools, which people point to mirrors.
const REGISTRIES: [&str; 10] = [
    "pypi.org",
    "files.pythonhosted.org",
    "crates.io",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "registry.npmjs.org",
    "proxy.golang.org",
    "conda.anaconda.org",
    "download.pytorch.org",
];
/// Notes of unfinished work.
const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];
/// Macros that stand for unfinished work.
const MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
/// Files that people write for the project; others may be fixtures, with the words of the world.
const WRITTEN: [&str; 8] = ["rs", "wgsl", "toml", "md", "py", "sh", "yml", "yaml"];

/// Looks at every text file.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    if path.starts_with(OWN) || path.rsplit('/').next() == Some(LOCK) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> =
        text.lines().enumerate().flat_map(|(index, line)| addresses(path, index, line)).collect();
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    if extension.is_some_and(|extension| WRITTEN.contains(&extension)) {
        for word in UNFINISHED {
            findings.extend(found(path, text, word, "work is finished or not begun"));
        }
    }
    if extension == Some("rs") {
        let code = code_only(text);
        for word in MACROS {
            findings.extend(macros(path, &code, word));
        }
    }
    findings
}

fn addresses(path: &str, index: usize, line: &str) -> Vec<Finding> {
    let hit = |word: &&&str| line.contains(**word);
    let path_hit = |word: &&&str| begins_somewhere(line, word);
    let paths = PATHS.iter().filter(path_hit).map(|word| format!("`{word}` is a path of one machine"));
    let registries = REGISTRIES
        .iter()
        .filter(hit)
        .map(|word| format!("`{word}` is a registry's address; its client knows it"));
    let hub = (line.contains(HUB) && !path.starts_with(FETCHING))
        .then(|| format!("`{HUB}` belongs to {FETCHING} alone"));
    paths.chain(registries).chain(hub).map(|what| Finding::at(path, index, what)).collect()
}

/// Whether `line` names the path `word`, and not merely a longer one that holds the same folders.
fn begins_somewhere(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}');
    line.match_indices(word).any(|(at, _)| !line[..at].chars().next_back().is_some_and(inside))
}

fn found(path: &str, text: &str, word: &str, why: &str) -> Vec<Finding> {
    let at = |line| Finding::at(path, line, format!("`{word}`: {why}"));
    lines_with_word(text, word).into_iter().map(at).collect()
}

fn macros(path: &str, code: &str, word: &str) -> Vec<Finding> {
    let name = word.trim_end_matches('!');
    let lines: Vec<&str> = code.lines().collect();
    let called = |line: &usize| lines[*line].contains(word);
    let at = |line| Finding::at(path, line, format!("`{word}` is for a moment, not for the repository"));
    lines_with_word(code, name).into_iter().filter(called).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let mut lines: Vec<usize> =
            check(path, text).into_iter().filter_map(|finding| finding.line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn paths_of_one_machine_are_found_in_any_text() {
        assert_eq!(lines("a.json", "{}\n\"/work/model\"\n"), [2]);
        assert_eq!(lines("a.rs", "let p = \"/tmp/x\";"), [1]);
        assert_eq!(lines("README.md", "see ../shared/FACTS.md"), [1]);
        assert_eq!(lines("a.rs", "let p = \"target/work/x\"; let q = \"tmp\";"), NONE);
    }

    #[test]
    fn registries_are_found_but_not_in_a_lock_file() {
        assert_eq!(lines(".ci/run", "curl https://pypi.org/x"), [1]);
        assert_eq!(lines("Cargo.toml", "\n# https://static.crates.io/x"), [2]);
        assert_eq!(lines("Cargo.lock", "registry+https://github.com/rust-lang/crates.io-index"), NONE);
        assert_eq!(lines("hosts/gguf/fuzz/Cargo.lock", "crates.io"), NONE);
    }

    #[test]
    fn the_hub_is_known_where_models_are_fetched() {
        let text = "const HUB: &str = \"https://huggingface.co\";";
        assert_eq!(lines("hosts/desktop/src/fetch/environment.rs", text), NONE);
        assert_eq!(lines("kernel/src/lib.rs", text), [1]);
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(lines("a.rs", "x\n// TODO: y\n// FIXME\nlet t = \"XXX\";"), [2, 3, 4]);
        assert_eq!(lines("a.py", "# TODO"), [1]);
        assert_eq!(lines("corpus.txt", "TODO"), NONE);
        assert_eq!(lines("a.rs", "// mktemp XXXXXX, TODOS"), NONE);
        assert_eq!(lines("a.rs", "todo!(); dbg!(x);\nunimplemented!()"), [1, 1, 2]);
        assert_eq!(lines("a.rs", "// todo!()\nlet todo = \"dbg!\";"), NONE);
    }
}
