//! Rust source without its comments and literals, so that a rule about code does not trip over prose.

/// The text with comments and the insides of literals blanked out. Lines stay where they are.
pub fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// The places in `code` where `word` stands alone, by line index.
pub fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let holds = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            !before.is_some_and(is_name) && !after.is_some_and(is_name)
        })
    };
    code.lines().enumerate().filter(|(_, line)| holds(line)).map(|(index, _)| index).collect()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none does.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = |ahead: usize| chars.get(at + ahead).copied();
    let begins_name = at == 0 || !is_name(chars[at - 1]);
    match (chars[at], next(1)) {
        ('/', Some('/')) => find(chars, at, |c, _| c == '\n').unwrap_or(chars.len()),
        ('/', Some('*')) => block_comment_end(chars, at),
        ('"', _) => quoted_end(chars, at, '"'),
        ('\'', Some('\\')) => quoted_end(chars, at, '\''),
        // Anything else after a quote is a lifetime.
        ('\'', Some(_)) if next(2) == Some('\'') => at + 3,
        ('r', _) if begins_name => raw_string_end(chars, at),
        ('b' | 'c', Some('r')) if begins_name => {
            let end = raw_string_end(chars, at + 1);
            if end == at + 1 { at } else { end }
        }
        _ => at,
    }
}

fn find(chars: &[char], from: usize, is: impl Fn(char, usize) -> bool) -> Option<usize> {
    (from..chars.len()).find(|&at| is(chars[at], at))
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Where the raw string that begins with the `r` at `from` ends; `from` when it is only a name.
fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|&&c| c == '#').count();
    let quote = from + 1 + hashes;
    if chars.get(quote) != Some(&'"') {
        return from;
    }
    let closes = |c: char, at: usize| {
        c == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    find(chars, quote + 1, closes).map_or(chars.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> usize {
        lines_with_word(&code_only(text), "unsafe").len()
    }

    #[test]
    fn code_is_kept() {
        assert_eq!(words("let x = unsafe { *p };"), 1);
        assert_eq!(words("impl<'a> X<'a> { unsafe fn f(&'a self) {} }"), 1);
        assert_eq!(words("let c = '\"'; unsafe {} // \"\n"), 1);
        assert_eq!(words("let c = b'\\''; unsafe {}"), 1);
        assert_eq!(words("r#type; unsafe {}"), 1);
        assert_eq!(words("let s = r\"\\\"; unsafe {}"), 1);
    }

    #[test]
    fn comments_and_literals_are_not() {
        assert_eq!(words("// unsafe\n/// `unsafe`\n/* a /* unsafe */ unsafe */ x"), 0);
        assert_eq!(words("\"unsafe \\\" unsafe\""), 0);
        assert_eq!(words("r#\"unsafe \" unsafe\"# br\"unsafe\""), 0);
        assert_eq!(words("#![forbid(unsafe_code)]"), 0);
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "/* one\ntwo */\nunsafe {}\n\"a\nb\"\nunsafe {}";
        assert_eq!(lines_with_word(&code_only(text), "unsafe"), [2, 5]);
    }

    #[test]
    fn a_file_that_breaks_off_is_no_harm() {
        for text in ["\"", "'", "'\\", "r#\"", "/*", "/", "\"\\", "br", "r"] {
            assert_eq!(code_only(text).chars().count(), text.chars().count(), "{text}");
        }
    }
}
