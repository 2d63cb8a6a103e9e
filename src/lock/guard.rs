//! The safeguards of locks and edits, by name.
//!
//! A simulation that never fails proves little until each safeguard has been taken away and the simulation has
//! noticed. With the feature `broken-guards` single guards can be switched off; without it [`Guards`] has no size and
//! every guard holds, so nothing is left of this in a build that serves.

/// One safeguard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Guard {
    /// What others hold excludes a grant.
    Exclusion,
    /// What the asker holds itself does not.
    OwnLocks,
    /// Nobody is granted before an earlier waiter that wants the same.
    Fifo,
    /// A wait that would close a circle is refused.
    Deadlock,
    /// Every token is larger than all before.
    TokenOrder,
    /// Several things are locked together or not at all.
    AllOrNothing,
    /// Only the holder releases.
    ReleaseByHolder,
    /// An operator releases only what it saw.
    ExpectedToken,
    /// A lease that was renewed does not end at its former time.
    LeaseDeadline,
    /// No renewal carries a lock beyond the hard cap.
    HardCap,
    /// A take-over does not start the hard cap anew.
    CapSurvivesTakeOver,
    /// Nobody gets in between the two halves of a hand-over.
    HandOver,
    /// Only the token of a lock that is held now verifies.
    VerifyLive,
    /// The end of a session ends its waits.
    EndedWaits,
    /// The end of a session releases all its locks.
    EndedLocks,
    /// What waits is looked at again when a lock is released.
    Wake,
    /// A message that was told is not told again.
    Dedup,
    /// Several messages of one decision have different numbers.
    Seq,
    /// An edit under a lock that is lost writes nothing.
    EditFence,
    /// An edit that was answered is not done again.
    EditDedup,
    /// Nobody settles a conflict that has changed under his eyes.
    ConflictRevision,
}

/// All guards, for tests that try each.
pub const ALL: [Guard; 21] = [
    Guard::Exclusion,
    Guard::OwnLocks,
    Guard::Fifo,
    Guard::Deadlock,
    Guard::TokenOrder,
    Guard::AllOrNothing,
    Guard::ReleaseByHolder,
    Guard::ExpectedToken,
    Guard::LeaseDeadline,
    Guard::HardCap,
    Guard::CapSurvivesTakeOver,
    Guard::HandOver,
    Guard::VerifyLive,
    Guard::EndedWaits,
    Guard::EndedLocks,
    Guard::Wake,
    Guard::Dedup,
    Guard::Seq,
    Guard::EditFence,
    Guard::EditDedup,
    Guard::ConflictRevision,
];

/// Those of edits and conflicts.
pub const EDITS: [Guard; 3] = [Guard::EditFence, Guard::EditDedup, Guard::ConflictRevision];

/// Which safeguards hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guards {
    #[cfg(feature = "broken-guards")]
    broken: u32,
}

impl Guards {
    /// All but this one.
    #[cfg(feature = "broken-guards")]
    pub fn all_but(guard: Guard) -> Self {
        Guards { broken: 1 << guard as u32 }
    }

    /// Whether the guard holds.
    #[cfg(feature = "broken-guards")]
    pub(crate) fn hold(self, guard: Guard) -> bool {
        self.broken & (1 << guard as u32) == 0
    }

    /// Whether the guard holds: always.
    #[cfg(not(feature = "broken-guards"))]
    pub(crate) const fn hold(self, _: Guard) -> bool {
        true
    }
}
