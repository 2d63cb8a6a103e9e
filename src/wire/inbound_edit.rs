//! Edits and conflicts as clients say them: one message in, checked wishes out.
//!
//! Parsed from the whole frame, beside [`super::inbound`]: these messages are rarer and richer than the others. Values
//! are turned into documents' values here, so nothing behind this sees unparsed JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::code::{self};
use super::field::{Raw, Wrong, bad, handle, id, need, need_id, shorten, text, words};
use super::inbound::Bounds;
use crate::building::command::{EditBody, Resolution, Share};
use crate::building::conflict::{ConflictId, Word};
use crate::edit::change::{Change, Place};
use crate::edit::path::Path;
use crate::edit::value::Value;
use crate::id::{ResourceId, RoomId, UserId};
use crate::lock::Token;

/// The most edits in one `sync`.
pub const SYNC_EDITS_MAX: usize = 256;

/// The longest `edit_id`, in bytes.
const EDIT_ID_BYTES_MAX: usize = 128;

/// `edit`, or one of the edits of `sync`.
#[derive(Debug)]
pub struct Edit<'a> {
    /// What is changed.
    pub resource: ResourceId,
    /// In which room it lies, as far as the client says.
    pub room: Option<RoomId>,
    /// The version that the client knew.
    pub base: u64,
    /// What is to be different.
    pub body: EditBody,
    /// The token of the client's lock.
    pub token: Option<Token>,
    /// The version of the grid in which the coordinates are.
    pub frame: Option<u64>,
    /// The client's own name for it.
    pub edit_id: Option<Cow<'a, str>>,
}

impl Edit<'_> {
    /// The same, independent of the frame.
    pub fn into_owned(self) -> Edit<'static> {
        Edit { edit_id: self.edit_id.map(|id| Cow::Owned(id.into_owned())), ..self }
    }
}

/// An edit within `sync`: each has its own answer, so each is understood for itself.
#[derive(Debug)]
pub struct SyncItem<'a> {
    /// The edit, or what is wrong with it.
    pub edit: Result<Edit<'a>, (code::ErrorCode, String)>,
    /// The client's own name for it, as far as it could be read.
    pub edit_id: Option<Cow<'a, str>>,
}

impl SyncItem<'_> {
    /// The same, independent of the frame.
    pub fn into_owned(self) -> SyncItem<'static> {
        SyncItem { edit: self.edit.map(Edit::into_owned), edit_id: self.edit_id.map(|id| Cow::Owned(id.into_owned())) }
    }
}

/// `resolve_conflict`.
#[derive(Debug)]
pub struct Resolve {
    /// Which.
    pub conflict: ConflictId,
    /// The revision that the client saw.
    pub revision: Option<u32>,
    /// How.
    pub resolution: Resolution,
}

/// `restore_value`.
#[derive(Debug)]
pub struct Restore {
    /// The settled conflict.
    pub conflict: ConflictId,
    /// Whose value; the one that lost when absent.
    pub whose: Option<UserId>,
    /// Of which path only.
    pub path: Option<Path>,
}

#[derive(Deserialize)]
struct EditFields<'a> {
    #[serde(borrow, default)]
    resource_id: Raw<'a>,
    #[serde(borrow, default)]
    room_id: Raw<'a>,
    #[serde(borrow, default)]
    base_version: Raw<'a>,
    #[serde(borrow, default)]
    changes: Raw<'a>,
    #[serde(borrow, default)]
    patch: Raw<'a>,
    #[serde(borrow, default)]
    document: Raw<'a>,
    #[serde(borrow, default)]
    fencing_token: Raw<'a>,
    #[serde(borrow, default)]
    frame_version: Raw<'a>,
    #[serde(borrow, default)]
    edit_id: Raw<'a>,
}

#[derive(Deserialize)]
struct ChangeFields<'a> {
    #[serde(borrow, default)]
    op: Raw<'a>,
    #[serde(borrow, default)]
    path: Raw<'a>,
    #[serde(borrow, default)]
    value: Raw<'a>,
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    after: Raw<'a>,
}

/// Understands `edit`.
pub(super) fn edit<'a>(frame: &'a str, bounds: &Bounds) -> Result<Edit<'a>, Wrong> {
    let fields: EditFields = serde_json::from_str(frame).map_err(|error| bad("edit", error))?;
    fields.edit(bounds)
}

