//! How each kind of thing looks as a row of a table.

use arxosrt_core::control::conflict::ConflictRow;
use arxosrt_core::control::document::AuditRow;
use arxosrt_core::control::{LockHistoryRow, LockRow, RoomRow, UserRow};
use serde::de::DeserializeOwned;

use super::table::{Column, left, right};
use super::text::span;

/// A thing that is listed.
pub trait Row: DeserializeOwned {
    /// Its columns.
    const COLUMNS: &'static [Column];

    /// What it is called.
    fn id(&self) -> &str;

    /// What `-o name` prints: the words that the commands on one such thing take.
    fn name(&self) -> String {
        self.id().to_owned()
    }

    /// One text per column.
    fn cells(&self) -> Vec<String>;
}

impl Row for RoomRow {
    const COLUMNS: &'static [Column] =
        &[left("ROOM"), right("USERS"), right("SESSIONS"), right("LOCKS"), right("SEQ"), left("BUILDING")];

    fn id(&self) -> &str {
        &self.room_id
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.room_id.clone(),
            self.users.to_string(),
            self.sessions.to_string(),
            self.locks.to_string(),
            self.seq.to_string(),
            self.building_id.clone(),
        ]
    }
}

impl Row for UserRow {
    const COLUMNS: &'static [Column] =
        &[left("USER"), left("NAME"), left("STATE"), right("SESSIONS"), right("LOCKS"), right("IDLE"), left("ROOMS")];

    fn id(&self) -> &str {
        &self.user_id
    }

    fn cells(&self) -> Vec<String> {
        let mut rooms: Vec<&str> = self.sessions.iter().flat_map(|s| &s.rooms).map(String::as_str).collect();
        rooms.sort_unstable();
        rooms.dedup();
        vec![
            self.user_id.clone(),
            self.username.clone(),
            self.state.clone(),
            self.sessions.len().to_string(),
            self.locks.to_string(),
            span(self.idle_ms),
            rooms.join(" "),
        ]
    }
}

impl Row for LockRow {
    const COLUMNS: &'static [Column] = &[
        left("LOCK"),
        left("TYPE"),
        left("RESOURCE"),
        left("HOLDER"),
        left("STATE"),
        right("IDLE"),
        right("TTL"),
        right("WAIT"),
        right("TOKEN"),
    ];

    fn id(&self) -> &str {
        &self.lock_id
    }

    fn cells(&self) -> Vec<String> {
        let resource = match self.resources.len() {
            0 | 1 => self.resource_id.clone(),
            several => format!("{} +{}", self.resource_id, several - 1),
        };
        vec![
            self.lock_id.clone(),
            self.lock_type.clone(),
            resource,
            self.holder.username.clone(),
            self.state.clone(),
            span(self.idle_ms),
            span(self.expires_in_ms),
            self.waiters.to_string(),
            self.fencing_token.to_string(),
        ]
    }
}

impl Row for LockHistoryRow {
    const COLUMNS: &'static [Column] = &[
        left("TIME"),
        left("CHANGE"),
        left("LOCK"),
        left("TYPE"),
        left("USER"),
        left("CAUSE"),
        left("BY"),
        left("REASON"),
    ];

    fn id(&self) -> &str {
        &self.lock_id
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.at.clone(),
            self.change.clone(),
            self.lock_id.clone(),
            self.lock_type.clone(),
            self.user_id.clone(),
            self.cause.clone(),
            self.by.clone().unwrap_or_default(),
            self.reason.clone().unwrap_or_default(),
        ]
    }
}

impl Row for ConflictRow {
    const COLUMNS: &'static [Column] = &[
        left("CONFLICT"),
        left("SEVERITY"),
        left("STATUS"),
        left("RESOURCE"),
        left("COMMITTED"),
        left("WAITS"),
        left("TYPE"),
        left("FOUND"),
        right("LEFT"),
    ];

    fn id(&self) -> &str {
        &self.conflict_id
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.conflict_id.clone(),
            self.severity.clone(),
            self.status.clone(),
            self.resource_id.clone(),
            self.username_1.clone(),
            self.username_2.clone(),
            self.conflict_type.clone(),
            self.created_at.clone(),
            self.decided_in_ms.map(span).unwrap_or_default(),
        ]
    }
}

/// A settled conflict as a row of the history.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub struct SettledLine(pub ConflictRow);

impl Row for SettledLine {
    const COLUMNS: &'static [Column] = &[
        left("TIME"),
        left("CONFLICT"),
        left("SEVERITY"),
        left("RESOURCE"),
        left("COMMITTED"),
        left("WAITED"),
        left("RESOLUTION"),
        left("BY"),
        left("REASON"),
    ];

    fn id(&self) -> &str {
        &self.0.conflict_id
    }

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        vec![
            row.resolved_at.clone().unwrap_or_default(),
            row.conflict_id.clone(),
            row.severity.clone(),
            row.resource_id.clone(),
            row.username_1.clone(),
            row.username_2.clone(),
            row.resolution.clone().unwrap_or_default(),
            row.resolved_by.clone().unwrap_or_default(),
            row.reason.clone().unwrap_or_default(),
        ]
    }
}

/// An audit record as a row: its number is a text here, because ids are.
pub struct AuditLine {
    row: AuditRow,
    id: String,
}

impl<'de> serde::Deserialize<'de> for AuditLine {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        AuditRow::deserialize(from).map(|row| AuditLine { id: row.id.to_string(), row })
    }
}

impl Row for AuditLine {
    const COLUMNS: &'static [Column] =
        &[left("TIME"), left("ACTOR"), left("ROLE"), left("ACTION"), left("TARGET"), left("RESULT"), left("REASON")];

    fn id(&self) -> &str {
        &self.id
    }

    fn cells(&self) -> Vec<String> {
        let row = &self.row;
        vec![
            row.at.clone(),
            row.actor.clone(),
            row.role.clone(),
            row.action.clone(),
            row.target.clone(),
            row.result.clone(),
            row.reason.clone().unwrap_or_default(),
        ]
    }
}
