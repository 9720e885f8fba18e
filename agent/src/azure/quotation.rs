//! What another service says, cut and cleaned so that a log or a terminal can show it.

/// Most characters of one sentence; those of Azure are shorter.
const CHARACTERS_MAX: usize = 300;

/// The first line, without control characters, by which a terminal could be told what to do.
pub(super) fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|character| !character.is_control()).take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_bounded_length_and_without_control_characters_is_left() {
        let long = "é".repeat(CHARACTERS_MAX + 1);
        let rows = [
            ("First.\r\nSecond", "First."),
            ("\u{1b}]0;owned\u{7}red \u{9b}31m\ttab", "]0;ownedred 31mtab"),
            ("left\rright", "leftright"),
            ("", ""),
            (&long, &long[..2 * CHARACTERS_MAX]),
        ];
        for (text, expected) in rows {
            assert_eq!(first_line(text), expected, "{text:?}");
        }
    }
}
