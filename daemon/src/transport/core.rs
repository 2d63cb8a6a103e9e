//! The thread that owns a hub: its listener, its flusher, its clock and its inbox.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::accept::{self, HandedOver};
use super::hosts::Hosts;
use crate::hub::ask::Ask;
use crate::hub::flush::Drain;
use crate::hub::{Hub, Parts};
use crate::origin::service::OriginAnswer;
use crate::store::{Outcome, StoreError};

/// The hub, within its thread.
pub type SharedHub = Rc<RefCell<Hub>>;

/// How many connections may be on their way to becoming clients. Beyond, new ones wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 4096;

/// The pause after an accept that failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections of a core share.
pub struct Shared {
    /// The hub.
    pub hub: SharedHub,
    /// Where plain HTTP connections go.
    pub plain_http: mpsc::Sender<HandedOver>,
    /// How long a client may take until it is clear what it wants.
    pub handshake_time: Duration,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Under which names we may be addressed.
    pub hosts: Hosts,
    /// Connections of each address that are not clients yet.
    arriving: RefCell<HashMap<IpAddr, u32>>,
    /// How many of them one address may have.
    arriving_max: u32,
}

/// A connection that is not a client yet, as counted for its address.
pub struct Arriving {
    shared: Rc<Shared>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Arriving {
    /// Counts it, unless its address has as many as it may have.
    fn count(shared: &Rc<Shared>, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Self> {
        let mut arriving = shared.arriving.borrow_mut();
        let count = arriving.entry(address).or_insert(0);
        if *count >= shared.arriving_max {
            return None;
        }
        *count += 1;
        Some(Arriving { shared: shared.clone(), address, _permit: permit })
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut arriving = self.shared.arriving.borrow_mut();
        match arriving.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                arriving.remove(&self.address);
            }
        }
    }
}

/// What a core is given.
pub struct Core {
    /// What the hub is made of.
    pub parts: Parts,
    /// Where clients arrive.
    pub listener: std::net::TcpListener,
    /// Questions from outside.
    pub questions: mpsc::Receiver<Ask>,
    /// Reports of the store.
    pub outcomes: mpsc::UnboundedReceiver<Outcome>,
    /// Answers of the origin.
    pub origin_answers: mpsc::Receiver<OriginAnswer>,
    /// Where plain HTTP connections go.
    pub plain_http: mpsc::Sender<HandedOver>,
    /// How long a client may take until it is clear what it wants.
    pub handshake_time: Duration,
    /// Under which names we may be addressed.
    pub hosts: Hosts,
    /// Cancelled when the core is to end. Clients should have been drained by then.
    pub stop: CancellationToken,
    /// Told whether the hub could be built.
    pub started: std::sync::mpsc::SyncSender<Result<(), StoreError>>,
}

/// Runs a core until it is stopped; everything that was decided is committed then.
pub fn run(core: Core) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(live(core))
}

