//! What single sessions are told besides the rooms: an intention, addressed to a session and not to a socket.

use std::sync::Arc;

use crate::building::command::{HolderAnswer, LockView};
use crate::building::conflict::{Opened, Settled};
use crate::building::event::ReleaseReason;
use crate::id::{ResourceId, SessionId, UserId};
use crate::lock::{LockId, LockType, RequestId, Ticket, Token};

/// Who is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Addressee {
    /// A session. It may be gone; then nobody is told.
    Session(SessionId),
    /// Everywhere a person is connected.
    Person(UserId),
}

/// A notice and its addressee.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify {
    /// Who is told.
    pub to: Addressee,
    /// What.
    pub notice: Notice,
}

/// Why a wait ended without a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// `wait_ms` ran out.
    TimedOut,
    /// The waiter cancelled.
    Cancelled,
}

/// Why an editing request is no longer open, as told to the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// The requester withdrew it or is gone.
    Retracted,
    /// The holder did not answer in time.
    Expired,
    /// The lock was released or lost meanwhile.
    LockGone,
}

/// What a session is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The wait is over: the lock is yours.
    WaitGranted {
        /// The place in the queue that was held.
        ticket: Ticket,
        /// The lock.
        lock: LockView,
    },
    /// The place in the queue has changed.
    WaitMoved {
        /// The place in the queue.
        ticket: Ticket,
        /// 1 for the next one.
        position: u32,
    },
    /// The wait is over without a lock.
    WaitEnded {
        /// The place in the queue that was held.
        ticket: Ticket,
        /// Why.
        why: WaitEnd,
        /// Every lock in the way.
        blocked_by: Vec<LockView>,
    },
    /// A lease (or the hard cap) ends soon.
    Expiring {
        /// The lock.
        lock: LockId,
        /// What it covers.
        resource: ResourceId,
        /// In how many milliseconds.
        expires_in_ms: u64,
    },
    /// A lock is no longer yours, and not because you released it.
    Lost {
        /// The lock.
        lock: LockId,
        /// Its token, which is stale from now on.
        token: Token,
        /// The kind.
        lock_type: LockType,
        /// What it covered.
        resource: ResourceId,
        /// Why.
        reason: ReleaseReason,
        /// The operator and the stated reason, when forced.
        forced: Option<(Box<str>, Box<str>)>,
        /// Who has it now, when it was handed over.
        to: Option<UserId>,
    },
    /// Somebody waits for a lock of yours.
    Contended {
        /// The lock.
        lock: LockId,
        /// What it covers.
        resource: ResourceId,
        /// How many wait.
        waiters: u32,
    },
    /// Somebody asks you to hand a lock over.
    Requested {
        /// The request.
        request: RequestId,
        /// The lock.
        lock: LockId,
        /// What it covers.
        resource: ResourceId,
        /// Who asks.
        user: UserId,
        /// The person's shown name.
        username: Arc<str>,
        /// The person's word.
        message: Option<Box<str>>,
        /// How long you have, in milliseconds.
        respond_in_ms: u64,
    },
    /// Your editing request is answered.
    RequestAnswered {
        /// The request.
        request: RequestId,
        /// The lock that was asked for.
        lock: LockId,
        /// The answer.
        decision: HolderAnswer,
        /// The holder did not answer itself: it was idle or gone.
        deemed: bool,
        /// The holder's word.
        message: Option<Box<str>>,
        /// The new lock, when granted.
        granted: Option<LockView>,
    },
    /// Your editing request ended unanswered.
    RequestLapsed {
        /// The request.
        request: RequestId,
        /// The lock that was asked for.
        lock: LockId,
        /// Why.
        why: RequestEnd,
    },
    /// An editing request to you is no longer open.
    RequestClosed {
        /// The request.
        request: RequestId,
        /// The lock that was asked for.
        lock: LockId,
        /// Why.
        why: RequestEnd,
    },
    /// You view analytics of something that somebody edits exclusively from now on; your view goes on.
    ViewBroken {
        /// Your view.
        lock: LockId,
        /// What you view.
        resource: ResourceId,
        /// The lock that begins.
        by: LockView,
    },
    /// You and somebody else want different things of a resource.
    ConflictDetected {
        /// What and who.
        opened: Arc<Opened>,
        /// In how long it is decided without the two.
        decided_in_ms: u64,
    },
    /// A conflict of yours is settled.
    ConflictResolved {
        /// What and who.
        opened: Arc<Opened>,
        /// How.
        settled: Settled,
    },
}
