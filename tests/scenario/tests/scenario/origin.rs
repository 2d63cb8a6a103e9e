//! A service over HTTP as the origin: edits load from it, go back to it, and go before what it says until they have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arxosrt_scenario::{Served, Setup, Value, json, segment, until};
use arxosrtd::config::{HttpPlace, OriginKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What the service has, by path.
type Held = Arc<Mutex<BTreeMap<String, Value>>>;

/// A service of JSON values: GET, PUT and DELETE. While it holds `/closed` it says 503 to everything.
async fn service(held: Held) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let held = held.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                loop {
                    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                        if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                        continue;
                    };
                    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                    let length = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
                    });
                    let whole = end + 4 + length.unwrap_or(0);
                    while bytes.len() < whole {
                        if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let body: Vec<u8> = bytes.drain(..whole).skip(end + 4).collect();
                    let mut words = head.split(' ');
                    let (method, path) = (words.next().unwrap(), words.next().unwrap());
                    let (status, body) = answer(&held, method, path, &body);
                    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

fn answer(held: &Held, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut held = held.lock().unwrap();
    if held.contains_key("/closed") {
        return (503, String::new());
    }
    match method {
        "PUT" => {
            held.insert(path.to_owned(), serde_json::from_slice(body).unwrap());
            (204, String::new())
        }
        "DELETE" => held.remove(path).map_or((404, String::new()), |_| (204, String::new())),
        _ => held.get(path).map_or((404, String::new()), |value| (200, value.to_string())),
    }
}

fn place(url: &str, pointer: &str, write_url: &str) -> HttpPlace {
    HttpPlace { url: url.into(), pointer: pointer.into(), write_url: write_url.into() }
}

fn start(url: String) -> Served {
    let setup = Setup::memory().with(|config| {
        config.origin.kind = OriginKind::Http;
        config.origin.write_back_ms = 1;
        config.origin.http.url = url;
        config.origin.http.directory_url = "/buildings".into();
        config.origin.http.retries = 0;
        config.origin.http.documents.insert("object".into(), place("/objects/{id}", "", "/objects/{id}"));
        config.origin.http.values.insert("object_data".into(), place("/floors/{floor}/objects", "/items", ""));
    });
    setup.start()
}

async fn edit(served: &Served, base: u64, patch: Value) -> Value {
    let edit = json!({"user_id": "ana", "resource_id": "door", "base_version": base, "patch": patch});
    served.post("/v1/realtime/edit", &edit).await.ok()
}

// The service answers while the daemon stops, which keeps the test's own thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_loads_over_http_goes_before_what_is_there_and_is_written_back() {
    let held = Held::default();
    let door = json!({"id": "door", "floor_id": "hq:1", "version": 4, "colour": "red"});
    held.lock().unwrap().extend([
        ("/buildings".to_owned(), json!([{"id": "hq", "floors": [{"id": "hq:1", "objects": [{"id": "door"}]}]}])),
        ("/objects/door".to_owned(), door.clone()),
        (format!("/floors/{}/objects", segment("hq:1")), json!({"items": [door, {"id": "window"}]})),
    ]);
    let served = start(service(held.clone()).await);
    let _ana = served.client_in("ana", "hq:1").await;
    let list = format!("/realtime/cache/object_data/{}", segment("floor:hq:1"));
    assert_eq!(served.get(&list).await.ok()[0]["colour"], "red");

    assert_eq!(edit(&served, 4, json!({"colour": "blue"})).await["success"], true);
    let written = until("the edit is with the service", async || {
        let held = held.lock().unwrap();
        held.get("/objects/door").filter(|door| door["colour"] == "blue").cloned()
    });
    assert_eq!(written.await, json!({"id": "door", "floor_id": "hq:1", "version": 5, "colour": "blue"}));

    // From now on the service says nothing, and its list is older than what people agreed on.
    held.lock().unwrap().insert("/closed".to_owned(), json!(true));
    assert_eq!(edit(&served, 5, json!({"colour": "green"})).await["success"], true);
    assert_eq!(served.get("/realtime/cache/object_data/door").await.ok()["colour"], "green");
    held.lock().unwrap().remove("/closed");
    let shown = until("the list has what was agreed on, or it was written", async || {
        let answer = served.get(&list).await;
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(shown.await[1], json!({"id": "window"}));
    until("what waited is with the service", async || {
        let held = held.lock().unwrap();
        held.get("/objects/door").filter(|door| door["colour"] == "green").map(drop)
    })
    .await;
}

#[tokio::test]
async fn without_the_list_of_buildings_it_starts_all_the_same_and_says_how_the_service_fares() {
    let held = Held::default();
    held.lock().unwrap().insert("/closed".to_owned(), json!(true));
    let url = service(held).await;
    let served = Setup::memory()
        .with(|config| {
            config.origin.kind = OriginKind::Http;
            config.origin.http.url = url;
            config.origin.http.directory_url = "/buildings".into();
            config.origin.http.directory_wait_ms = 0;
            config.origin.http.retries = 0;
            config.origin.http.values.insert("search_results".into(), place("/search/{id}", "", ""));
        })
        .start();
    for n in 0..3 {
        let answer = served.get(&format!("/realtime/cache/search_results/{n}")).await;
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    let status = served.hub.ask(|reply| arxosrtd::hub::ask::Ask::Status { reply }).await.unwrap().unwrap();
    let origin = &status.origins[0];
    assert_eq!((origin.name.as_str(), origin.up), ("service", false), "{origin:?}");
    assert_eq!(origin.trouble.as_deref(), Some("the origin cannot answer: it answers with status 503"));
}
