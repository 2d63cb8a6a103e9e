//! Redis fails under two daemons while one writes and both read: nobody is told anything older than is promised.
//!
//! The promise: whoever reads where it was written reads the last write that was acknowledged, or a later one. Elsewhere
//! a value is at most as old as the bus is slow, and [`BOUND`] while Redis is away. No request fails or waits for long,
//! and the origin is asked at most once per daemon and change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arxosrt_scenario::http::Request;
use arxosrt_scenario::origin::Origin;
use arxosrt_scenario::proxy::{Proxy, Weather};
use arxosrt_scenario::redis::{Cluster, Redis, Sentinels};
use arxosrt_scenario::sharing::{self, figure, until_connected};
use arxosrt_scenario::tier::Spans;
use arxosrt_scenario::{Served, Value, json, until};
use arxosrtd::config::{Redis as Config, RedisMode};

/// `cache.alone_ttl_s` in these tests.
const ALONE_S: u64 = 1;

/// How much later one daemon may notice than another that Redis is back: the pauses between attempts double, so they are
/// as long as the outage was. What it has to tell the others waits for that.
const RETURN: Duration = Duration::from_secs(4);

/// The oldest that may be read where it was not written: a second until it is noticed that Redis is silent, a second
/// for which values are served without it, as much again for processors that are busy, and [`RETURN`].
const BOUND: Duration = Duration::from_millis(1000 + ALONE_S * 1000 + 2000).saturating_add(RETURN);

/// The longest that a request may take: Redis, the wait until others are told, the origin, and busy processors.
const SLOWEST: Duration = Duration::from_secs(3);

const PATH: &str = "/v1/realtime/cache/object_data/wall";

/// What happened so far.
#[derive(Default)]
struct History {
    /// When a version was acknowledged, in their order.
    acks: Mutex<Vec<(Instant, u64)>>,
    over: AtomicBool,
}

impl History {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn written(&self) -> u64 {
        self.acks.lock().expect("nobody panics with it").last().map_or(0, |ack| ack.1)
    }

    /// How long ago, at `now`, the version after this one was acknowledged: so old is what is read.
    fn age(&self, version: u64, now: Instant) -> Duration {
        let acks = self.acks.lock().expect("nobody panics with it");
        let next = acks.iter().find(|ack| ack.1 > version);
        next.map_or(Duration::ZERO, |ack| now.saturating_duration_since(ack.0))
    }
}

/// What a reader has seen.
#[derive(Default)]
struct Seen {
    reads: u64,
    oldest: Duration,
    slowest: Duration,
}

/// Two daemons, a writer at the first, readers at both.
struct Trial {
    a: Served,
    b: Served,
    origin: Origin,
    history: Arc<History>,
    tasks: Vec<(&'static str, tokio::task::JoinHandle<Seen>)>,
}

impl Trial {
    async fn start(redis: impl Fn() -> Config) -> Trial {
        let origin = Origin::start().await;
        let start = || {
            let setup = sharing::with(redis()).with(|config| {
                config.cache.alone_ttl_s = ALONE_S;
                origin.serves(config, "object_data");
            });
            setup.start()
        };
        let (a, b) = (start(), start());
        for served in [&a, &b] {
            until_connected(served, true).await;
        }
        origin.set("/object_data/wall", json!({"version": 0}));
        let history = Arc::<History>::default();
        let tasks = vec![
            ("writes", tokio::spawn(write(a.http, history.clone()))),
            ("reads where it is written", tokio::spawn(read(a.http, history.clone(), Duration::ZERO))),
            ("reads where it is written", tokio::spawn(read(a.http, history.clone(), Duration::ZERO))),
            ("reads elsewhere", tokio::spawn(read(b.http, history.clone(), BOUND))),
            ("reads elsewhere", tokio::spawn(read(b.http, history.clone(), BOUND))),
            ("asks whether it is ready", tokio::spawn(ready(a.http, history.clone()))),
            ("asks whether it is ready", tokio::spawn(ready(b.http, history.clone()))),
        ];
        let trial = Trial { a, b, origin, history, tasks };
        trial.writes(20).await;
        trial
    }

    /// Waits until so many more versions were written.
    async fn writes(&self, more: u64) {
        let until_there = self.history.written() + more;
        until("versions are written", async || {
            let failed = self.tasks.iter().any(|(_, task)| task.is_finished());
            (failed || self.history.written() >= until_there).then_some(())
        })
        .await;
    }

    async fn connected(&self, is_it: bool) {
        for served in [&self.a, &self.b] {
            until_connected(served, is_it).await;
            assert_eq!(figure(served, "arxosrt_redis_up").await, u64::from(is_it));
        }
    }

