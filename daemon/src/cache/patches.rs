//! How does a floor's list that is cached keep up with edits?
//!
//! Asking the origin after every edit would make a busy floor as slow as its origin. So the hub's thread, with the commit,
//! raises the tags of the edit as it always must, and of each list that was valid at that moment it keeps the value, what
//! became of the edited thing, and the generations that hold from then on: a **chain**. It copies no list and writes no
//! text. A task changes the list's text beside the hub, by the same code that lays edits over what an origin says, and
//! installs it with the generations of the last edit. Edits that come meanwhile join the chain; one task works on it.
//!
//! What always holds: a list that is read after `resource_updated` is never older than that edit.
//!
//! - What was there before the edit is invalid with it, since its tag was raised; the chain's result is installed only if
//!   nothing else was raised since the list was last valid, by [`Captured::carried`]. Any other invalidation wins, before,
//!   between and after.
//! - Only the end of a chain is installed, and it has all its edits.
//! - A write, a removal or a load that installs something ends the chain, under the table's lock; what they bring is as
//!   new or newer.
//! - Only what an origin said is changed this way, and never while other nodes are not heard. What a client has set is
//!   its own affair: an edit makes it invalid.
//!
//! A result is served no longer than the value that it was made of would have been, and carries no version of the
//! origin's. It stays on this node: what the shared tier holds became invalid with the edit, and is filled by the next
//! load. A single thing needs no chain: the hub itself has what was just edited.
//!
//! Whoever misses the list meanwhile waits for it, up to [`PATIENCE`], and then loads. At the bounds of the table an edit
//! is an invalidation and nothing more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arxosrt_core::building::Agreed;
use arxosrt_core::cache::{Captured, Entry, Key, Put, Tag};
use arxosrt_core::id::ResourceId;
use arxosrt_core::time::Mono;
use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::service::Inner;
use super::value::Held;
use crate::origin::elements::{Edit, Elements};

/// How long somebody waits for a list that is being changed before the origin is asked after all.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// How many lists may be changed or wait for it.
pub const CHAINS_MAX: usize = 256;

/// How many things of one list may wait to be changed in it.
pub const EDITS_MAX: usize = 256;

/// What the lists that are being changed and what is to change in them may have together, in bytes.
pub const BYTES_MAX: usize = 64 << 20;

/// How many are changed at once: each may keep a processor busy for as long as it takes to read through its text.
const AT_ONCE: usize = 2;

/// The lists that are being changed.
pub(super) struct Patches {
    table: Mutex<Table>,
    turns: Semaphore,
}

#[derive(Default)]
struct Table {
    chains: HashMap<Key, Chain>,
    /// What all of them weigh.
    bytes: usize,
    next_number: u64,
}

/// A list and the edits that it has not got yet.
struct Chain {
    number: u64,
    base: Base,
    /// As of the last edit.
    captured: Captured,
    edits: Vec<Step>,
    /// Dropped with the chain, which wakes those who wait for it.
    ends: watch::Sender<()>,
}

struct Base {
    held: Held,
    ends: Mono,
    load_cost_us: u32,
    /// Who had it loaded ahead, if nobody has asked for it yet.
    unused_source: Option<u8>,
}

/// What becomes of one thing of a list.
struct Step {
    resource: ResourceId,
    /// Its document; none when it is not in the list from now on.
    now: Option<Agreed>,
}

/// How a round of work on a chain ended.
enum Round {
    Again,
    Over,
}

