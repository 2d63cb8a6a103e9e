//! How is Redis reached, and who is the master now?
//!
//! A [`Link`] is two connections: `wire` for questions, `bus` for what nodes say to each other. They are made together
//! and given up together, by one task (`keeper`); nothing here tries again. The password is read anew for each, so it may
//! be changed while the daemon runs.
//!
//! TLS is rustls with the one provider of cryptography that the daemon is built with.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection, SendError};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, Value,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::masters;
use crate::config::{Redis, RedisMode};

/// How many messages of the bus may wait to be taken in. One more is lost, which is known and told.
const PUSHES_MAX: usize = 4096;

/// How often the cluster's client asks again within one call: once for a slot that has moved, once for luck.
const CLUSTER_RETRIES: u32 = 2;

/// A master of a cluster that did not answer so often, with a pause in between, is away. Once may be chance.
const ATTEMPTS_MAX: usize = 3;
const ATTEMPTS_PAUSE: Duration = Duration::from_millis(50);

/// The longest password file that is read.
const PASSWORD_BYTES_MAX: usize = 64 << 10;

/// Why there is no link, or none any more.
#[derive(Debug)]
pub enum LinkError {
    /// A file that the configuration names cannot be used.
    File(String),
    /// Redis said no, or the connection broke.
    Redis(RedisError),
    /// No answer came within this time.
    Timeout(Duration),
    /// The connection broke.
    Broken,
    /// The server is a replica, and nothing can be changed there.
    Replica,
    /// The sentinels do not know the master of this name.
    UnknownMaster(String),
    /// The master is now another one, or slots have moved after a failover.
    Moved,
    /// The cluster does not serve all slots.
    ClusterDown,
    /// An answer had a shape that no version of Redis is known to give.
    Answer(&'static str),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::File(what) => f.write_str(what),
            LinkError::Redis(error) => write!(f, "{error}"),
            LinkError::Timeout(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            LinkError::Broken => f.write_str("the connection broke"),
            LinkError::Replica => f.write_str("the server is a replica"),
            LinkError::UnknownMaster(name) => write!(f, "the sentinels know no master {name:?}"),
            LinkError::Moved => f.write_str("the master has changed"),
            LinkError::ClusterDown => f.write_str("the cluster does not serve all slots"),
            LinkError::Answer(what) => write!(f, "{what} was answered with something unknown"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> LinkError {
        LinkError::Redis(error)
    }
}

/// A connection for questions: to one server or to a cluster.
#[derive(Clone)]
pub enum Wire {
    /// To one server.
    One(MultiplexedConnection),
    /// To a cluster.
    Cluster(ClusterConnection),
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Wire::One(one) => one.req_packed_command(cmd),
            Wire::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Wire::One(one) => one.req_packed_commands(pipeline, offset, count),
            Wire::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Wire::One(one) => one.get_db(),
            Wire::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// What the bus says, with a bound.
#[derive(Debug)]
pub struct Pushes {
    /// The messages.
    pub queue: mpsc::Receiver<PushInfo>,
    is_overflown: Arc<AtomicBool>,
}

impl Pushes {
    fn new() -> (PushSender, Pushes) {
        let (sender, queue) = mpsc::channel(PUSHES_MAX);
        let is_overflown = Arc::new(AtomicBool::new(false));
        (PushSender { queue: sender, is_overflown: is_overflown.clone() }, Pushes { queue, is_overflown })
    }

    /// Has a message been lost since this was last asked?
    pub fn have_overflown(&self) -> bool {
        self.is_overflown.swap(false, SeqCst)
    }
}

struct PushSender {
    queue: mpsc::Sender<PushInfo>,
    is_overflown: Arc<AtomicBool>,
}

impl AsyncPushSender for PushSender {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        match self.queue.try_send(info) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.is_overflown.store(true, SeqCst);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SendError),
        }
    }
}

/// The connections to Redis.
pub struct Link {
    /// For questions.
    pub wire: Wire,
    /// For what nodes say to each other.
    pub bus: MultiplexedConnection,
    /// What was said.
    pub pushes: Pushes,
    watched: Watched,
}

/// What shows that the master has changed.
enum Watched {
    /// Nothing does: there is one server.
    Nothing,
    /// The cluster's own count of failovers, or a master that does not answer: there is a key for each.
    Cluster { epoch: u64, masters: Vec<String> },
    /// What the sentinels say.
    Master(ConnectionAddr),
}

/// How to reach Redis.
#[derive(Debug)]
pub struct Route {
    config: Redis,
    channel: String,
    /// The address that answered last: the first to be asked again, so that a dead one is not waited for every time.
    answered: AtomicUsize,
}

impl Route {
    /// The way that `config` describes, whose addresses have been checked.
    pub fn new(config: Redis, channel: String) -> Route {
        Route { config, channel, answered: AtomicUsize::new(0) }
    }

