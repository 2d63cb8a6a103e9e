//! A node of the cache's shared tier, as tests use it: the tier alone, with what it heard.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arxosrt_core::cache::{EntryId, Strategies, StrategyId, Tag};
use arxosrt_core::time::Wall;
use arxosrtd::cache::shared::{At, Captured, Change, Incoming, Read, Shared, State, StoredValue, Written};
use arxosrtd::config::{Redis as Config, RedisMode};
use arxosrtd::metrics::Metrics;

use crate::PATIENCE;

/// The largest value in these tests.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// A node.
pub struct Node {
    /// The tier.
    pub shared: Shared,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    heard: Arc<Mutex<Vec<Incoming>>>,
}

impl Node {
    /// A node of the server at `url`, which need not be there.
    pub fn new(url: &str) -> Node {
        Node::with(Config { urls: vec![url.to_owned()], ..Config::default() })
    }

    /// A node of a cluster.
    pub fn of_cluster(urls: Vec<String>) -> Node {
        Node::with(Config { mode: RedisMode::Cluster, urls, ..Config::default() })
    }

    /// A node with any configuration.
    pub fn with(config: Config) -> Node {
        let heard: Arc<Mutex<Vec<Incoming>>> = Arc::default();
        let metrics = Arc::new(Metrics::new());
        let strategies = Arc::new(Strategies::new(Strategies::known()).expect("the known strategies are good"));
        let into = heard.clone();
        let hear = move |incoming| into.lock().expect("nobody panics with it").push(incoming);
        let shared = Shared::start(&config, strategies, VALUE_BYTES_MAX, metrics.clone(), hear).expect("it starts");
        Node { shared, metrics, heard }
    }

    /// A node that is up.
    pub async fn up(url: &str) -> Node {
        let node = Node::new(url);
        node.until_up().await;
        node
    }

    /// Waits until Redis is used.
    pub async fn until_up(&self) {
        crate::until("redis is up", async || (self.shared.state() == State::Up).then_some(())).await;
    }

    /// Waits until Redis is not used.
    pub async fn until_down(&self) {
        crate::until("redis is down", async || matches!(self.shared.state(), State::Degraded { .. }).then_some(()))
            .await;
    }

    /// Everything heard since this was last asked.
    pub fn heard(&self) -> Vec<Incoming> {
        std::mem::take(&mut *self.heard.lock().expect("nobody panics with it"))
    }

    /// Waits until this was heard.
    pub async fn until_heard(&self, what: &Incoming) {
        crate::until(&format!("{what:?} is heard"), async || {
            self.heard.lock().expect("nobody panics with it").contains(what).then_some(())
        })
        .await;
    }

    /// Loads and installs a value; what a load brings is `text`.
    pub async fn fill(&self, at: &At, text: &str) -> Written {
        match self.shared.get(at).await {
            Read::Miss(captured) => self.shared.put(at, captured, value(text)).await,
            Read::Hit(_) => Written::Installed,
            Read::Down => Written::Down,
        }
    }

    /// What is read once Redis answers: on a busy machine a call may take longer than a cache waits.
    pub async fn text(&self, at: &At) -> Option<String> {
        crate::until("redis answers", async || match self.shared.get(at).await {
            Read::Hit(value) => Some(Some(String::from_utf8(value.bytes.to_vec()).expect("tests store text"))),
            Read::Miss(_) => Some(None),
            Read::Down => None,
        })
        .await
    }

    /// Waits until it is read that there is no value, and takes what a load needs. What is invalid must never be read,
    /// so a value fails the test.
    pub async fn miss(&self, at: &At) -> Captured {
        crate::until("redis answers", async || match self.shared.get(at).await {
            Read::Hit(value) => panic!("{at:?} should not be there and is {value:?}"),
            Read::Miss(captured) => Some(captured),
            Read::Down => None,
        })
        .await
    }

    /// Fills until the value is there.
    pub async fn until_filled(&self, at: &At, text: &str) {
        crate::until("the value is installed", async || {
            (self.fill(at, text).await == Written::Installed).then_some(())
        })
        .await;
    }

    /// Makes invalid, and waits until everybody was told.
    pub async fn tell(&self, change: Change) {
        assert!(self.shared.invalidate(vec![change]).told(PATIENCE).await, "not told within {PATIENCE:?}");
    }
}

/// The value of a floor's data: home, id and tags.
pub fn at(home: &str, id: &str, tags: &[&str]) -> At {
    At {
        home: home.into(),
        strategy: StrategyId(0),
        id: EntryId::new(id).expect("tests name entries well"),
        tags: tags.iter().map(|tag| Tag::named(tag).expect("tests name tags well")).collect(),
    }
}

/// All of a tag in a home.
pub fn tag(home: &str, tag: &str) -> Change {
    Change::Tag { home: home.into(), tag: Tag::named(tag).expect("tests name tags well") }
}

/// A value that lives for an hour.
pub fn value(text: &str) -> StoredValue {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    StoredValue {
        bytes: text.as_bytes().to_vec().into(),
        etag: Some("\"1\"".into()),
        created: Wall(now.as_millis() as i64),
        ttl_ms: 3_500_000,
        hard_ms: 3_600_000,
        negative: false,
        load_cost_us: 100,
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Spans(Vec<Duration>);

impl Spans {
    /// Does something and notes how long it took.
    pub async fn measure<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.0.push(began.elapsed());
        done
    }

    /// The longest.
    pub fn worst(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// Prints percentiles, for people who run the tests with their output.
    pub fn print(&mut self, what: &str) {
        self.0.sort_unstable();
        let at =
            |share: f64| self.0.get(((self.0.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default();
        println!("{what}: {} calls, p50 {:?}, p99 {:?}, worst {:?}", self.0.len(), at(0.5), at(0.99), at(1.0));
    }
}