impl Default for Patches {
    fn default() -> Patches {
        Patches { table: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Patches {
    /// Raises the tags of an edit, and lets the lists that it changes keep up. Says how many entries had the tags, and
    /// which of the chains are new, to be carried out by [`Inner::work_off`].
    pub fn raise(
        &self,
        inner: &Inner,
        tags: &[Tag],
        resource: &ResourceId,
        lists: Vec<(Key, Option<Agreed>)>,
    ) -> (u64, Vec<(Key, u64)>) {
        let mut table = self.table();
        let mut chains = Vec::with_capacity(lists.len());
        for (key, now) in lists {
            let (chain, is_new) = match table.take(&key) {
                Some(chain) => (Some(chain), false),
                None => (table.begin(inner, &key), true),
            };
            chains.extend(chain.map(|chain| (key, chain, is_new, now)));
        }
        let raised = inner.generations.raise(tags);
        let mut new = Vec::new();
        for (key, chain, is_new, now) in chains {
            let Some(captured) = chain.captured.carried(&raised) else { continue };
            let mut chain = Chain { captured, ..chain };
            // Of one thing only what became of it at last counts.
            chain.edits.retain(|step| step.resource != *resource);
            chain.edits.push(Step { resource: resource.clone(), now });
            if chain.edits.len() > EDITS_MAX || table.bytes.saturating_add(chain.weight()) > BYTES_MAX {
                continue;
            }
            if is_new {
                new.push((key.clone(), chain.number));
            }
            table.put(key, chain);
        }
        (raised.count(), new)
    }

    /// Waits until a list is not being changed any more, if it is, but not for long.
    pub async fn settled(&self, key: &Key, patience: Duration) {
        let ends = {
            let table = self.table();
            // What was made invalid meanwhile will not be installed.
            let chain = table.chains.get(key).filter(|chain| chain.captured.is_current());
            chain.map(|chain| chain.ends.subscribe())
        };
        if let Some(mut ends) = ends {
            let _ = timeout(patience.min(PATIENCE), ends.changed()).await;
        }
    }

    /// A list is being changed and will be there.
    pub fn has(&self, key: &Key) -> bool {
        self.table().chains.get(key).is_some_and(|chain| chain.captured.is_current())
    }

    /// Somebody sets or removes a value who knows better.
    pub fn overtake<T>(&self, key: &Key, write: impl FnOnce() -> T) -> T {
        let mut table = self.table();
        table.take(key);
        write()
    }

    /// Installs what was loaded, which is as new as what a chain would bring.
    pub fn install(&self, key: &Key, put: impl FnOnce() -> Put) -> Put {
        let mut table = self.table();
        let put = put();
        if put == Put::Installed {
            table.take(key);
        }
        put
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing is changed in two steps that a panic could part.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A chain on what is valid now, if that can keep up and there is room.
    fn begin(&mut self, inner: &Inner, key: &Key) -> Option<Chain> {
        let placed = inner.local.current(key, inner.now())?.value.placed;
        let captured = inner.generations.capture(key.strategy, &placed.tags);
        // Looked at again: what is valid after the generations were captured was made in these.
        let hit = inner.local.current(key, inner.now())?;
        if hit.value.is_put || inner.is_alone() || self.chains.len() >= CHAINS_MAX {
            return None;
        }
        self.next_number += 1;
        let base = Base {
            ends: inner.now().plus(hit.left_ms),
            held: hit.value,
            load_cost_us: hit.load_cost_us,
            unused_source: hit.first_use_of,
        };
        let ends = watch::Sender::new(());
        Some(Chain { number: self.next_number, base, captured, edits: Vec::new(), ends })
    }

    fn take(&mut self, key: &Key) -> Option<Chain> {
        let chain = self.chains.remove(key)?;
        self.bytes -= chain.weight();
        Some(chain)
    }

    fn put(&mut self, key: Key, chain: Chain) {
        self.bytes += chain.weight();
        self.chains.insert(key, chain);
    }

    /// The chain of this number, if nothing has overtaken it.
    fn take_of(&mut self, key: &Key, number: u64) -> Option<Chain> {
        let is_there = self.chains.get(key).is_some_and(|chain| chain.number == number);
        if is_there { self.take(key) } else { None }
    }
}

impl Chain {
    fn weight(&self) -> usize {
        let edits = self.edits.iter().map(|step| step.now.as_ref().map_or(0, Agreed::weight) + size_of::<Step>());
        self.base.held.bytes.len() + edits.sum::<usize>()
    }
}

impl Inner {
    /// Carries a chain out until it has no edits left, or is overtaken.
    pub async fn work_off(self: Arc<Inner>, key: Key, number: u64) {
        loop {
            let _turn = self.patches.turns.acquire().await.expect("it is never closed");
            let Some((bytes, steps)) = self.next_steps(&key, number) else { return };
            let changed = tokio::task::spawn_blocking(move || changed(bytes, steps)).await;
            let round = match changed {
                Ok(Some(bytes)) => self.keep(&key, number, bytes),
                // It is no list of things: the origin is asked, as for everything else.
                Ok(None) | Err(_) => {
                    self.abandon(&key, number);
                    Round::Over
                }
            };
            if let Round::Over = round {
                return;
            }
        }
    }

    /// The text to change and how, unless the chain is over.
    fn next_steps(&self, key: &Key, number: u64) -> Option<(Bytes, Vec<Step>)> {
        let mut table = self.patches.table();
        let mut chain = table.take_of(key, number)?;
        if !chain.captured.is_current() {
            return None;
        }
        let steps = (chain.base.held.bytes.clone(), std::mem::take(&mut chain.edits));
        table.put(key.clone(), chain);
        Some(steps)
    }

    /// The list has these edits now. It is installed if there are no further ones.
    fn keep(&self, key: &Key, number: u64, bytes: Bytes) -> Round {
        let mut table = self.patches.table();
        let Some(mut chain) = table.take_of(key, number) else { return Round::Over };
        chain.base.held = Held::new(bytes, None, chain.base.held.placed);
        if !chain.edits.is_empty() {
            table.put(key.clone(), chain);
            return Round::Again;
        }
        let Chain { base, captured, .. } = chain;
        let now = self.now();
        let (ttl_ms, strategy) = (base.ends.since(now), self.strategies.get(key.strategy));
        if ttl_ms > 0 {
            let entry = Entry {
                weight: u32::try_from(base.held.bytes.len() + key.id.as_str().len()).unwrap_or(u32::MAX),
                captured,
                ttl_ms,
                soft_ms: u32::try_from(strategy.ttl_ms / 10).unwrap_or(u32::MAX),
                stale_ms: u32::try_from(strategy.stale_ms).unwrap_or(u32::MAX),
                load_cost_us: base.load_cost_us,
                source: base.unused_source,
            };
            if self.local.put(key.clone(), Some(base.held), entry, now) == Put::Installed {
                self.counts[usize::from(key.strategy.0)].patched.inc();
            }
        }
        Round::Over
    }

    fn abandon(&self, key: &Key, number: u64) {
        self.patches.table().take_of(key, number);
    }
}

/// The list's text after the edits; none if it is not a list of things.
fn changed(bytes: Bytes, steps: Vec<Step>) -> Option<Bytes> {
    let elements = Elements::read(String::from_utf8(bytes.to_vec()).ok()?).ok()?;
    let steps: Vec<(ResourceId, Option<String>)> =
        steps.into_iter().map(|step| (step.resource, step.now.and_then(Agreed::into_text))).collect();
    let edits: HashMap<&str, Edit> = steps
        .iter()
        .filter(|(resource, text)| text.is_some() || elements.get(resource.as_str()).is_some())
        .map(|(resource, text)| (resource.as_str(), text.clone().map_or(Edit::Take, Edit::Put)))
        .collect();
    match edits.is_empty() {
        true => Some(bytes),
        false => elements.edited(&edits).ok().map(Bytes::from),
    }
}
