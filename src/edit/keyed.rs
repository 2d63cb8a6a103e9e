//! What has a name has one place: an ordered collection of values by key.
//!
//! It is what an object and a list of things with ids have in common. Finding, setting and adding cost the same however
//! many there are; removing and placing look for one small integer among the others.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::value::Value;

/// Up to so many keys are compared one after another, which is faster than hashing and needs no index.
const SCANNED_MAX: usize = 8;

/// Values by key, in an order.
#[derive(Clone, Debug, Default)]
pub struct Keyed {
    slots: Vec<Option<Slot>>,
    /// Slots that are empty.
    free: Vec<u32>,
    /// The slots in use, in order.
    order: Vec<u32>,
    /// The slot of each key, once there are more than [`SCANNED_MAX`].
    index: Option<HashMap<Arc<str>, u32, FixedState>>,
}

#[derive(Clone, Debug)]
struct Slot {
    key: Arc<str>,
    value: Value,
}

impl Keyed {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.handle(key).map(|at| &self.slot(at).value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let at = self.handle(key)?;
        self.slots[at as usize].as_mut().map(|slot| &mut slot.value)
    }

    /// All, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> {
        self.order.iter().map(|at| {
            let slot = self.slot(*at);
            (&*slot.key, &slot.value)
        })
    }

    /// The keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// Sets the value of a key; a new one goes to the end. The value before.
    pub(crate) fn put(&mut self, key: &str, value: Value) -> Option<Value> {
        if let Some(old) = self.get_mut(key) {
            return Some(std::mem::replace(old, value));
        }
        let key: Arc<str> = Arc::from(key);
        let slot = Some(Slot { key: key.clone(), value });
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("a document has fewer bytes than there are handles")
            }
        };
        self.order.push(at);
        match &mut self.index {
            Some(index) => {
                index.insert(key, at);
            }
            None if self.order.len() > SCANNED_MAX => {
                self.index = Some(self.order.iter().map(|at| (self.slot(*at).key.clone(), *at)).collect());
            }
            None => {}
        }
        None
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.handle(key)?;
        self.order.remove(self.position(at));
        self.free.push(at);
        if let Some(index) = &mut self.index {
            index.remove(key);
        }
        self.slots[at as usize].take().map(|slot| slot.value)
    }

    /// Puts a key directly behind another, or at the front. False when there is no such key, or none to be behind.
    pub(crate) fn place(&mut self, key: &str, behind: Option<&str>) -> bool {
        let Some(at) = self.handle(key) else { return false };
        let anchor = match behind.map(|key| self.handle(key)) {
            None => None,
            Some(Some(anchor)) if anchor != at => Some(anchor),
            Some(_) => return false,
        };
        self.order.remove(self.position(at));
        let to = anchor.map_or(0, |anchor| self.position(anchor) + 1);
        self.order.insert(to, at);
        true
    }

    /// The key before this one, if this one is there and not the first.
    pub(crate) fn before(&self, key: &str) -> Option<&str> {
        let position = self.position(self.handle(key)?);
        position.checked_sub(1).map(|before| &*self.slot(self.order[before]).key)
    }

    /// The keys behind a key that is there, or all.
    pub(crate) fn keys_behind(&self, key: Option<&str>) -> impl Iterator<Item = &str> {
        let from = key.and_then(|key| self.handle(key)).map_or(0, |at| self.position(at) + 1);
        self.order[from..].iter().map(|at| &*self.slot(*at).key)
    }

    /// The small integer that stands for a key as long as it stays.
    pub(crate) fn handle(&self, key: &str) -> Option<u32> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.order.iter().copied().find(|at| *self.slot(*at).key == *key),
        }
    }

    /// The handles in order.
    pub(crate) fn handles(&self) -> &[u32] {
        &self.order
    }

    /// Larger than every handle.
    pub(crate) fn handles_end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The key behind a handle.
    pub(crate) fn key_of(&self, handle: u32) -> Option<&str> {
        self.slots.get(handle as usize)?.as_ref().map(|slot| &*slot.key)
    }

    fn slot(&self, at: u32) -> &Slot {
        self.slots[at as usize].as_ref().expect("slots in the order and in the index are in use")
    }

    fn position(&self, at: u32) -> usize {
        self.order.iter().position(|other| *other == at).expect("slots in use are in the order")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keyed: &Keyed) -> String {
        keyed.keys().collect()
    }

    #[test]
    fn keys_are_found_and_stay_in_order_with_and_without_an_index() {
        for many in [4, 100] {
            let mut keyed = Keyed::default();
            for n in 0..many {
                assert!(keyed.put(&format!("k{n}"), Value::Bool(true)).is_none());
            }
            for n in (0..many).step_by(2) {
                assert!(keyed.remove(&format!("k{n}")).is_some());
            }
            keyed.put("new", Value::Null);
            assert_eq!(keyed.len(), many / 2 + 1);
            assert_eq!(keyed.keys().next_back(), Some("new"), "what takes a free slot still comes last");
            assert!(keyed.get("k0").is_none() && keyed.get("k1").is_some());
            assert_eq!(keyed.before("k3"), Some("k1"));
            assert_eq!(keyed.before("k1"), None);
        }
    }

    #[test]
    fn a_key_is_placed_behind_another() {
        let mut keyed = Keyed::default();
        for key in ["a", "b", "c"] {
            keyed.put(key, Value::Null);
        }
        assert!(keyed.place("a", Some("b")));
        assert_eq!(keys(&keyed), "bac");
        assert!(keyed.place("c", None));
        assert_eq!(keys(&keyed), "cba");
        assert!(!keyed.place("c", Some("c")) && !keyed.place("x", None) && !keyed.place("a", Some("x")));
        assert_eq!(keys(&keyed), "cba");
    }
}
