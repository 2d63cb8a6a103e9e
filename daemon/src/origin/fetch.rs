//! What does the cache want from an origin?
//!
//! Bytes under a strategy and an id. Whoever answers ([`Source`]) does so within the time that the request names, holds
//! no more of them at once than it is told to, and says why when it does not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arxosrt_core::cache::EntryId;
use bytes::Bytes;
use tokio::sync::Notify;

/// A value that is wanted.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The strategy's name.
    pub strategy: Box<str>,
    /// Which value.
    pub id: EntryId,
    /// The version that is there already: when it is still the origin's, nothing needs to be sent.
    pub etag: Option<Box<str>>,
    /// Who wants it.
    pub purpose: Purpose,
    /// Whether somebody waits for it by now, whatever the purpose was.
    pub promoted: Promoted,
    /// The latest that an answer is of use, from now on.
    pub deadline: Duration,
}

/// Who wants a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody who waits for it. Goes before everything else.
    Demand,
    /// Somebody will probably want it, or the value that is there grows old.
    Ahead,
}

/// A value that was to be loaded ahead may come to be waited for, while its load is under way. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Promoted(Arc<(AtomicBool, Notify)>);

impl Promoted {
    /// Somebody waits for it from now on.
    pub fn promote(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.notify_waiters();
    }

    /// Somebody waits for it.
    pub fn is(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Returns when somebody waits for it.
    pub async fn wait(&self) {
        // From here on a promotion wakes this one, whether it has been polled or not.
        let notified = self.0.1.notified();
        if !self.is() {
            notified.await;
        }
    }
}

/// What an origin says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// This is it.
    Value {
        /// The value: JSON as it stands.
        bytes: Bytes,
        /// Its version, if the origin names one.
        etag: Option<Box<str>>,
    },
    /// It is what the request's `etag` names.
    Unchanged,
    /// There is none.
    Missing,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// No origin is configured for this strategy.
    NoSource,
    /// None came within this time.
    Timeout(Duration),
    /// So many requests are under way or wait; the origin is not asked.
    Busy(usize),
    /// It cannot be reached, or says that it cannot answer now.
    Unavailable(String),
    /// It does not let us: its status.
    Denied(u16),
    /// The value has more than so many bytes.
    TooLarge(usize),
    /// What it sent is not what it should be.
    Malformed(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::NoSource => write!(f, "no origin gives values of this strategy"),
            FetchError::Timeout(after) => write!(f, "the origin did not answer within {} ms", after.as_millis()),
            FetchError::Busy(max) => write!(f, "{max} requests to the origin are under way or wait"),
            FetchError::Unavailable(why) => write!(f, "the origin cannot answer: {why}"),
            FetchError::Denied(status) => write!(f, "the origin refuses with status {status}"),
            FetchError::TooLarge(max) => write!(f, "the origin's value has more than {max} bytes"),
            FetchError::Malformed(why) => write!(f, "the origin's answer is not understood: {why}"),
        }
    }
}

impl std::error::Error for FetchError {}

/// How an origin fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// It answers, as far as is known.
    pub is_up: bool,
    /// Requests under way.
    pub busy: usize,
    /// What went wrong last, while it is not up.
    pub trouble: Option<String>,
}

/// An answer that is on its way.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, FetchError>> + Send>>;

/// An origin, as the cache sees it.
pub trait Source: Send + Sync + 'static {
    /// Asks for a value.
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched>;

    /// Hands over a value that a client has set, where the origin takes such; answers whether it did.
    fn store(&self, strategy: &str, id: &EntryId, value: Bytes) -> Answer<bool>;

    /// How it fares.
    fn health(&self) -> Health;
}