    /// Ends it, and checks what is to be checked at the end.
    async fn end(self, what: &str) {
        self.writes(20).await;
        self.history.over.store(true, Ordering::Relaxed);
        for (name, task) in self.tasks {
            let Seen { reads, oldest, slowest } = task.await.unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
            println!("{what}: {name}: {reads} times, the oldest {oldest:?}, the slowest {slowest:?}");
            assert!(slowest < SLOWEST, "{what}: {name}: {slowest:?}");
        }
        let writes = self.history.written();
        let asked = self.origin.asked_at_all();
        println!("{what}: {writes} writes, the origin was asked {asked} times");
        assert!(asked <= 2 * writes + 20, "{what}: {asked} questions to the origin for {writes} writes");
        for served in [&self.a, &self.b] {
            until("the last version is read", async || {
                (served.get(PATH).await.ok()["version"] == writes).then_some(())
            })
            .await;
        }
    }
}

async fn write(at: std::net::SocketAddr, history: Arc<History>) -> Seen {
    let mut seen = Seen::default();
    while !history.is_over() {
        seen.reads += 1;
        let began = Instant::now();
        let answer = Request::new("PUT", PATH).json(&json!({"version": seen.reads})).to(at).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        seen.slowest = seen.slowest.max(began.elapsed());
        history.acks.lock().expect("nobody panics with it").push((Instant::now(), seen.reads));
        // Whoever writes lets others read what he has written.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    seen
}

async fn read(at: std::net::SocketAddr, history: Arc<History>, bound: Duration) -> Seen {
    let mut seen = Seen::default();
    while !history.is_over() {
        let began = Instant::now();
        let answer = Request::get(PATH).to(at).await;
        let version = version(&answer.ok());
        let age = history.age(version, began);
        assert!(age <= bound, "version {version} was read from {:?}, {age:?} after the next", answer.head);
        seen.reads += 1;
        seen.oldest = seen.oldest.max(age);
        seen.slowest = seen.slowest.max(began.elapsed());
    }
    seen
}

async fn ready(at: std::net::SocketAddr, history: Arc<History>) -> Seen {
    let mut seen = Seen::default();
    while !history.is_over() {
        let began = Instant::now();
        let answer = Request::get("/ready").to(at).await;
        assert_eq!(answer.status, 200, "a cache that is not shared is no reason not to be ready: {answer:?}");
        seen.reads += 1;
        seen.slowest = seen.slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seen
}

fn version(value: &Value) -> u64 {
    value["version"].as_u64().expect("a version")
}

fn at(url: String) -> Config {
    Config { urls: vec![url], ..Config::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_starts_again() {
    let mut redis = Redis::start();
    let trial = Trial::start(|| at(redis.url())).await;
    for _ in 0..2 {
        redis.kill();
        trial.connected(false).await;
        trial.writes(20).await;
        redis.restart();
        trial.connected(true).await;
        trial.writes(20).await;
    }
    trial.end("killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stands_still_and_goes_on() {
    let redis = Redis::start();
    let trial = Trial::start(|| at(redis.url())).await;
    redis.pause();
    trial.connected(false).await;
    trial.writes(20).await;
    redis.resume();
    trial.connected(true).await;
    trial.end("paused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_swallows_everything_and_heals() {
    let redis = Redis::start();
    let network = Proxy::before(redis.port).await;
    let trial = Trial::start(|| at(network.url())).await;
    network.set(Weather::Silent);
    trial.connected(false).await;
    trial.writes(20).await;
    network.set(Weather::Fair);
    trial.connected(true).await;
    trial.end("partition").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_emptied_again_and_again() {
    let redis = Redis::start();
    let trial = Trial::start(|| at(redis.url())).await;
    for _ in 0..10 {
        redis.flushall().await;
        trial.writes(5).await;
    }
    trial.connected(true).await;
    trial.end("emptied").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clusters_master_dies() {
    let mut cluster = Cluster::start().await;
    let urls = cluster.urls();
    let trial = Trial::start(|| Config { mode: RedisMode::Cluster, urls: urls.clone(), ..Config::default() }).await;
    let mut keys = Vec::new();
    for node in &cluster.nodes[..3] {
        keys.extend(node.ask::<Vec<String>>(&["KEYS", "*object_data*"]).await);
    }
    let master = cluster.master_of(keys.first().expect("the value is in Redis")).await;
    cluster.nodes[master].kill();
    trial.writes(20).await;
    cluster.until_whole().await;
    trial.connected(true).await;
    trial.end("cluster").await;
}

/// A cluster takes its node timeout to see that a master is dead: 15 s unless it is told otherwise. That long nobody can
/// be told what becomes invalid in the master's slots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clusters_master_dies_and_the_cluster_is_slow_to_see_it() {
    let mut cluster = Cluster::with_node_timeout(60_000).await;
    let urls = cluster.urls();
    let trial = Trial::start(|| Config { mode: RedisMode::Cluster, urls: urls.clone(), ..Config::default() }).await;
    let mut keys = Vec::new();
    for node in &cluster.nodes[..3] {
        keys.extend(node.ask::<Vec<String>>(&["KEYS", "*object_data*"]).await);
    }
    let master = cluster.master_of(keys.first().expect("the value is in Redis")).await;
    cluster.nodes[master].kill();
    trial.writes(5).await;
    trial.connected(false).await;
    trial.writes(20).await;
    cluster.nodes[master].restart();
    trial.connected(true).await;
    trial.end("slow cluster").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_choose_another_master() {
    let mut house = Sentinels::start().await;
    let urls = house.urls();
    let redis = || Config {
        mode: RedisMode::Sentinel,
        urls: urls.clone(),
        sentinel_master: Sentinels::MASTER.to_owned(),
        ..Config::default()
    };
    let trial = Trial::start(redis).await;
    house.master.kill();
    trial.connected(false).await;
    trial.writes(5).await;
    trial.connected(true).await;
    trial.end("sentinels").await;
}

/// What the figures in the documents are from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_with_and_without_redis() {
    let mut redis = Redis::start();
    let served = sharing::on(&redis.url()).start();
    until_connected(&served, true).await;
    sharing::put(&served, "route_data/way", "1").await.ok();
    let mut spans = Spans::default();
    for _ in 0..200 {
        spans.measure(sharing::get(&served, "route_data/way")).await.ok();
    }
    spans.print("local, Redis up");
    redis.kill();
    until_connected(&served, false).await;
    let mut spans = Spans::default();
    for _ in 0..200 {
        spans.measure(sharing::put(&served, "route_data/way", "1")).await.ok();
    }
    spans.print("writes, Redis known to be dead");
    assert!(spans.worst() < SLOWEST);
}