    /// How long connecting, and each answer while it is being done, may take.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.config.connect_timeout_ms)
    }

    /// Connects, and listens to the bus.
    pub async fn connect(&self) -> Result<Link, LinkError> {
        let access = Access::read(&self.config).await?;
        let (sender, pushes) = Pushes::new();
        let (wire, mut bus, watched) = match self.config.mode {
            RedisMode::Single => {
                let info = access.info(&self.config.urls[0], true)?;
                let wire = self.open(&access, info.clone(), None).await?;
                (Wire::One(wire), self.open(&access, info, Some(sender)).await?, Watched::Nothing)
            }
            RedisMode::Sentinel => {
                let addr = self.ask_sentinels(&access).await?;
                let info = access.info(&self.config.urls[0], true)?.set_addr(addr.clone());
                let wire = self.open(&access, info.clone(), None).await?;
                (Wire::One(wire), self.open(&access, info, Some(sender)).await?, Watched::Master(addr))
            }
            RedisMode::Cluster => {
                let (mut bus, epoch) = self.open_cluster_bus(&access, sender).await?;
                let masters = self.masters(&mut bus).await?;
                let mut wire = Wire::Cluster(self.open_cluster(&access).await?);
                self.ask_masters(&mut wire, &masters).await?;
                (wire, bus, Watched::Cluster { epoch, masters })
            }
        };
        if let Wire::One(one) = &wire {
            self.refuse_replica(&mut one.clone()).await?;
        }
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        self.ask::<Value>(&mut bus, &subscribe).await?;
        Ok(Link { wire, bus, pushes, watched })
    }

    /// Is the master still the one that `link` leads to?
    pub async fn check(&self, link: &mut Link) -> Result<(), LinkError> {
        match &link.watched {
            Watched::Nothing => Ok(()),
            Watched::Cluster { epoch: known, masters } => match self.cluster_epoch(&mut link.bus).await? {
                epoch if epoch == *known => self.ask_masters(&mut link.wire, masters).await,
                _ => Err(LinkError::Moved),
            },
            // When no sentinel can be asked the master may still be the master.
            Watched::Master(known) => match Access::read(&self.config).await {
                Ok(access) => match self.ask_sentinels(&access).await {
                    Ok(addr) if addr != *known => Err(LinkError::Moved),
                    Ok(_) | Err(_) => Ok(()),
                },
                Err(_) => Ok(()),
            },
        }
    }

    /// Asks, and waits for the answer with [`Route::patience`].
    pub async fn ask<T: FromRedisValue>(&self, to: &mut impl ConnectionLike, cmd: &Cmd) -> Result<T, LinkError> {
        match timeout(self.patience(), cmd.query_async(to)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(LinkError::Timeout(self.patience())),
        }
    }

