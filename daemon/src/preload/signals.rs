//! How does the hub tell what people do, without ever waiting?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arxosrt_core::id::{SessionId, UserId};
use arxosrt_core::preload::signal::{Signal, What};
use tokio::sync::mpsc;

/// Signals of the hub that wait; one more is dropped and counted.
pub const SIGNALS_MAX: usize = 4096;

/// The hub's side of the preloader. By default nobody listens, and nothing is built.
#[derive(Clone, Default)]
pub struct Signals(Option<Arc<Line>>);

struct Line {
    to: mpsc::Sender<Signal>,
    dropped: AtomicU64,
}

impl Signals {
    /// A line to whoever reads the other end.
    pub fn new() -> (Signals, mpsc::Receiver<Signal>) {
        let (to, from) = mpsc::channel(SIGNALS_MAX);
        (Signals(Some(Arc::new(Line { to, dropped: AtomicU64::new(0) }))), from)
    }

    /// Somebody did something.
    pub fn tell(&self, user: &UserId, session: &SessionId, what: impl FnOnce() -> What) {
        let Some(line) = &self.0 else { return };
        match line.to.try_reserve() {
            Ok(place) => place.send(Signal { user: user.clone(), session: session.clone(), what: what() }),
            Err(_) => {
                line.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many did not fit.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |line| line.dropped.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_drops_and_counts() {
        let (signals, mut from) = Signals::new();
        let (user, session) = (UserId::new("u").unwrap(), SessionId::new("s").unwrap());
        for _ in 0..SIGNALS_MAX + 3 {
            signals.tell(&user, &session, || What::Leave);
        }
        assert_eq!(signals.dropped(), 3);
        assert_eq!(from.try_recv().unwrap().what, What::Leave);
        signals.tell(&user, &session, || What::Leave);
        assert_eq!(signals.dropped(), 3, "there is room again");
        Signals::default().tell(&user, &session, || panic!("nobody listens"));
    }
}