/// Understands `sync`.
pub(super) fn sync<'a>(frame: &'a str, bounds: &Bounds) -> Result<Vec<SyncItem<'a>>, Wrong> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow, default)]
        edits: Raw<'a>,
    }
    let fields: Fields = serde_json::from_str(frame).map_err(|error| bad("sync", error))?;
    let json = fields.edits.value().ok_or_else(|| bad("edits", "is required"))?;
    let items: Vec<Raw> = serde_json::from_str(json).map_err(|_| bad("edits", "must be an array"))?;
    if items.is_empty() || items.len() > SYNC_EDITS_MAX {
        let what = format!("edits: 1 to {SYNC_EDITS_MAX} are allowed, not {}", items.len());
        return Err(Wrong(code::TOO_LARGE, what));
    }
    let understood = |item: Raw<'a>| {
        let fields: Result<EditFields, _> = serde_json::from_str(item.0.unwrap_or("null"));
        match fields {
            Ok(fields) => SyncItem {
                edit_id: words("edit_id", &fields.edit_id, EDIT_ID_BYTES_MAX).ok().flatten(),
                edit: fields.edit(bounds).map_err(|Wrong(code, detail)| (code, detail)),
            },
            Err(_) => SyncItem { edit: Err((code::BAD_MESSAGE, "an edit is an object".to_owned())), edit_id: None },
        }
    };
    Ok(items.into_iter().map(understood).collect())
}

impl<'a> EditFields<'a> {
    fn edit(&self, bounds: &Bounds) -> Result<Edit<'a>, Wrong> {
        let body = match (self.changes.value(), self.patch.value(), self.document.value()) {
            (Some(json), None, None) => EditBody::Changes(changes(json, bounds.changes_max)?),
            (None, Some(json), None) => EditBody::MergePatch(json.into()),
            (None, None, Some(json)) => EditBody::Whole(json.into()),
            _ => return Err(bad("changes", "exactly one of changes, patch and document is required")),
        };
        Ok(Edit {
            resource: need_id("resource_id", &self.resource_id, ResourceId::new)?,
            room: id("room_id", &self.room_id, RoomId::new)?,
            base: number("base_version", &self.base_version)?.ok_or_else(|| bad("base_version", "is required"))?,
            body,
            token: number("fencing_token", &self.fencing_token)?.map(Token),
            frame: number("frame_version", &self.frame_version)?,
            edit_id: words("edit_id", &self.edit_id, EDIT_ID_BYTES_MAX)?,
        })
    }
}

/// The changes of an edit.
fn changes(json: &str, max: usize) -> Result<Vec<Change>, Wrong> {
    let items: Vec<ChangeFields> =
        serde_json::from_str(json).map_err(|_| bad("changes", "must be an array of objects"))?;
    if items.is_empty() || items.len() > max {
        let what = format!("changes: 1 to {max} are allowed, not {}", items.len());
        return Err(Wrong(code::TOO_LARGE, what));
    }
    items.iter().map(change).collect()
}

fn change(fields: &ChangeFields) -> Result<Change, Wrong> {
    let path = path("path", &need("path", &fields.path)?)?;
    let value = || match fields.value.0 {
        Some(json) => value("value", json),
        None => Err(bad("value", "is required")),
    };
    let element = || -> Result<std::sync::Arc<str>, Wrong> { Ok(std::sync::Arc::from(&*need("id", &fields.id)?)) };
    let place = match fields.after.0 {
        None => Place::End,
        Some("null") => Place::Front,
        Some(_) => Place::After(std::sync::Arc::from(&*need("after", &fields.after)?)),
    };
    Ok(match &*need("op", &fields.op)? {
        "set" => Change::Set { path, value: value()? },
        "unset" => Change::Unset { path },
        "insert" => Change::Insert { path, value: value()?, place },
        "remove" => Change::Remove { path, id: element()? },
        "move" => Change::Move { path, id: element()?, place },
        other => {
            let what = format!("must be set, unset, insert, remove or move, not {:?}", shorten(other));
            return Err(bad("op", what));
        }
    })
}

fn path(field: &str, text: &str) -> Result<Path, Wrong> {
    Path::parse(text).map_err(|error| bad(field, error))
}

fn value(field: &str, json: &str) -> Result<Value, Wrong> {
    Value::parse(json).map_err(|error| bad(field, error))
}

fn number(field: &str, raw: &Raw<'_>) -> Result<Option<u64>, Wrong> {
    let Some(json) = raw.value() else { return Ok(None) };
    json.parse().map(Some).map_err(|_| bad(field, "must be a whole number"))
}

/// Understands `restore_value`.
pub(super) fn restore(frame: &str) -> Result<Restore, Wrong> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow, default)]
        conflict_id: Raw<'a>,
        #[serde(borrow, default)]
        whose: Raw<'a>,
        #[serde(borrow, default)]
        path: Raw<'a>,
    }
    let fields: Fields = serde_json::from_str(frame).map_err(|error| bad("restore_value", error))?;
    Ok(Restore {
        conflict: handle("conflict_id", &fields.conflict_id, ConflictId::parse, code::CONFLICT_NOT_FOUND)?,
        whose: id("whose", &fields.whose, UserId::new)?,
        path: text("path", &fields.path)?.map(|at| path("path", &at)).transpose()?,
    })
}