    async fn open(
        &self,
        access: &Access,
        info: ConnectionInfo,
        pushes: Option<PushSender>,
    ) -> Result<MultiplexedConnection, LinkError> {
        let client = match (&info.addr(), &access.certificates) {
            (ConnectionAddr::TcpTls { .. }, Some(certificates)) => Client::build_with_tls(info, certificates.clone())?,
            _ => Client::open(info)?,
        };
        // The deadline of each call is kept by whoever calls.
        let mut config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.patience())).set_response_timeout(None);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(pushes);
        }
        match timeout(self.patience(), client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(LinkError::Timeout(self.patience())),
        }
    }

    async fn open_cluster(&self, access: &Access) -> Result<ClusterConnection, LinkError> {
        let infos: Vec<ConnectionInfo> =
            self.config.urls.iter().map(|url| access.info(url, true)).collect::<Result<_, _>>()?;
        let answer = Duration::from_millis(self.config.timeout_ms);
        let mut builder = redis::cluster::ClusterClient::builder(infos)
            .use_protocol(ProtocolVersion::RESP3)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(1)
            .max_retry_wait(answer.as_millis() as u64)
            .connection_timeout(self.patience())
            .response_timeout(answer)
            .overall_response_timeout(Some(answer))
            .tcp_settings(TcpSettings::default().set_nodelay(true));
        if let Some(certificates) = &access.certificates {
            builder = builder.certs(certificates.clone());
        }
        match timeout(self.patience() * 2, builder.build()?.get_async_connection()).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(LinkError::Timeout(self.patience() * 2)),
        }
    }

    /// A connection to the first node that finds the whole cluster in order, and the cluster's count of failovers.
    async fn open_cluster_bus(
        &self,
        access: &Access,
        sender: PushSender,
    ) -> Result<(MultiplexedConnection, u64), LinkError> {
        let mut last = LinkError::ClusterDown;
        for at in self.in_turn() {
            let url = &self.config.urls[at];
            let sender = PushSender { queue: sender.queue.clone(), is_overflown: sender.is_overflown.clone() };
            match self.open(access, access.info(url, true)?, Some(sender)).await {
                Ok(mut bus) => match self.cluster_epoch(&mut bus).await {
                    Ok(epoch) => {
                        self.answered.store(at, SeqCst);
                        return Ok((bus, epoch));
                    }
                    Err(error) => last = error,
                },
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// All addresses, the one that answered last first.
    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.answered.load(SeqCst), self.config.urls.len());
        (0..count).map(move |at| (first + at) % count)
    }

    async fn cluster_epoch(&self, bus: &mut MultiplexedConnection) -> Result<u64, LinkError> {
        let mut info = redis::cmd("CLUSTER");
        info.arg("INFO");
        let text: String = self.ask(bus, &info).await?;
        let field = |name: &str| text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
        if field("cluster_state") != Some("ok") {
            return Err(LinkError::ClusterDown);
        }
        field("cluster_current_epoch").and_then(|text| text.parse().ok()).ok_or(LinkError::Answer("CLUSTER INFO"))
    }

    /// A key for each master, in a slot of its own.
    async fn masters(&self, bus: &mut MultiplexedConnection) -> Result<Vec<String>, LinkError> {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        masters::keys(&self.config.prefix, &self.ask(bus, &slots).await?).ok_or(LinkError::Answer("CLUSTER SLOTS"))
    }

    /// Does every master of the cluster answer? One that is away cannot be told what becomes invalid in its slots, so
    /// nobody hears of it: until the cluster itself notices, which takes its node timeout, values would be served as if
    /// all were well. So a cluster of which a part is away is away.
    async fn ask_masters(&self, cluster: &mut Wire, keys: &[String]) -> Result<(), LinkError> {
        for key in keys {
            let mut ask = redis::cmd("EXISTS");
            ask.arg(key);
            let mut attempts = 1;
            while let Err(error) = self.ask::<Value>(cluster, &ask).await {
                if attempts == ATTEMPTS_MAX {
                    tracing::debug!("a master of the cluster does not answer: {error}");
                    return Err(LinkError::ClusterDown);
                }
                attempts += 1;
                sleep(ATTEMPTS_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Where the master is, according to the first sentinel that answers.
    async fn ask_sentinels(&self, access: &Access) -> Result<ConnectionAddr, LinkError> {
        let name = &self.config.sentinel_master;
        let mut last = LinkError::UnknownMaster(name.clone());
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(name);
        for at in self.in_turn() {
            let info = access.info(&self.config.urls[at], false)?;
            let like = info.addr().clone();
            let answer = match self.open(access, info, None).await {
                Ok(mut sentinel) => self.ask::<Option<(String, u16)>>(&mut sentinel, &ask).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(Some((host, port))) => {
                    self.answered.store(at, SeqCst);
                    return Ok(match like {
                        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
                        }
                        _ => ConnectionAddr::Tcp(host, port),
                    });
                }
                Ok(None) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn refuse_replica(&self, connection: &mut MultiplexedConnection) -> Result<(), LinkError> {
        match self.ask::<Value>(connection, &redis::cmd("ROLE")).await {
            Ok(Value::Array(role)) => match role.first() {
                Some(Value::BulkString(word)) if word != b"master" => Err(LinkError::Replica),
                _ => Ok(()),
            },
            // Whoever may not ask has a master: there is no other way to set it up.
            Ok(_) | Err(LinkError::Redis(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What is wrong with the files of the configuration: each an option, and why it cannot be used.
pub fn file_problems(config: &Redis) -> Vec<(&'static str, String)> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
    let is_named = |path: &Path| !path.as_os_str().is_empty();
    let (password, ca) = (&config.password_file, &config.ca_file);
    let password =
        is_named(password).then(|| read(password).and_then(|bytes| first_line(bytes, password)).err()).flatten();
    let ca = is_named(ca).then(|| read(ca).err()).flatten();
    let password = password.map(|why| ("redis.password_file", why));
    password.into_iter().chain(ca.map(|why| ("redis.ca_file", why))).collect()
}

/// The password in what its file holds.
fn first_line(bytes: Vec<u8>, file: &Path) -> Result<String, String> {
    let text = (bytes.len() <= PASSWORD_BYTES_MAX).then(|| String::from_utf8(bytes).ok()).flatten();
    match text.as_deref().and_then(|text| text.lines().next()) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("the password file {} has no first line of text", file.display())),
    }
}

/// What it takes to be let in.
struct Access {
    username: String,
    password: Option<String>,
    certificates: Option<TlsCertificates>,
}

impl Access {
    async fn read(config: &Redis) -> Result<Access, LinkError> {
        let read = async |what: &str, path: &Path| {
            let bytes = tokio::fs::read(path).await;
            bytes.map_err(|error| LinkError::File(format!("{what} {} cannot be read: {error}", path.display())))
        };
        let password = match config.password_file.as_os_str().is_empty() {
            true => None,
            false => {
                let path = &config.password_file;
                let bytes = read("the password file", path).await?;
                Some(first_line(bytes, path).map_err(LinkError::File)?)
            }
        };
        let certificates = match config.ca_file.as_os_str().is_empty() {
            true => None,
            false => {
                let root_cert = Some(read("the authority's file", &config.ca_file).await?);
                Some(TlsCertificates { client_tls: None, root_cert })
            }
        };
        Ok(Access { username: config.username.clone(), password, certificates })
    }

    /// The connection that `url` names; with the login of the server, which sentinels do not have.
    fn info(&self, url: &str, logs_in: bool) -> RedisResult<ConnectionInfo> {
        let info = url.into_connection_info()?;
        let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if logs_in {
            if !self.username.is_empty() {
                settings = settings.set_username(&self.username);
            }
            if let Some(password) = &self.password {
                settings = settings.set_password(password);
            }
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        Ok(info.set_redis_settings(settings).set_tcp_settings(tcp))
    }
}
