//! A network that breaks: a TCP proxy that can be told to swallow everything, to be slow, or to refuse.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Lets everything through.
    Fair,
    /// Lets everything through so much later.
    Slow(Duration),
    /// Lets nothing through; connections stay, and new ones are taken and lead nowhere.
    Silent,
    /// Breaks every connection and takes none.
    Broken,
}

/// A proxy in front of a port of 127.0.0.1.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before `port`, in fair weather.
    pub async fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (weather, now) = watch::channel(Weather::Fair);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, now.clone()));
            }
        });
        Proxy { address, weather, task }
    }

    /// The address as Redis clients write it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on the network does this.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, port: u16, mut weather: watch::Receiver<Weather>) {
    if weather.wait_for(|now| *now != Weather::Silent).await.map_or(true, |now| *now == Weather::Broken) {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    // Delays are the test's, not those of a kernel that waits for more.
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let broken = {
        let mut weather = weather.clone();
        async move {
            weather.wait_for(|now| *now == Weather::Broken).await.ok();
        }
    };
    tokio::select! {
        () = pass(from_client, to_server, weather.clone()) => {}
        () = pass(from_server, to_client, weather) => {}
        () = broken => {}
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if weather.wait_for(|now| *now != Weather::Silent).await.is_err() {
            return;
        }
        let now = *weather.borrow();
        if let Weather::Slow(by) = now {
            tokio::time::sleep(by).await;
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}
