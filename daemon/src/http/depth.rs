//! How deeply is a JSON text nested? Asked before anything recursive looks at it.

/// Whether `json` nests at most `max` arrays and objects. Says nothing about whether it is JSON at all.
pub fn is_within(json: &[u8], max: usize) -> bool {
    let mut depth = 0;
    let mut in_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn only_nesting_counts() {
        for (json, depth) in [
            ("", 0),
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{}]}"#, 3),
            ("[[],[],[]]", 2),
            (r#"["[[[["]"#, 1),
            (r#"["\"[[["]"#, 1),
            (r#"["\\",[]]"#, 2),
            ("]]]][[", 2),
            (r#"["\"#, 1),
        ] {
            assert!(is_within(json.as_bytes(), depth), "{json}");
            assert!(
                depth == 0 || !is_within(json.as_bytes(), depth - 1),
                "{json}"
            );
        }
        assert!(!is_within("[".repeat(1_000_000).as_bytes(), 64));
    }
}
