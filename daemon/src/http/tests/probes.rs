//! What must be true: the probes answer whatever the hub does.

use serde_json::json;

use super::fake_hub::FakeHub;
use super::{Daemon, HttpLimits, request};
use crate::hub::ReadyState;

#[tokio::test]
async fn the_daemon_lives_even_when_its_hub_does_not() {
    let (hub, handle) = FakeHub::stopped();
    let daemon = Daemon::with_hub(HttpLimits::default(), hub, handle);
    let got = daemon.get("/live").await;
    assert_eq!((got.status.as_u16(), got.json()), (200, json!({"state": "live"})));
    let got = daemon.send(request("HEAD", "/live", "")).await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (200, ""));
}

#[tokio::test]
async fn only_ready_is_ready() {
    let daemon = Daemon::start();
    for (state, status, name) in [
        (ReadyState::Starting, 503, "starting"),
        (ReadyState::Ready, 200, "ready"),
        (ReadyState::ReadOnly, 503, "read_only"),
        (ReadyState::Draining, 503, "draining"),
    ] {
        daemon.ready.send_replace(state);
        let got = daemon.get("/ready").await;
        assert_eq!((got.status.as_u16(), got.json()), (status, json!({"state": name})));
    }
    let Daemon { app, hub, metrics, ready } = daemon;
    ready.send_replace(ReadyState::Ready);
    drop(ready);
    let (unused, _) = tokio::sync::watch::channel(ReadyState::Ready);
    let daemon = Daemon { app, hub, metrics, ready: unused };
    let got = daemon.get("/ready").await;
    assert_eq!((got.status.as_u16(), got.json()), (503, json!({"state": "stopped"})));
}

#[tokio::test]
async fn the_metrics_are_those_of_the_daemon() {
    let daemon = Daemon::start();
    daemon.metrics.connects.add(5);
    daemon.get("/live").await;
    daemon.get("/nothing").await;
    let got = daemon.get("/metrics").await;
    assert_eq!(got.status, 200);
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(got.headers["content-type"], media_type);
    assert!(got.body.contains("\narxosrt_connects_total 5\n"), "{}", got.body);
    for (class, n) in [("2xx", 1), ("4xx", 1), ("5xx", 0)] {
        let line = format!("\narxosrt_http_requests_total{{status=\"{class}\"}} {n}\n");
        assert!(got.body.contains(&line), "{line}");
    }
    assert!(got.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_stranger_is_told_what_to_try() {
    let daemon = Daemon::start();
    let got = daemon.get("/").await;
    assert_eq!(got.status, 200);
    assert_eq!(got.headers["content-type"], "text/plain; charset=utf-8");
    assert!(got.body.contains("ws://127.0.0.1:8790/v1/realtime/ws/USER"), "{}", got.body);

    for (host, shown) in [("hub.example:80", "hub.example:80"), ("localhost:<b>", "127.0.0.1:8790")] {
        let mut asked = request("GET", "/", "");
        asked.headers_mut().insert("host", host.parse().unwrap());
        let got = daemon.send(asked).await;
        assert!(got.body.contains(&format!("curl http://{shown}/live")), "{}", got.body);
    }
}

#[tokio::test]
async fn what_the_welcome_says_to_try_can_be_tried() {
    let daemon = Daemon::start();
    let welcome = daemon.get("/").await.body;
    let urls: Vec<_> = welcome.split_whitespace().filter_map(|word| word.strip_prefix("http://")).collect();
    assert!(urls.len() >= 5, "{welcome}");
    for url in urls {
        let path = url.split_once('/').map(|(_, path)| format!("/{path}")).expect(url);
        assert_eq!(daemon.get(&path).await.status, 200, "{path}");
    }
}