/// How a conflict is to be settled.
#[derive(Default, Deserialize)]
struct ResolveFields<'a> {
    #[serde(borrow, default)]
    conflict_id: Raw<'a>,
    #[serde(borrow, default)]
    resolution: Raw<'a>,
    #[serde(borrow, default)]
    revision: Raw<'a>,
    #[serde(borrow, default)]
    winner: Raw<'a>,
    #[serde(borrow, default)]
    choices: Raw<'a>,
    #[serde(borrow, default)]
    values: Raw<'a>,
    #[serde(borrow, default)]
    value: Raw<'a>,
}

/// Understands `resolve_conflict`.
pub(super) fn resolve(frame: &str) -> Result<Resolve, Wrong> {
    let fields: ResolveFields = serde_json::from_str(frame).map_err(|error| bad("resolve_conflict", error))?;
    fields.resolve()
}

/// The same for what comes by another way than a message.
pub fn parse_resolve(json: &str) -> Result<Resolve, (code::ErrorCode, String)> {
    resolve(json).map_err(|Wrong(code, detail)| (code, detail))
}

/// Several edits that come by another way than a message: an object with `edits`.
pub fn parse_sync<'a>(json: &'a str, bounds: &Bounds) -> Result<Vec<SyncItem<'a>>, (code::ErrorCode, String)> {
    sync(json, bounds).map_err(|Wrong(code, detail)| (code, detail))
}

/// An edit that comes by another way than a message.
pub fn parse_edit<'a>(json: &'a str, bounds: &Bounds) -> Result<Edit<'a>, (code::ErrorCode, String)> {
    edit(json, bounds).map_err(|Wrong(code, detail)| (code, detail))
}

impl ResolveFields<'_> {
    fn resolve(&self) -> Result<Resolve, Wrong> {
        let conflict = handle("conflict_id", &self.conflict_id, ConflictId::parse, code::CONFLICT_NOT_FOUND)?;
        let revision = match number("revision", &self.revision)? {
            Some(n) => Some(u32::try_from(n).map_err(|_| bad("revision", "must be a revision of the conflict"))?),
            None => None,
        };
        let name = need("resolution", &self.resolution)?;
        let word = Word::parse(&name).ok_or_else(|| {
            let what = format!("must be accept_mine, accept_theirs, merge or manual, not {:?}", shorten(&name));
            bad("resolution", what)
        })?;
        let resolution = match word {
            Word::AcceptMine => Resolution::AcceptMine,
            Word::AcceptTheirs => Resolution::AcceptTheirs,
            Word::Merge => match text("winner", &self.winner)? {
                Some(winner) => Resolution::Winner(user("winner", &winner)?),
                None => Resolution::Merge(self.shares()?),
            },
            Word::Manual => self.given()?,
        };
        Ok(Resolve { conflict, revision, resolution })
    }

    fn shares(&self) -> Result<Vec<(Path, Share)>, Wrong> {
        let Some(json) = self.choices.value() else { return Ok(Vec::new()) };
        let choices: BTreeMap<Cow<str>, Cow<str>> =
            serde_json::from_str(json).map_err(|_| bad("choices", "must be {PATH: \"mine\", \"theirs\" or USER}"))?;
        let share = |(at, whose): (Cow<str>, Cow<str>)| {
            let share = match &*whose {
                "mine" => Share::Mine,
                "theirs" => Share::Theirs,
                other => Share::Of(user("choices", other)?),
            };
            Ok((path("choices", &at)?, share))
        };
        choices.into_iter().map(share).collect()
    }

    fn given(&self) -> Result<Resolution, Wrong> {
        let given = |json: &str| match json {
            "null" => Ok(None),
            json => value("value", json).map(Some),
        };
        match (self.values.value(), self.value.0) {
            (Some(json), None) => {
                let values: BTreeMap<Cow<str>, Raw> =
                    serde_json::from_str(json).map_err(|_| bad("values", "must be {PATH: VALUE}"))?;
                let one = |(at, raw): (Cow<str>, Raw)| Ok((path("values", &at)?, given(raw.0.unwrap_or("null"))?));
                Ok(Resolution::Manual(values.into_iter().map(one).collect::<Result<_, Wrong>>()?))
            }
            (None, Some(json)) => Ok(Resolution::ManualOne(given(json)?)),
            (None, None) => Ok(Resolution::Manual(Vec::new())),
            (Some(_), Some(_)) => Err(bad("value", "goes without values")),
        }
    }
}

fn user(field: &str, text: &str) -> Result<UserId, Wrong> {
    UserId::new(text).map_err(|error| Wrong(code::BAD_ID, format!("{field}: {error}")))
}
