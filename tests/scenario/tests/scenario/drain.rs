//! A restart costs no message, no lock and no session: everybody is told when to come back, and is not sent away all at
//! once.

use std::future::{pending, ready};

use arxosrt_scenario::{Client, Served, Setup, Value, http::Request, json, until};
use tokio::net::TcpStream;

const WINDOW_MS: u64 = 60_000;
const CLIENTS: usize = 20;

async fn connections(served: &Served) -> u64 {
    let status = served.operate(Request::get("/v1/status")).await.ok();
    status["object"]["connections"].as_u64().expect("a number")
}

async fn arrive(served: &Served) -> Vec<(Client, Value)> {
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = Client::greeted(served.http, &format!("u{n}")).await;
        let welcome = client.hello(&[]).await;
        client.join("r").await;
        clients.push((client, welcome));
    }
    clients
}

#[tokio::test]
async fn clients_are_told_when_to_come_back_and_go_one_after_another() {
    let setup = Setup::embedded().with(|config| config.drain.window_ms = WINDOW_MS);
    let served = setup.start();
    let probe = TcpStream::connect(served.http).await.expect("a connection");
    let mut clients = arrive(&served).await;
    let lock = clients[0].0.lock("floor_edit", "r").await;
    clients[1].0.send(json!({"type": "broadcast", "room_id": "r", "message": "last", "id": "last"}));
    let seq = clients[1].0.expect("ack").await["seq"].clone();

    let watching = async {
        for (client, _) in &mut clients {
            let told = client.expect("server_draining").await["reconnect_after_ms"].as_u64().expect("a number");
            assert!((1..=WINDOW_MS).contains(&told), "{told}");
        }
        let answer = Request::get("/ready").over(probe).await;
        assert_eq!((answer.status, &answer.json()["state"]), (503, &json!("draining")));
        let late = TcpStream::connect(served.http).await.expect("probes and REST go on");
        let answer = Request::get("/v1/realtime/sse/late").over(late).await;
        assert_eq!(
            (answer.status, &answer.json()["error_code"]),
            (503, &json!("draining")),
            "nobody is let in any more"
        );
        served.advance(WINDOW_MS / 2);
        until("some are gone", async || (connections(&served).await < CLIENTS as u64).then_some(())).await;
        assert!(connections(&served).await > 0, "not all go in the first half");
        served.advance(WINDOW_MS / 2);
        for (client, _) in &mut clients {
            assert_eq!(client.closed().await.code, Some(1012));
        }
    };
    tokio::join!(served.drain(pending()), watching);
    served.stop().await.expect("a clean end");

    let served = setup.start();
    for (n, (_, welcome)) in clients.iter().enumerate() {
        let mut client = Client::greeted(served.http, &format!("u{n}")).await;
        let resume = json!({"session": welcome["session"], "token": welcome["resume_token"], "rooms": {"r": null}});
        client.send(json!({"type": "hello", "protocol": 2, "resume": resume}));
        let back = client.expect("welcome").await;
        assert_eq!((&back["resumed"], &back["session"]), (&json!(true), &welcome["session"]));
        let state = client.expect("room_state").await;
        assert_eq!((&state["seq"], &state["locks"][0]["lock_id"]), (&seq, &json!(lock)));
        if n + 1 == CLIENTS {
            assert_eq!(client.acquire("floor_edit", "r").await["success"], false, "it is still its owner's");
        }
    }
}

#[tokio::test]
async fn a_second_request_hurries() {
    let served = Setup::memory().with(|config| config.drain.window_ms = WINDOW_MS).start();
    let mut clients = arrive(&served).await;
    served.drain(ready(())).await;
    for (client, _) in &mut clients {
        assert_eq!(client.closed().await.code, Some(1012));
    }
}

#[tokio::test]
async fn a_restart_costs_no_lock_even_where_a_lost_connection_does() {
    let setup = Setup::embedded().with(|config| {
        config.drain.window_ms = 0;
        config.locks.grace_s = 0;
    });
    let served = setup.start();
    let mut ana = Client::greeted(served.http, "ana").await;
    let welcome = ana.hello(&[]).await;
    ana.join("r").await;
    let lock = ana.lock("floor_edit", "r").await;
    served.drain(pending()).await;
    assert_eq!(ana.closed().await.code, Some(1012));
    served.stop().await.expect("a clean end");

    let served = setup.start();
    let mut ana = Client::greeted(served.http, "ana").await;
    let resume = json!({"session": welcome["session"], "token": welcome["resume_token"], "rooms": {"r": null}});
    ana.send(json!({"type": "hello", "protocol": 2, "resume": resume}));
    assert_eq!(ana.expect("welcome").await["resumed"], true);
    assert_eq!(ana.expect("room_state").await["locks"][0]["lock_id"], lock.as_str());
}
