//! The ways to Redis: TLS, a password, a socket; and what is not let in.

use arxosrt_scenario::certificate::certificate;
use arxosrt_scenario::redis::Redis;
use arxosrt_scenario::tier::{Node, at};
use arxosrtd::cache::shared::{Incoming, State};
use arxosrtd::config::Redis as Config;

async fn is_used(node: &Node) {
    node.until_up().await;
    let floor = at("b1", "floor:1", &["floor:1"]);
    node.until_filled(&floor, "v").await;
    assert_eq!(node.text(&floor).await.as_deref(), Some("v"));
}

/// Long enough for some attempts.
const SOME_ATTEMPTS: std::time::Duration = std::time::Duration::from_millis(700);

/// Is not let in, however often it tries.
async fn is_refused(node: &Node) {
    assert!(tokio::time::timeout(SOME_ATTEMPTS, node.until_up()).await.is_err(), "it is used");
    assert!(matches!(node.shared.state(), State::Degraded { .. }));
    assert_eq!(node.heard(), [] as [Incoming; 0]);
}

#[tokio::test]
async fn tls_is_spoken_with_the_authority_that_is_named_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["good", "other"] {
        certificate(folder.path(), name);
    }
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The plain port is for the test's own questions.
    let tls_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = Redis::with(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &path("good.pem"),
        "--tls-key-file",
        &path("good.key"),
        "--tls-ca-cert-file",
        &path("good-ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let node = |ca: &str| {
        let urls = vec![format!("rediss://127.0.0.1:{tls_port}")];
        let ca_file = if ca.is_empty() { String::new() } else { path(ca) };
        Node::with(Config { urls, ca_file: ca_file.into(), ..Config::default() })
    };
    is_used(&node("good-ca.pem")).await;
    for bad in ["other-ca.pem", "good.key", "none.pem", ""] {
        println!("authority {bad:?}");
        is_refused(&node(bad)).await;
    }
    drop(redis);
}

#[tokio::test]
async fn a_password_is_read_from_its_file_and_read_again_when_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let redis = Redis::with(&["--user", "cache", "on", ">geheim", "~arx:*", "&arx:*", "+@all"]);
    let config =
        Config { urls: vec![redis.url()], username: "cache".into(), password_file: file.clone(), ..Config::default() };
    let node = Node::with(config);
    is_refused(&node).await;
    std::fs::write(&file, "geheim\n").unwrap();
    is_used(&node).await;
}

#[tokio::test]
async fn a_socket_is_as_good_as_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let redis = Redis::with(&["--unixsocket", socket.to_str().unwrap()]);
    is_used(&Node::new(&format!("unix://{}", socket.display()))).await;
    drop(redis);
}

#[tokio::test]
async fn a_replica_is_not_taken_for_a_server() {
    let master = Redis::start();
    let replica = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let node = Node::new(&replica.url());
    is_refused(&node).await;
    // Promoted, it is one.
    replica.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    is_used(&node).await;
    // And when it is demoted while it is used, it is left at the first thing that it refuses.
    replica.ask::<()>(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]).await;
    let floor = at("b1", "floor:2", &["floor:2"]);
    arxosrt_scenario::until("it is left", async || {
        node.fill(&floor, "v").await;
        matches!(node.shared.state(), State::Degraded { .. }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_prefixes_share_a_server_and_nothing_else() {
    let redis = Redis::start();
    let a = Node::up(&redis.url()).await;
    let b = Node::with(Config { urls: vec![redis.url()], prefix: "other".into(), ..Config::default() });
    is_used(&a).await;
    b.until_up().await;
    assert_eq!(b.text(&at("b1", "floor:1", &["floor:1"])).await, None);
    b.tell(arxosrtd::cache::shared::Change::All).await;
    assert_eq!(a.text(&at("b1", "floor:1", &["floor:1"])).await.as_deref(), Some("v"));
}
