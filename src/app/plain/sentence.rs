//! Messages of programs as sentences for people.

/// Begins with a capital, unless it begins with a file's name, and ends with a full stop.
pub fn sentence(message: &str) -> String {
    let message = message.trim();
    let first_word = message.split([' ', ',', ';']).next().unwrap_or_default();
    let mut chars = message.chars();
    let mut text = match chars.next() {
        Some(first) if first_word.chars().all(|c| c.is_alphabetic() || c == '\'' || c == '’') => {
            first.to_uppercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    };
    if !text.is_empty() && !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("no scene is open; open one first"), "No scene is open; open one first.");
        assert_eq!(sentence("a.mat: it is empty"), "a.mat: it is empty.");
        assert_eq!(sentence("notes_2 ends early"), "notes_2 ends early.");
        assert_eq!(sentence("There is no scene yet."), "There is no scene yet.");
        assert_eq!(sentence("  "), "");
    }
}
