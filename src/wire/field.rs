//! Single fields of a message: unparsed JSON in, checked values out, and what is wrong with those that are not.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

use super::code::{self, ErrorCode};
use super::inbound::Patch;
use crate::id::BadId;

/// A field that is kept as the JSON it is, `null` included.
#[derive(Debug, Default)]
pub(super) struct Raw<'a>(pub(super) Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(d).map(|raw| Raw(Some(raw.get())))
    }
}

impl<'a> Raw<'a> {
    /// The value, with `null` like an absent field.
    pub(super) fn value(&self) -> Option<&'a str> {
        self.0.filter(|text| *text != "null")
    }

    pub(super) fn patch(&self) -> Patch<&'a str> {
        match self.0 {
            None => Patch::Keep,
            Some("null") => Patch::Clear,
            Some(text) => Patch::Set(text),
        }
    }
}

/// A text field, or a number where clients use numbers as ids.
#[derive(Debug)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
        }
        d.deserialize_any(Visit)
    }
}

/// What went wrong with one field.
pub(super) struct Wrong(pub(super) ErrorCode, pub(super) String);

pub(super) fn bad(field: &str, what: impl fmt::Display) -> Wrong {
    Wrong(code::BAD_MESSAGE, format!("{field}: {what}"))
}

pub(super) fn text<'a>(field: &str, raw: &Raw<'a>) -> Result<Option<Cow<'a, str>>, Wrong> {
    let Some(json) = raw.value() else { return Ok(None) };
    // The common case: a string without escapes needs no parser.
    if let Some(inner) = json.strip_prefix('"').and_then(|t| t.strip_suffix('"'))
        && !inner.contains('\\')
    {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    serde_json::from_str::<Text>(json).map(|t| Some(t.0)).map_err(|_| bad(field, "must be a string"))
}

pub(super) fn need<'a>(field: &str, raw: &Raw<'a>) -> Result<Cow<'a, str>, Wrong> {
    text(field, raw)?.ok_or_else(|| bad(field, "is required"))
}

pub(super) fn id<T>(field: &str, raw: &Raw<'_>, make: fn(&str) -> Result<T, BadId>) -> Result<Option<T>, Wrong> {
    let Some(text) = text(field, raw)? else { return Ok(None) };
    make(&text).map(Some).map_err(|e| Wrong(code::BAD_ID, format!("{field}: {e}")))
}

pub(super) fn need_id<T>(field: &str, raw: &Raw<'_>, make: fn(&str) -> Result<T, BadId>) -> Result<T, Wrong> {
    id(field, raw, make)?.ok_or_else(|| bad(field, "is required"))
}

pub(super) fn millis(field: &str, raw: &Raw<'_>) -> Result<Option<u64>, Wrong> {
    let Some(json) = raw.value() else { return Ok(None) };
    json.parse().map(Some).map_err(|_| bad(field, "must be a whole number of milliseconds"))
}

/// A stored JSON value of at most `max` bytes.
pub(super) fn bounded<'a>(field: &str, json: &'a str, max: usize) -> Result<&'a str, Wrong> {
    if json.len() > max {
        return Err(Wrong(code::TOO_LARGE, format!("{field}: has {} bytes, at most {max} are allowed", json.len())));
    }
    Ok(json)
}

pub(super) fn bounded_patch<'a>(field: &str, raw: &Raw<'a>, max: usize) -> Result<Patch<&'a str>, Wrong> {
    if let Patch::Set(json) = raw.patch() {
        bounded(field, json, max)?;
    }
    Ok(raw.patch())
}

pub(super) fn object<'a>(field: &str, json: &'a str, max: usize) -> Result<&'a str, Wrong> {
    if !json.starts_with('{') {
        return Err(bad(field, "must be an object"));
    }
    bounded(field, json, max)
}

pub(super) fn words<'a>(field: &str, raw: &Raw<'a>, max: usize) -> Result<Option<Cow<'a, str>>, Wrong> {
    let words = text(field, raw)?;
    if let Some(words) = &words {
        bounded(field, words, max)?;
    }
    Ok(words)
}

pub(super) fn handle<T>(
    field: &str,
    raw: &Raw<'_>,
    parse: fn(&str) -> Option<T>,
    unknown: ErrorCode,
) -> Result<T, Wrong> {
    let text = need(field, raw)?;
    parse(&text).ok_or_else(|| Wrong(unknown, format!("{field}: there is no {:?}", shorten(&text))))
}

/// At most 64 characters of `text`, for an error's sentence.
pub(super) fn shorten(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(at, _)| &text[..at])
}
