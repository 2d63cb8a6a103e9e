//! How is a stranger's text shown on a terminal? User names, room names and reasons come from clients. Printed as they
//! are they could move the cursor, retitle the window or turn the reading direction; so whatever is not plain text is
//! shown as its number.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text with everything that could steer a terminal replaced by `\u{…}`.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if steers(c) {
            write!(cleaned, "\\u{{{:x}}}", c as u32).expect("writing into a String cannot fail");
        } else {
            cleaned.push(c);
        }
    }
    Cow::Owned(cleaned)
}

/// The same for a text of several lines: line feeds and tabs stay as they are.
pub fn clean_text(text: &str) -> String {
    let piece = |piece: &str| match piece.strip_suffix(['\n', '\t']) {
        Some(before) => format!("{}{}", clean(before), &piece[before.len()..]),
        None => clean(piece).into_owned(),
    };
    text.split_inclusive(['\n', '\t']).map(piece).collect()
}

/// The JSON text with the same characters as JSON escapes: what it says stays the same, and no terminal is steered.
pub fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(steers) {
        return Cow::Borrowed(json);
    }
    let mut cleaned = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        match c {
            // Outside of texts these separate tokens; inside they cannot stand as they are.
            '\n' | '\r' | '\t' => cleaned.push(' '),
            c if steers(c) => write!(cleaned, "\\u{:04x}", c as u32).expect("writing into a String cannot fail"),
            c => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// Control characters, line and paragraph separators, and marks that turn the reading direction.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// How many columns the text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The beginning of the text that fits into `columns`, with `…` at its end when something is missing.
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let mut kept = String::new();
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// A span for people: `<1s`, `42s`, `4m58s`, `3h02m`, `2d04h`.
pub fn span(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => "<1s".into(),
        1..=59 => format!("{s}s"),
        60..=3599 => format!("{}m{:02}s", s / 60, s % 60),
        3600..=86_399 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// A size for people: `512 B`, `12.0 KiB`, `3.4 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 is 1.0 of the next unit.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for (text, shown) in [
            ("plain 🏢 naïve", "plain 🏢 naïve"),
            ("bob\u{1b}[2J", "bob\\u{1b}[2J"),
            ("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("abc\u{202e}fed", "abc\\u{202e}fed"),
            ("\u{7f}", "\\u{7f}"),
        ] {
            assert_eq!(clean(text), shown);
        }
        for c in ('\0'..=char::MAX).filter(|c| c.is_control()) {
            assert!(!clean(&c.to_string()).contains(c), "{c:?}");
        }
    }

    #[test]
    fn lines_of_a_text_stay_lines() {
        assert_eq!(clean_text("{\n\t\"a\": \"\u{1b}[2J\"\r\n}\n"), "{\n\t\"a\": \"\\u{1b}[2J\"\\u{d}\n}\n");
        assert_eq!(clean_text(""), "");
    }

    #[test]
    fn json_says_the_same_without_steering() {
        let raw = "{\"a\":\n \"x\u{9b}y\u{202e}\\u001b\"}";
        let cleaned = clean_json(raw);
        assert!(!cleaned.chars().any(steers));
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&cleaned), value(raw));
    }

    #[test]
    fn a_cut_text_fits_and_says_that_it_is_cut() {
        for (text, columns, shown) in
            [("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("🏢🏢🏢", 4, "🏢…"), ("ab", 1, "…"), ("ab", 0, "")]
        {
            assert_eq!(cut(text, columns), shown);
            assert!(width(&cut(text, columns)) <= columns);
        }
    }

    #[test]
    fn sizes_are_short() {
        let sizes =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (3_650_722_202, "3.4 GiB")];
        for (count, shown) in sizes {
            assert_eq!(bytes(count), shown);
        }
    }

    #[test]
    fn spans_are_short() {
        for (ms, shown) in
            [(0, "<1s"), (59_999, "59s"), (298_000, "4m58s"), (10_920_000, "3h02m"), (187_200_000, "2d04h")]
        {
            assert_eq!(span(ms), shown);
        }
    }
}
