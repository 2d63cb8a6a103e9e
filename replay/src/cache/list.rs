//! Queues through items: each item is in at most one queue of a set, at either end of which others are put and taken.

/// No item.
const NONE: u32 = u32::MAX;

/// The links of all items, for any number of queues.
pub(super) struct Links(Vec<[u32; 2]>);

/// One queue: the young end and the old end.
#[derive(Clone, Copy)]
pub(super) struct Queue {
    young: u32,
    old: u32,
    pub(super) len: usize,
}

impl Links {
    pub(super) fn new(items: usize) -> Links {
        Links(vec![[NONE; 2]; items])
    }

    /// The item that was put after this one.
    pub(super) fn younger(&self, item: u32) -> Option<u32> {
        some(self.0[item as usize][0])
    }
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { young: NONE, old: NONE, len: 0 }
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        some(self.old)
    }

    pub(super) fn push(&mut self, links: &mut Links, item: u32) {
        links.0[item as usize] = [NONE, self.young];
        match self.young {
            NONE => self.old = item,
            young => links.0[young as usize][0] = item,
        }
        self.young = item;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, links: &mut Links, item: u32) {
        let [younger, older] = links.0[item as usize];
        match younger {
            NONE => self.young = older,
            younger => links.0[younger as usize][1] = older,
        }
        match older {
            NONE => self.old = younger,
            older => links.0[older as usize][0] = younger,
        }
        self.len -= 1;
    }

    pub(super) fn pop(&mut self, links: &mut Links) -> Option<u32> {
        let oldest = self.oldest()?;
        self.remove(links, oldest);
        Some(oldest)
    }

    /// Makes an item of this queue its youngest.
    pub(super) fn renew(&mut self, links: &mut Links, item: u32) {
        self.remove(links, item);
        self.push(links, item);
    }
}

fn some(item: u32) -> Option<u32> {
    (item != NONE).then_some(item)
}
