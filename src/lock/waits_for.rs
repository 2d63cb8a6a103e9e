//! Would this wait close a circle of sessions that wait for each other?
//!
//! A session waits for another when that one holds, or earlier wants, what it wants. The search goes backwards from the
//! session that is about to wait: who waits for it, who waits for those, and so on; if one of them stands in the way of
//! the new wait, the circle is closed. A session that holds nothing and waits for nothing is never found by anybody,
//! so the common case ends at once. Circles are looked for when a wait begins and when a lock changes hands outside
//! the queue; nothing else adds to what anybody waits for (see [`super::queue`]).

use super::Ticket;
use super::closure::{Closure, NodeMap};
use super::outlook::{Outlook, Standing};
use super::queue::Waiter;
use crate::building::command::Actor;
use crate::id::{SessionId, UserId};

/// A session that waits, directly or not, for the one that the search began with.
struct Found<'s, 'a> {
    standing: Standing<'s, 'a>,
    user: &'s UserId,
    /// Whom it waits for; the index of the session found before.
    waits_for: usize,
}

/// The people of the circle that `actor` would close by waiting for `wanted`, behind all but those whom it passes.
pub(crate) fn circle_of_wait(
    outlook: &Outlook<'_>,
    actor: &Actor,
    wanted: &Closure<'_>,
    passes: &[Ticket],
) -> Option<Vec<UserId>> {
    let wanted_nodes = NodeMap::of(wanted);
    circle(outlook, &actor.session, &actor.user, |other| {
        let ahead = |wait: &&&Waiter| !passes.contains(&wait.ticket) && wait.meets(&wanted_nodes);
        other.holds_against(wanted) || other.waits().iter().find(ahead).is_some()
    })
}

/// The people of the circle on which a wait lies now.
pub(crate) fn circle_through(outlook: &Outlook<'_>, waiter: &Waiter) -> Option<Vec<UserId>> {
    circle(outlook, &waiter.actor.session, &waiter.actor.user, |other| other.blocks(waiter))
}

fn circle<'a>(
    outlook: &Outlook<'a>,
    session: &SessionId,
    user: &UserId,
    in_the_way: impl Fn(&Standing<'_, 'a>) -> bool,
) -> Option<Vec<UserId>> {
    let mut found = vec![Found { standing: outlook.standing(session), user, waits_for: 0 }];
    let mut left: Vec<&Waiter> = outlook.waiters().filter(|waiter| waiter.actor.session != *session).collect();
    let mut at = 0;
    while at < found.len() && !left.is_empty() {
        let (behind, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|waiter| found[at].standing.blocks(waiter));
        left = others;
        for waiter in behind {
            if found.iter().any(|one| *one.standing.session() == waiter.actor.session) {
                continue;
            }
            let next =
                Found { standing: outlook.standing(&waiter.actor.session), user: &waiter.actor.user, waits_for: at };
            if in_the_way(&next.standing) {
                return Some(path(&found, next));
            }
            found.push(next);
        }
        at += 1;
    }
    None
}

/// The people from the asker over the one that was found last, back to the one who waits for the asker.
fn path(found: &[Found<'_, '_>], last: Found<'_, '_>) -> Vec<UserId> {
    let mut users = vec![found[0].user.clone(), last.user.clone()];
    let mut at = last.waits_for;
    while at != 0 {
        users.push(found[at].user.clone());
        at = found[at].waits_for;
    }
    users
}
