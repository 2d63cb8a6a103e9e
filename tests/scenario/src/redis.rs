//! Redis for tests: real servers on loopback, that can be killed, frozen, emptied and failed over.
//!
//! Each server is a child with a folder of its own, and is killed when it is dropped, by its process id. The program is
//! `redis-server` of the path, or what `REDIS_SERVER` names.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::PATIENCE;

/// A running server.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    args: Vec<String>,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// A single server that keeps nothing on the disk.
    pub fn start() -> Redis {
        Redis::with(&[])
    }

    /// A server with more options.
    pub fn with(options: &[&str]) -> Redis {
        let port = free_port();
        let mut args: Vec<String> =
            ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--daemonize", "no"].map(str::to_owned).into();
        args.extend(["--port".to_owned(), port.to_string()]);
        args.extend(options.iter().map(|option| (*option).to_owned()));
        Redis::launch(port, args, tempfile::tempdir().expect("a folder for Redis"))
    }

    fn launch(port: u16, args: Vec<String>, folder: TempDir) -> Redis {
        let mut redis = Redis { port, args, folder, child: None };
        redis.restart();
        redis
    }

    /// The address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The folder that it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it again, empty, where it was.
    pub fn restart(&mut self) {
        self.kill();
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log for Redis");
        let child = Command::new(&program)
            .args(&self.args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "{program}: {error}. These tests need Redis: apt-get install redis-server, or name it in REDIS_SERVER"
            )
        });
        self.child = Some(child);
        let over = Instant::now() + PATIENCE;
        while !answers(self.port) {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "redis-server ended: {}", log());
            assert!(Instant::now() < over, "redis-server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Freezes it: connections stay, answers do not come.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    #[allow(unsafe_code)] // the standard library sends no signal but the one that kills
    fn signal(&self, signal: i32) {
        let pid = self.child.as_ref().expect("it runs").id() as i32;
        // SAFETY: a plain system call. The child has not been waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Asks it something, on a connection of its own.
    pub async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same, when it may say no.
    pub async fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        cmd.query_async(&mut connection).await
    }

    /// Makes it forget everything.
    pub async fn flushall(&self) {
        self.ask::<()>(&["FLUSHALL"]).await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three masters with a replica each.
#[derive(Debug)]
pub struct Cluster {
    /// The masters first, each followed by the others' replicas in the same order.
    pub nodes: Vec<Redis>,
}

/// How many masters a cluster has.
const MASTERS: usize = 3;

impl Cluster {
    /// A cluster that serves all slots, with replicas that are ready to take over.
    pub async fn start() -> Cluster {
        Cluster::with_node_timeout(1000).await
    }

    /// The same; so many milliseconds pass until its nodes find one of them dead.
    pub async fn with_node_timeout(ms: u64) -> Cluster {
        let timeout = ms.to_string();
        let options =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", &timeout, "--cluster-replica-validity-factor", "0"];
        let nodes: Vec<Redis> = (0..2 * MASTERS).map(|_| Redis::with(&options)).collect();
        for (at, node) in nodes.iter().take(MASTERS).enumerate() {
            let slots = 16_384 / MASTERS;
            let last = if at + 1 == MASTERS { 16_383 } else { (at + 1) * slots - 1 };
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &(at * slots).to_string(), &last.to_string()]).await;
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).await;
        }
        for node in &nodes[1..] {
            nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]).await;
        }
        for (at, replica) in nodes.iter().enumerate().skip(MASTERS) {
            let master: String = nodes[at - MASTERS].ask(&["CLUSTER", "MYID"]).await;
            crate::until("the replica knows its master", async || {
                replica.try_ask::<()>(&["CLUSTER", "REPLICATE", &master]).await.ok()
            })
            .await;
        }
        let cluster = Cluster { nodes };
        cluster.until_whole().await;
        for replica in &cluster.nodes[MASTERS..] {
            crate::until("the replica has its master's data", async || {
                let info: String = replica.ask(&["INFO", "replication"]).await;
                info.contains("master_link_status:up").then_some(())
            })
            .await;
        }
        cluster
    }

    /// Waits until all nodes that run find all slots served.
    pub async fn until_whole(&self) {
        for node in self.nodes.iter().filter(|node| node.child.is_some()) {
            crate::until("the cluster serves all slots", async || {
                let info: String = node.ask(&["CLUSTER", "INFO"]).await;
                info.contains("cluster_state:ok").then_some(())
            })
            .await;
        }
    }

    /// The addresses of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Which master serves this key.
    pub async fn master_of(&self, key: &str) -> usize {
        let slot: usize = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]).await;
        (slot / (16_384 / MASTERS)).min(MASTERS - 1)
    }
}

/// A master, its replica, and three sentinels that watch them.
#[derive(Debug)]
pub struct Sentinels {
    /// The master at the start.
    pub master: Redis,
    /// Its replica.
    pub replica: Redis,
    /// Those who watch.
    pub sentinels: Vec<Redis>,
}

impl Sentinels {
    /// The name that the sentinels know the master by.
    pub const MASTER: &str = "house";

    /// Servers and sentinels that know each other.
    pub async fn start() -> Sentinels {
        let master = Redis::start();
        let replica = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
        let sentinels: Vec<Redis> = (0..3).map(|_| sentinel(&master)).collect();
        for sentinel in &sentinels {
            crate::until("the sentinels know each other and the replica", async || {
                let info: String = sentinel.ask(&["INFO", "sentinel"]).await;
                info.contains("slaves=1,sentinels=3").then_some(())
            })
            .await;
        }
        Sentinels { master, replica, sentinels }
    }

    /// The addresses of the sentinels.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::url).collect()
    }
}

fn sentinel(master: &Redis) -> Redis {
    let folder = tempfile::tempdir().expect("a folder for a sentinel");
    let port = free_port();
    let name = Sentinels::MASTER;
    let config = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {} 2\n\
         sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 2000\n",
        master.port
    );
    std::fs::write(folder.path().join("sentinel.conf"), config).expect("a sentinel's configuration");
    Redis::launch(port, vec!["sentinel.conf".to_owned(), "--sentinel".to_owned()], folder)
}

/// Whatever it says, it says something: one that only listens may be about to end.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut [0])
    };
    ask().is_ok()
}

/// A port that nobody has. A cluster's node needs the one 10,000 above it too.
fn free_port() -> u16 {
    loop {
        let Ok(listener) = TcpListener::bind(("127.0.0.1", 0)) else { continue };
        let port = listener.local_addr().expect("a bound socket has an address").port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}
