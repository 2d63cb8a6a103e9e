//! A service over real sockets that answers as it is told: slowly, wrongly, not at all.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arxosrt_core::cache::EntryId;
use arxosrt_core::directory::Directory;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{HttpDocuments, HttpSource, Service, buildings};
use crate::config::{HttpOrigin, HttpPlace};
use crate::hub::ask::{Ask, HubHandle, Page};
use crate::origin::documents::Kind;
use crate::origin::fetch::{Fetch, FetchError, Fetched, Promoted, Purpose, Source};
use crate::origin::write_back::{Outcome, Stored};

const TOKEN: &str = "s3cr3t-token";

/// An answer to come: status, headers, content.
#[derive(Clone, Default)]
struct Told {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Not before this is woken.
    waits: Option<Arc<Notify>>,
}

/// What was asked: method, path, conditions and token, content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    line: String,
    condition: Option<String>,
    token: Option<String>,
    body: String,
}

#[derive(Default)]
struct Script {
    told: Mutex<VecDeque<Told>>,
    asked: Mutex<Vec<Asked>>,
    at_once: AtomicUsize,
    at_once_most: AtomicUsize,
}

/// A service that follows a script; beyond its end it says 404.
struct Fake {
    script: Arc<Script>,
    url: String,
}

impl Fake {
    async fn start() -> Fake {
        let script = Arc::new(Script::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = hyper_util::service::TowerToHyperService::new(app.clone());
                let io = hyper_util::rt::TokioIo::new(socket);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
        Fake { script, url }
    }

    fn tell(&self, told: impl IntoIterator<Item = Told>) {
        self.script.told.lock().unwrap().extend(told);
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.script.asked.lock().unwrap())
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    async fn until_asked(&self, times: usize) {
        let over = Instant::now() + Duration::from_secs(20);
        while self.script.asked.lock().unwrap().len() < times {
            assert!(Instant::now() < over, "asked {:?}", self.script.asked.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn settings(&self) -> HttpOrigin {
        let place = |url: &str, pointer: &str, write_url: &str| HttpPlace {
            url: url.into(),
            pointer: pointer.into(),
            write_url: write_url.into(),
        };
        let mut settings = HttpOrigin { url: self.url.clone(), ..HttpOrigin::default() };
        settings.values.insert("object_data".into(), place("/floors/{floor}/objects", "/data/items", ""));
        settings.values.insert("search_results".into(), place("/search/{id}", "", "/search/{id}"));
        settings.values.insert("analytics_data".into(), place("/b/{building}/analytics", "", ""));
        settings.documents.insert("object".into(), place("/objects/{id}", "", "/objects/{id}"));
        settings.documents.insert("floor".into(), place("/floors/{id}", "", ""));
        settings.directory_url = "/buildings".into();
        settings.directory_wait_ms = 2000;
        settings
    }
}

async fn answer(State(script): State<Arc<Script>>, request: HttpRequest) -> Response {
    let now = script.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    script.at_once_most.fetch_max(now, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let field = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let told = script.told.lock().unwrap().pop_front().unwrap_or_else(|| Told { status: 404, ..Told::default() });
    script.asked.lock().unwrap().push(Asked {
        line: format!("{} {}", head.method, head.uri),
        condition: field("if-none-match").or_else(|| field("if-match")),
        token: field("authorization"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    if let Some(waits) = &told.waits {
        waits.notified().await;
    }
    script.at_once.fetch_sub(1, Ordering::SeqCst);
    let mut response = Response::builder().status(told.status);
    for (name, value) in told.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(told.body)).unwrap()
}

fn says(status: u16, body: &str) -> Told {
    Told { status, body: body.into(), ..Told::default() }
}

fn with(told: Told, name: &'static str, value: &str) -> Told {
    Told { headers: vec![(name, value.to_owned())], ..told }
}

/// A hub whose buildings have nothing that is not written.
fn idle_hub() -> HubHandle {
    let (hub, mut questions) = HubHandle::new();
    tokio::spawn(async move {
        while let Some(ask) = questions.recv().await {
            match ask {
                Ask::Unwritten { reply, .. } => drop(reply.send(Ok(Page { rows: Vec::new(), more: false }))),
                Ask::Document { reply, .. } => drop(reply.send(Ok(None))),
                _ => panic!("nothing else is asked"),
            }
        }
    });
    hub
}

fn source(settings: &HttpOrigin) -> HttpSource {
    HttpSource::new(Service::new(settings).unwrap(), Arc::new(Directory::default()), idle_hub(), true)
}

fn fetch(strategy: &str, id: &str) -> Fetch {
    Fetch {
        strategy: strategy.into(),
        id: EntryId::new(id).unwrap(),
        etag: None,
        purpose: Purpose::Demand,
        promoted: Promoted::default(),
        deadline: Duration::from_secs(20),
    }
}

fn text(fetched: Fetched) -> String {
    match fetched {
        Fetched::Value { bytes, .. } => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_value_is_found_in_the_answer_and_known_by_its_version() {
    let fake = Fake::start().await;
    let source = source(&fake.settings());
    assert!(source.has("object_data") && !source.has("route_data"));
    let list = r#"{"data":{"items":[ {"id":"a","n":1.50} ]},"more":false}"#;
    fake.tell([
        with(says(200, list), "etag", "W/\"7\""),
        says(304, ""),
        says(200, r#"{"data":{}}"#),
        says(200, "{\"da"),
    ]);
    let floor = "floor:hq:1/../2";
    let Fetched::Value { bytes, etag } = source.fetch(fetch("object_data", floor)).await.unwrap() else { panic!() };
    assert_eq!((&bytes[..], etag.as_deref()), (&br#"[ {"id":"a","n":1.50} ]"#[..], Some("W/\"7\"")));
    let known = Fetch { etag, ..fetch("object_data", floor) };
    assert_eq!(source.fetch(known).await, Ok(Fetched::Unchanged));
    let asked = fake.asked();
    assert_eq!(asked[0].line, "GET /api/floors/hq%3A1%2F%2E%2E%2F2/objects");
    assert_eq!(asked.iter().map(|asked| asked.condition.as_deref()).collect::<Vec<_>>(), [None, Some("W/\"7\"")]);
    assert_eq!(source.fetch(fetch("object_data", floor)).await, Ok(Fetched::Missing), "the pointer leads nowhere");
    assert!(matches!(source.fetch(fetch("object_data", floor)).await, Err(FetchError::Malformed(_))));
    assert_eq!(source.fetch(fetch("analytics_data", "floor:x")).await, Ok(Fetched::Missing), "in no building");
    assert_eq!(source.fetch(fetch("nothing", "x")).await, Err(FetchError::NoSource));
}

#[tokio::test]
async fn each_status_means_what_it_says_and_only_some_are_asked_again() {
    let fake = Fake::start().await;
    let source = source(&HttpOrigin { retries: 1, ..fake.settings() });
    let unavailable = |status| Err(FetchError::Unavailable(format!("it answers with status {status}")));
    for (status, means, times) in [
        (204, Ok(Fetched::Missing), 1),
        (404, Ok(Fetched::Missing), 1),
        (410, Ok(Fetched::Missing), 1),
        (401, Err(FetchError::Denied(401)), 1),
        (403, Err(FetchError::Denied(403)), 1),
        (500, unavailable(500), 1),
        (429, unavailable(429), 2),
        (502, unavailable(502), 2),
        (503, unavailable(503), 2),
        (418, Err(FetchError::Malformed("it answers with status 418".into())), 1),
    ] {
        // One good answer in between: a service that is down is not asked twice.
        fake.tell([says(200, "1")]);
        assert_eq!(text(source.fetch(fetch("search_results", "good")).await.unwrap()), "1");
        fake.asked();
        fake.tell([says(status, ""), says(status, "")]);
        assert_eq!(source.fetch(fetch("search_results", "x")).await, means, "{status}");
        assert_eq!(fake.lines().len(), times, "{status}");
        fake.script.told.lock().unwrap().clear();
    }
    fake.tell([with(says(302, ""), "location", "http://127.0.0.1:1/elsewhere")]);
    let refused = source.fetch(fetch("search_results", "x")).await.unwrap_err();
    assert!(refused.to_string().contains("which is not followed"), "{refused}");
    assert_eq!(fake.lines().len(), 1);
    fake.tell([says(503, ""), says(200, "2")]);
    assert_eq!(text(source.fetch(fetch("search_results", "x")).await.unwrap()), "2", "the second attempt");
}

#[tokio::test]
async fn a_service_says_when_it_may_be_asked_again_and_a_deadline_goes_before_that() {
    let fake = Fake::start().await;
    let source = source(&fake.settings());
    fake.tell([with(says(503, ""), "retry-after", "1"), says(200, "1")]);
    let began = Instant::now();
    assert_eq!(text(source.fetch(fetch("search_results", "x")).await.unwrap()), "1");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    fake.tell([with(says(503, ""), "retry-after", "3600"), says(200, "1")]);
    let began = Instant::now();
    assert!(source.fetch(fetch("search_results", "x")).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(10), "it would be too late: nobody waits for it");
    fake.script.told.lock().unwrap().clear();
    let never = Arc::new(Notify::new());
    fake.tell([Told { waits: Some(never.clone()), ..says(200, "1") }]);
    let hurried = Fetch { deadline: Duration::from_millis(60), ..fetch("search_results", "x") };
    assert!(matches!(source.fetch(hurried).await, Err(FetchError::Timeout(_))));
}

#[tokio::test]
async fn demand_goes_first_and_never_more_than_the_bound_are_under_way() {
    let fake = Fake::start().await;
    let source = source(&HttpOrigin { requests_max: 3, ..fake.settings() });
    let gate = Arc::new(Notify::new());
    let held = |_| Told { waits: Some(gate.clone()), ..says(200, "1") };
    fake.tell((0..3).map(held));
    fake.tell((0..20).map(|_| says(200, "1")));
    let mut tasks = Vec::new();
    let ask = |id: String, purpose| {
        let source = source.clone();
        tokio::spawn(async move { source.fetch(Fetch { purpose, ..fetch("search_results", &id) }).await.unwrap() })
    };
    tasks.extend((0..3).map(|n| ask(format!("held{n}"), Purpose::Demand)));
    fake.until_asked(3).await;
    tasks.extend((0..5).map(|n| ask(format!("ahead{n}"), Purpose::Ahead)));
    tokio::task::yield_now().await;
    tasks.extend((0..5).map(|n| ask(format!("demand{n}"), Purpose::Demand)));
    while source.health().busy < 3 {
        tokio::task::yield_now().await;
    }
    // All of them wait by now: a request that does not wait is asked in the order of the queue.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    gate.notify_waiters();
    for task in tasks {
        task.await.unwrap();
    }
    let lines = fake.lines();
    let last_demand = lines.iter().rposition(|line| line.contains("demand")).unwrap();
    let ahead_before = lines[..last_demand].iter().filter(|line| line.contains("ahead")).count();
    assert!(ahead_before == 0, "{lines:?}");
    assert_eq!(lines.len(), 13);
    assert!(fake.script.at_once_most.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn what_is_too_large_is_refused_whether_its_length_is_said_or_not() {
    let fake = Fake::start().await;
    let source = source(&HttpOrigin { answer_bytes_max: 1024, ..fake.settings() });
    fake.tell([says(200, &"1".repeat(1024)), says(200, &"1".repeat(1025))]);
    assert_eq!(text(source.fetch(fetch("search_results", "x")).await.unwrap()).len(), 1024);
    assert_eq!(source.fetch(fetch("search_results", "x")).await, Err(FetchError::TooLarge(1024)));
    assert_eq!(fake.lines().len(), 2, "it would be as large the second time");
}

#[tokio::test]
async fn the_token_is_sent_and_in_no_error_and_a_dead_service_counts_as_down() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    let settings = HttpOrigin { token_file: token_file.clone(), ..fake.settings() };
    fake.tell([says(200, "1"), says(401, TOKEN)]);
    let alive = source(&settings);
    alive.fetch(fetch("search_results", "x")).await.unwrap();
    assert_eq!(fake.asked()[0].token.as_deref(), Some(&*format!("Bearer {TOKEN}")));
    let denied = alive.fetch(fetch("search_results", "x")).await.unwrap_err();
    assert!(!denied.to_string().contains(TOKEN));

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let dead = source(&HttpOrigin { url, retries: 0, ..settings.clone() });
    for _ in 0..3 {
        let error = dead.fetch(fetch("search_results", "x")).await.unwrap_err().to_string();
        assert!(error.starts_with("the origin cannot answer: no connection: ") && !error.contains(TOKEN), "{error}");
    }
    let health = dead.health();
    assert!(!health.is_up && health.trouble.is_some() && health.busy == 0, "{health:?}");

    std::fs::write(&token_file, "two\nlines").unwrap();
    let refused = Service::new(&settings).err().unwrap();
    assert!(refused.starts_with("origin.http.token_file: ") && !refused.contains("lines"), "{refused}");
    let ca_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(Service::new(&HttpOrigin { ca_file, ..fake.settings() }).err().unwrap().contains("holds no certificate"));
}

#[tokio::test]
async fn a_value_that_a_client_sets_is_handed_over_where_the_service_takes_it() {
    let fake = Fake::start().await;
    let source = source(&fake.settings());
    let id = EntryId::new("q=1").unwrap();
    fake.tell([says(201, ""), says(403, "")]);
    assert_eq!(source.store("search_results", &id, "[1]".into()).await, Ok(true));
    let asked = fake.asked();
    assert_eq!((asked[0].line.as_str(), asked[0].body.as_str()), ("PUT /api/search/q%3D1", "[1]"));
    assert_eq!(source.store("search_results", &id, "[1]".into()).await, Err(FetchError::Denied(403)));
    assert_eq!(source.store("object_data", &id, "[1]".into()).await, Ok(false));
}

const LIST: &str = r#"[{"id":"hq","name":"Headquarters","floors":[
    {"id":"hq:1","level":1,"objects":[{"id":"door"}],"routes":[{"id":"way","floors":["hq:1","hq:2"]}]},
    {"id":"hq:2","level":2}]}]"#;

#[tokio::test]
async fn the_list_of_buildings_says_where_things_are_and_is_asked_for_until_it_comes() {
    let fake = Fake::start().await;
    let service = Service::new(&HttpOrigin { retries: 0, ..fake.settings() }).unwrap();
    fake.tell([says(500, ""), says(200, LIST)]);
    let directory = buildings::read(&service).await.unwrap();
    let counts = directory.counts();
    assert_eq!((counts.buildings, counts.floors, counts.objects, counts.routes), (1, 2, 1, 1));
    assert_eq!(directory.building_of_room(&RoomId::new("hq:2").unwrap()).unwrap().as_str(), "hq");
    for (list, why) in [
        (r#"[{"id":"hq","floors":[{"id":"f","routes":[{"id":"w","floors":["g"]}]}]}]"#, "no floor of `hq`"),
        (r#"[{"name":"secret"}]"#, "missing field `id`"),
    ] {
        fake.tell([says(200, list)]);
        let said = buildings::read(&service).await.unwrap_err();
        assert!(said.contains(why) && !said.contains("secret"), "{said}");
    }
    let impatient = Service::new(&HttpOrigin { directory_wait_ms: 0, ..fake.settings() }).unwrap();
    assert!(buildings::read(&impatient).await.is_err());
}

#[tokio::test]
async fn a_document_comes_and_goes_back_under_a_condition() {
    let fake = Fake::start().await;
    let service = Service::new(&fake.settings()).unwrap();
    fake.tell([says(200, LIST)]);
    let directory = Arc::new(buildings::read(&service).await.unwrap());
    let documents = Arc::new(HttpDocuments::new(service, directory));
    let (building, door) = (BuildingId::new("hq").unwrap(), ResourceId::new("door").unwrap());
    fake.asked();
    assert!(documents.takes(Kind::Object) && !documents.takes(Kind::Floor) && !documents.takes(Kind::Route));
    fake.tell([with(says(200, r#"{"id":"door","floor_id":"hq:1","version":4}"#), "etag", "\"e4\"")]);
    let document = documents.load(&building, &door).await.unwrap().unwrap();
    assert_eq!((document.version, document.floors[0].as_str(), document.kind), (4, "hq:1", Kind::Object));
    assert_eq!(documents.load(&building, &door).await.unwrap(), None, "404");
    fake.tell([says(200, r#"{"id":"window"}"#)]);
    assert!(documents.load(&building, &door).await.is_err(), "another thing");
    let stored = |version, text: Option<&str>| Stored {
        building: building.clone(),
        resource: door.clone(),
        kind: Kind::Object,
        floor: RoomId::new("hq:1").unwrap(),
        document: text.map(Arc::from),
        version,
    };
    fake.asked();
    // Somebody else had changed it: that is told, and what was agreed on is written.
    fake.tell([says(412, ""), with(says(200, ""), "etag", "\"e5\""), with(says(200, ""), "etag", "\"e6\"")]);
    let reports = documents.clone().store(vec![stored(5, Some(r#"{"id":"door"}"#))]).await;
    assert_eq!(
        (&reports[0].outcome, reports[0].diverged.map(|found| found.expected)),
        (&Outcome::Written, Some(Some(4)))
    );
    let reports = documents.clone().store(vec![stored(6, Some(r#"{"id":"door"}"#))]).await;
    assert_eq!((&reports[0].outcome, reports[0].diverged), (&Outcome::Written, None));
    let asked = fake.asked();
    let conditions: Vec<_> = asked.iter().map(|asked| asked.condition.as_deref()).collect();
    assert_eq!(conditions, [Some("\"e4\""), None, Some("\"e5\"")]);
    assert_eq!(
        (asked[2].line.as_str(), asked[2].body.as_str()),
        ("PUT /api/objects/door", r#"{"id":"door","version":6}"#)
    );
    for (status, is_final) in [(422, true), (401, false), (500, false)] {
        fake.tell([says(status, "")]);
        let reports = documents.clone().store(vec![stored(7, Some(r#"{"id":"door"}"#))]).await;
        assert_eq!(matches!(reports[0].outcome, Outcome::Refused(_)), is_final, "{status}: {reports:?}");
    }
    let reports = documents.clone().store(vec![stored(8, None)]).await;
    assert_eq!(reports[0].outcome, Outcome::Written, "what is not there is deleted");
    assert!(fake.lines().last().unwrap().starts_with("DELETE "));
}
