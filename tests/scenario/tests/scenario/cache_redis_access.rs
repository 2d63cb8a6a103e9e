//! How a daemon is let in to Redis, and what it says when it is not.

use std::path::Path;

use arxosrt_scenario::certificate::certificate;
use arxosrt_scenario::child::Child;
use arxosrt_scenario::redis::Redis;
use arxosrt_scenario::sharing::{self, delete, get, put, until_connected, until_gone, until_read};
use arxosrt_scenario::{Setup, house, json, until};
use arxosrtd::config::{LogLevel, Redis as Config};

/// What operators are told to allow, word for word, with this password.
fn rights(password: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/redis.md");
    let page = std::fs::read_to_string(page).expect("there is a page about Redis");
    let from = page.find("user arxosrt on").expect("it says what to allow");
    let to = from + page[from..].find("```").expect("the list ends");
    page[from..to].replace("PASSWORD", password).split_whitespace().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn with_tls_a_password_and_the_rights_in_the_papers_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path(), "redis");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
    std::fs::write(path("password"), "geheim\n").expect("a password file");
    let tls_port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let tls_port = tls_port.expect("a free port").port().to_string();
    let mut options = ["--tls-port", &tls_port, "--tls-auth-clients", "no"].map(str::to_owned).to_vec();
    for (option, file) in
        [("--tls-cert-file", "redis.pem"), ("--tls-key-file", "redis.key"), ("--tls-ca-cert-file", "redis-ca.pem")]
    {
        options.extend([option.to_owned(), path(file)]);
    }
    options.push("--user".to_owned());
    options.extend(rights("geheim"));
    let redis = Redis::with(&options.iter().map(String::as_str).collect::<Vec<_>>());
    let config = Config {
        urls: vec![format!("rediss://127.0.0.1:{tls_port}")],
        username: "arxosrt".into(),
        password_file: path("password").into(),
        ca_file: path("redis-ca.pem").into(),
        ..Config::default()
    };
    let [a, b] = [config.clone(), config].map(|config| sharing::with(config).building(house()).start());
    for served in [&a, &b] {
        until_connected(served, true).await;
    }
    for what in ["floor_data/hq%3A1", "user_session/s1"] {
        for value in ["1", "2"] {
            assert_eq!(put(&a, what, value).await.status, 200);
            until_read(&b, what, value).await;
        }
    }
    a.post("/v1/realtime/invalidate-floor-cache", &json!({"floor_id": "hq:1"})).await.ok();
    until_gone(&b, "floor_data/hq%3A1").await;
    delete(&b, "user_session/s1").await.ok();
    until_gone(&a, "user_session/s1").await;
    let refused: Vec<redis::Value> = redis.ask(&["ACL", "LOG"]).await;
    assert!(refused.is_empty(), "Redis refused: {refused:?}");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown_and_the_right_one_needs_no_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("password");
    std::fs::write(&file, "xyzzy-wrong\n").expect("a password file");
    let redis = Redis::with(&["--user", "cache", "on", ">xyzzy-right", "~arx:*", "&arx:*", "+@all"]);
    let setup = Setup::memory().with(|config| {
        config.redis = Config {
            urls: vec![redis.url()],
            username: "cache".into(),
            password_file: file.clone(),
            timeout_ms: sharing::TIMEOUT_MS,
            ..Config::default()
        };
        config.log.level = LogLevel::Trace;
    });
    let child = Child::start(setup.config(), dir.path());
    let connected = async || child.get("/v1/realtime/connection-status").await.ok()["cache_connected"] == true;
    let said = until("it says what is wrong", async || {
        let log = child.logged();
        log.lines().find(|line| line.contains("password")).map(str::to_owned)
    });
    println!("{}", said.await);
    assert!(!connected().await);
    assert_eq!(child.get("/ready").await.status, 200);
    std::fs::write(&file, "xyzzy-right\n").expect("a password file");
    until("it is let in", async || connected().await.then_some(())).await;
    let log = child.logged();
    assert!(!log.contains("xyzzy"), "the log shows the password");
}

#[tokio::test]
async fn another_value_of_a_session_is_read_from_the_daemon_that_did_not_write_it_at_once() {
    let redis = Redis::start();
    let [a, b] = [sharing::on(&redis.url()).start(), sharing::on(&redis.url()).start()];
    for served in [&a, &b] {
        until_connected(served, true).await;
    }
    // Sessions are read from Redis each time, so there is no delay of the bus.
    for n in 0..50 {
        let value = n.to_string();
        put(&a, "user_session/s", &value).await.ok();
        assert_eq!(get(&b, "user_session/s").await.body, value);
    }
}