async fn live(core: Core) -> io::Result<()> {
    let Core {
        parts,
        listener,
        mut questions,
        mut outcomes,
        mut origin_answers,
        plain_http,
        handshake_time,
        hosts,
        stop,
        started,
    } = core;
    let message_bytes = parts.settings.message_bytes;
    let arriving_max = u32::try_from(parts.settings.connections_per_address).unwrap_or(u32::MAX);
    let listener = TcpListener::from_std(listener)?;
    let hub = match Hub::new(parts) {
        Ok(hub) => Rc::new(RefCell::new(hub)),
        Err(error) => {
            let _ = started.send(Err(error));
            return Ok(());
        }
    };
    hub.borrow().announce_ready();
    let _ = started.send(Ok(()));
    let shared = Rc::new(Shared {
        hub: hub.clone(),
        plain_http,
        handshake_time,
        message_bytes,
        hosts,
        arriving: RefCell::default(),
        arriving_max,
    });

    tokio::task::spawn_local(accept_all(shared.clone(), listener, stop.clone()));
    tokio::task::spawn_local(flush(hub.clone()));
    tokio::task::spawn_local(keep_time(hub.clone()));
    let answering = hub.clone();
    tokio::task::spawn_local(async move {
        while let Some(ask) = questions.recv().await {
            let mut hub = answering.borrow_mut();
            hub.answer(ask);
            while let Ok(ask) = questions.try_recv() {
                hub.answer(ask);
            }
        }
    });
    let settling = hub.clone();
    tokio::task::spawn_local(async move {
        while let Some(outcome) = outcomes.recv().await {
            let mut hub = settling.borrow_mut();
            hub.tick_clock();
            hub.outcome(outcome);
            while let Ok(outcome) = outcomes.try_recv() {
                hub.outcome(outcome);
            }
        }
    });
    let informed = hub.clone();
    tokio::task::spawn_local(async move {
        while let Some(answer) = origin_answers.recv().await {
            let mut hub = informed.borrow_mut();
            hub.tick_clock();
            hub.origin_answer(answer);
            while let Ok(answer) = origin_answers.try_recv() {
                hub.origin_answer(answer);
            }
        }
    });

    stop.cancelled().await;
    // What was decided must be on record before the store is closed, and with the origin before that ends.
    let waits_until = Instant::now() + Duration::from_secs(10);
    loop {
        {
            let mut hub = hub.borrow_mut();
            hub.store_documents();
            hub.end_turn();
            if hub.settled() && hub.has_handed_over() || Instant::now() > waits_until {
                if let Err(error) = hub.close_tail() {
                    tracing::warn!(%error, "the tail could not be closed");
                }
                return Ok(());
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Accepts until the core ends, also while it drains: probes and REST go on, and clients are refused with a reason.
async fn accept_all(shared: Rc<Shared>, listener: TcpListener, stop: CancellationToken) {
    let handshakes = std::sync::Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // One address that says nothing on thousands of connections must not keep the others out.
            Ok((stream, peer)) => {
                if let Some(arriving) = Arriving::count(&shared, peer.ip(), permit) {
                    tokio::task::spawn_local(accept::serve(shared.clone(), stream, peer, arriving));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Ends turns. Woken once per turn, it is queued behind all readers that are ready, and looks once more while messages
/// keep coming: how many messages are taken in before the writes decides what a delivery costs.
async fn flush(hub: SharedHub) {
    let (wanted, budget, metrics) = {
        let hub = hub.borrow();
        (hub.flush_signal(), Duration::from_micros(hub.settings().turn_budget_us), hub.metrics().clone())
    };
    let mut drains = Vec::new();
    let mut counted = 0;
    loop {
        wanted.notified().await;
        let began = Instant::now();
        let mut seen = hub.borrow().messages;
        loop {
            tokio::task::yield_now().await;
            let now = hub.borrow().messages;
            if now == seen || began.elapsed() >= budget {
                break;
            }
            seen = now;
        }
        hub.borrow_mut().end_turn();
        loop {
            let done = hub.borrow_mut().flush_some(&mut drains);
            for slow in drains.drain(..) {
                tokio::task::spawn_local(drain(hub.clone(), slow));
            }
            if done {
                break;
            }
            tokio::task::yield_now().await;
        }
        metrics.turn.observe_span(began.elapsed());
        let messages = hub.borrow().messages;
        metrics.turn_messages.observe(messages - counted);
        counted = messages;
    }
}

/// Writes one slow connection's backlog as its socket takes it.
async fn drain(hub: SharedHub, Drain { key, mut gone }: Drain) {
    loop {
        let writable = poll_fn(|cx| {
            // A peer that reads nothing and stays must not keep the socket open for ever.
            if Pin::new(&mut gone).poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            hub.borrow().poll_writable(key, cx)
        });
        if !writable.await {
            return hub.borrow_mut().forget_drain(key);
        }
        if hub.borrow_mut().drain_backlog(key) {
            return;
        }
        // A socket that takes everything must not keep the others waiting.
        tokio::task::yield_now().await;
    }
}

async fn keep_time(hub: SharedHub) {
    let mut every = tokio::time::interval(crate::hub::ticks::TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        while !hub.borrow_mut().tick() {
            tokio::task::yield_now().await;
        }
    }
}
