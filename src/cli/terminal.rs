//! What the command line says to a terminal. Names, headers and paths come from files of strangers: an escape sequence in
//! them must not reach the terminal, and a long one must not fill it. All printing passes through here.

use std::io::{ErrorKind, Write, stderr, stdout};

use serde::de::IgnoredAny;

/// The most characters of one message or line.
pub(super) const MOST: usize = 300;
/// Of a message that is cut, this much of its end stays: it says what to do.
const END: usize = 80;

/// Prints a result; a reader that closed the pipe early (`| head`) is no failure. JSON keeps every character, escaped.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    match writeln!(stdout().lock(), "{}", shown(text)) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says something beside the result, on standard error. Nobody listening is no failure.
pub(super) fn say(text: &str) {
    drop(writeln!(stderr().lock(), "{}", shown(text)));
}

/// Says one sentence on standard error: what it quotes cannot make it several lines.
pub(super) fn say_sentence(text: &str) {
    drop(writeln!(stderr().lock(), "{}", line(text)));
}

fn shown(text: &str) -> String {
    let is_json = text.starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok();
    if is_json { escaped(text) } else { lines(text) }
}

/// Several lines, each clean and short.
fn lines(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// One line without what steers a terminal, at most [`MOST`] characters.
fn line(text: &str) -> String {
    let clean = clean(text);
    let count = clean.chars().count();
    if count <= MOST {
        return clean;
    }
    let start: String = clean.chars().take(MOST - END - 3).collect();
    let end: String = clean.chars().skip(count - END).collect();
    format!("{start} … {end}")
}

/// Takes away escape sequences, control characters and marks that turn the direction of writing.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '\u{1b}' => escape(after),
            '\u{9b}' => control_sequence(after),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => string(after),
            '\t' | '\n' => {
                clean.push(' ');
                after
            }
            hidden if is_hidden(hidden) => after,
            shown => {
                clean.push(shown);
                after
            }
        };
    }
    clean
}

/// What follows an escape sequence (ECMA-48) whose first character is gone.
fn escape(after: &str) -> &str {
    let Some(kind) = after.chars().next() else { return after };
    let behind = &after[kind.len_utf8()..];
    match kind {
        '[' => control_sequence(behind),
        ']' | 'P' | 'X' | '^' | '_' => string(behind),
        // Intermediates and one final character.
        ' '..='~' => match after.trim_start_matches(|c| (' '..='/').contains(&c)) {
            left if left.starts_with(|c: char| ('0'..='~').contains(&c)) => &left[1..],
            left => left,
        },
        _ => after,
    }
}

/// Parameters, intermediates and the final character of a control sequence.
fn control_sequence(after: &str) -> &str {
    let left = after.trim_start_matches(|c| (' '..='?').contains(&c));
    if left.starts_with(|c: char| ('@'..='~').contains(&c)) { &left[1..] } else { left }
}

/// A command string up to its end; without an end only its beginning is gone.
fn string(after: &str) -> &str {
    let ends = ["\u{7}", "\u{1b}\\", "\u{9c}"];
    let end = ends.iter().filter_map(|end| after.find(end).map(|at| at + end.len())).min();
    end.map_or(after, |end| &after[end..])
}

/// Control characters (C0, DEL, C1), line separators, marks of direction, and tags that nobody sees.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// JSON in which nothing hidden stands as itself: outside its strings there is none but white space.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) && !matches!(c, '\n' | '\r' | '\t') {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        for (given, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}name", "name"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq#0\u{1b}\\sixel", "sixel"),
            ("\u{9b}2Jgone", "gone"),
            ("\u{1b}(Bset", "set"),
            ("\u{1b}cfull reset", "full reset"),
            ("over\rwritten\u{8}\u{7f}", "overwritten"),
            ("gnp.\u{202e}exe", "gnp.exe"),
            ("an open \u{1b}]0;string", "an open 0;string"),
            ("\u{1b}", ""),
            ("Äcker, 草地", "Äcker, 草地"),
        ] {
            assert_eq!(line(given), shown, "{given:?}");
        }
    }

    #[test]
    fn a_long_message_keeps_its_beginning_and_its_end() {
        let long = format!("the header says {}; correct it", "x".repeat(5000));
        let short = line(&long);
        assert_eq!(short.chars().count(), MOST);
        assert!(short.starts_with("the header says x") && short.ends_with("; correct it"), "{short}");
    }

    proptest! {
        #[test]
        fn any_text_comes_out_clean_and_json_unchanged(text in any::<String>()) {
            let shown = lines(&text);
            prop_assert!(shown.chars().all(|c| c == '\n' || !is_hidden(c)));
            prop_assert!(shown.lines().all(|line| line.chars().count() <= MOST));
            let json = escaped(&serde_json::to_string(&text).unwrap());
            prop_assert!(!json.chars().any(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
