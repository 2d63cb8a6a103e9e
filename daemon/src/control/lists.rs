//! Lists of rooms, people and locks, out of the hub's pages.
//!
//! The hub answers with small pages so that nobody waits behind a long list; here they become the pages that operators
//! ask for. A page begins behind its cursor, so what is added or removed between two never makes an item appear twice.

use std::ops::Bound;

use arxosrt_core::control::code::Code;
use arxosrt_core::control::{LockRow, RoomRow, UserRow};
use arxosrt_core::id::{RoomId, UserId};
use arxosrt_core::lock::Token;
use axum::response::Response;
use serde::Serialize;

use super::extract::Page;
use super::failure::Failure;
use super::routes::respond;
use super::server::Server;
use crate::hub::ask::{self, Ask, Reply};

/// A thing of which the hub has pages.
pub(super) trait Listed: Serialize + Send + Sized + 'static {
    /// The kind of document.
    const KIND: &'static str;

    /// What the list is in order of.
    type Key: Clone + PartialEq + Send + 'static;

    /// The question for a page.
    fn ask(from: Bound<Self::Key>, reply: Reply<ask::Page<Self>>) -> Ask;

    /// The place in the order; none if the hub gave it an id that is no id.
    fn key(&self) -> Option<Self::Key>;

    /// The same as the next page's cursor.
    fn cursor(&self) -> String;

    /// What a cursor says.
    fn parse(cursor: &str) -> Option<Self::Key>;
}

impl Listed for RoomRow {
    const KIND: &'static str = "Room";
    type Key = RoomId;

    fn ask(from: Bound<RoomId>, reply: Reply<ask::Page<Self>>) -> Ask {
        Ask::Rooms { from, reply }
    }

    fn key(&self) -> Option<RoomId> {
        RoomId::new(&self.room_id).ok()
    }

    fn cursor(&self) -> String {
        self.room_id.clone()
    }

    fn parse(cursor: &str) -> Option<RoomId> {
        RoomId::new(cursor).ok()
    }
}

impl Listed for UserRow {
    const KIND: &'static str = "User";
    type Key = UserId;

    fn ask(from: Bound<UserId>, reply: Reply<ask::Page<Self>>) -> Ask {
        Ask::Users { from, reply }
    }

    fn key(&self) -> Option<UserId> {
        UserId::new(&self.user_id).ok()
    }

    fn cursor(&self) -> String {
        self.user_id.clone()
    }

    fn parse(cursor: &str) -> Option<UserId> {
        UserId::new(cursor).ok()
    }
}

impl Listed for LockRow {
    const KIND: &'static str = "Lock";
    type Key = Token;

    fn ask(from: Bound<Token>, reply: Reply<ask::Page<Self>>) -> Ask {
        Ask::Locks { from, reply }
    }

    fn key(&self) -> Option<Token> {
        Some(Token(self.fencing_token))
    }

    fn cursor(&self) -> String {
        self.fencing_token.to_string()
    }

    fn parse(cursor: &str) -> Option<Token> {
        cursor.parse().ok().map(Token)
    }
}

/// One page as an operator asked for it.
pub(super) async fn list<T: Listed>(
    server: &Server,
    page: &Page,
    is_wanted: impl Fn(&T) -> bool,
) -> Result<Response, Failure> {
    let limit = page.limit()?;
    let from = match &page.cursor {
        None => Bound::Unbounded,
        Some(cursor) => {
            let bad = || Failure::new(Code::BadRequest, format!("{cursor:?} is not a cursor of this list"));
            Bound::Excluded(T::parse(cursor).ok_or_else(bad)?)
        }
    };
    let mut items: Vec<T> = Vec::new();
    // One more than the limit tells whether there is a next page.
    read(server, from, |row| {
        if is_wanted(&row) {
            items.push(row);
        }
        items.len() <= limit
    })
    .await?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if has_more { items.last().map(Listed::cursor) } else { None };
    respond(T::KIND, items, next_cursor)
}

/// The whole list.
pub(super) async fn all<T: Listed>(server: &Server) -> Result<Vec<T>, Failure> {
    let mut items = Vec::new();
    read(server, Bound::Unbounded, |row| {
        items.push(row);
        true
    })
    .await?;
    Ok(items)
}

/// The item of this key, if there is one.
pub(super) async fn one<T: Listed>(server: &Server, key: T::Key) -> Result<Option<T>, Failure> {
    let page = server.ask(|reply| T::ask(Bound::Included(key.clone()), reply)).await?;
    Ok(page.rows.into_iter().next().filter(|row| row.key() == Some(key)))
}

/// Reads page after page until there is no more or `take` has enough.
async fn read<T: Listed>(
    server: &Server,
    mut from: Bound<T::Key>,
    mut take: impl FnMut(T) -> bool,
) -> Result<(), Failure> {
    loop {
        let page = server.ask(|reply| T::ask(from, reply)).await?;
        let last = page.rows.last().and_then(T::key);
        for row in page.rows {
            if !take(row) {
                return Ok(());
            }
        }
        match last {
            Some(key) if page.more => from = Bound::Excluded(key),
            _ => return Ok(()),
        }
    }
}
