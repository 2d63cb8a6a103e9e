//! What was acknowledged survives `kill -9`, and what one member has heard of a room every member hears, once and in
//! the same order, whenever the daemon dies and however often.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arxosrt_scenario::child::Child;
use arxosrt_scenario::{Client, Served, Setup, Value, http::Request, json, until};

const ROOM: &str = "r";
const RESOURCES: u64 = 3;
const MEMBERS: usize = 4;

/// A small generator: the same seed, the same choices.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A member that asks for locks, gives them back and talks, and keeps book of all that it is told.
struct Member {
    user: String,
    rng: Rng,
    ticket: Option<(String, String)>,
    epoch: Value,
    /// The room's order as this member was told it, live and missed.
    told: BTreeMap<u64, Value>,
    /// Locks that were granted and are not given back, with their resource.
    held: HashMap<String, String>,
    /// A lock that was being given back when the daemon died.
    leaving: Option<String>,
    /// Locks whose release was acknowledged.
    gone: BTreeSet<String>,
    /// Broadcasts that were acknowledged.
    acknowledged: Vec<(String, u64)>,
    tokens: Vec<u64>,
    said: u64,
}

impl Member {
    fn new(user: String, seed: u64) -> Member {
        Member {
            user,
            rng: Rng(seed),
            ticket: None,
            epoch: Value::Null,
            told: BTreeMap::new(),
            held: HashMap::new(),
            leaving: None,
            gone: BTreeSet::new(),
            acknowledged: Vec::new(),
            tokens: Vec::new(),
            said: 0,
        }
    }

    fn seq(&self) -> u64 {
        self.told.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Notes a message if it has a place in the room's order, which must be the next one.
    fn note(&mut self, message: &Value) {
        if let Some(seq) =
            message["seq"].as_u64().filter(|_| message["type"] != "ack" && message["type"] != "room_state")
        {
            assert_eq!(seq, self.seq() + 1, "{} is told the room's order out of order: {message}", self.user);
            self.told.insert(seq, message.clone());
        }
    }

    /// Comes, or comes back, and checks that what was acknowledged before is so.
    async fn arrive(&mut self, at: SocketAddr) -> Client {
        let mut client = Client::greeted(at, &self.user).await;
        let mut hello = json!({"type": "hello", "protocol": 2});
        if let Some((session, token)) = &self.ticket {
            let since = json!({"epoch": self.epoch, "seq": self.seq()});
            hello["resume"] = json!({"session": session, "token": token, "rooms": {ROOM: since}});
        }
        client.send(hello);
        let welcome = client.expect("welcome").await;
        let text = |key: &str| welcome[key].as_str().expect("a text").to_owned();
        match self.ticket.replace((text("session"), text("resume_token"))) {
            Some((session, _)) => {
                assert_eq!((&welcome["resumed"], &welcome["session"]), (&json!(true), &json!(session)), "{welcome}");
            }
            None => client.send(json!({"type": "join_room", "room_id": ROOM})),
        }
        let state = loop {
            let message = client.next().await;
            assert!(message["seq"].is_null() || message["type"] == "room_state", "before its state: {message}");
            if message["type"] == "room_state" {
                break message;
            }
        };
        if self.epoch.is_null() {
            // The first time it learns where the room stands; the rest comes live.
            assert_eq!(state["seq"], 0, "everybody is there before anything happens");
        } else {
            assert_eq!((&state["recovered"], &state["epoch"]), (&json!(true), &self.epoch), "{state}");
            for missed in state["missed"].as_array().expect("a list") {
                self.note(missed);
            }
        }
        assert_eq!(state["seq"], self.seq());
        self.epoch = state["epoch"].clone();
        self.compare_locks(&state);
        client
    }

    fn compare_locks(&mut self, state: &Value) {
        let locks = state["locks"].as_array().expect("a list");
        let id = |lock: &Value| lock["lock_id"].as_str().expect("an id").to_owned();
        let mine = locks.iter().filter(|lock| lock["user_id"] == self.user.as_str());
        let mine: HashMap<String, String> =
            mine.map(|lock| (id(lock), lock["resource_id"].as_str().expect("an id").to_owned())).collect();
        for lock in self.held.keys().filter(|lock| Some(*lock) != self.leaving.as_ref()) {
            assert!(mine.contains_key(lock), "{}: the acknowledged lock {lock} is lost: {state}", self.user);
        }
        let back = locks.iter().map(id).find(|lock| self.gone.contains(lock));
        assert_eq!(back, None, "{}: a lock is back whose release was acknowledged", self.user);
        self.leaving = None;
        self.held = mine;
    }

    /// Works until the connection ends. Each thing that is acknowledged is counted.
    async fn work(&mut self, client: &mut Client, done: &AtomicU64, enough: u64) {
        while done.load(Ordering::Relaxed) < enough {
            let choice = self.rng.below(5);
            let held = self.held.keys().next().cloned();
            let over = match (choice, held) {
                (0, None) | (1, None) => {
                    let resource = format!("o{}", self.rng.below(RESOURCES));
                    self.acquire(client, resource).await
                }
                (0 | 1, Some(lock)) => self.release(client, lock).await,
                (2, _) => {
                    client.send(json!({"type": "update_presence", "cursor_position": [self.said, 0]}));
                    false
                }
                _ => self.talk(client).await,
            };
            if over {
                return;
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads up to the answer for which `is_it` holds; nothing if the connection ends before.
    async fn answer(&mut self, client: &mut Client, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        loop {
            let message = client.heard().await?;
            assert_ne!(message["type"], "error", "{message}");
            assert_ne!(message["type"], "resync_required", "{message}");
            self.note(&message);
            if is_it(&message) {
                return Some(message);
            }
        }
    }

    async fn acquire(&mut self, client: &mut Client, resource: String) -> bool {
        client.send(json!({
            "type": "acquire_lock", "lock_type": "object_edit", "resource_id": resource, "room_id": ROOM,
        }));
        let Some(answer) = self.answer(client, |m| m["type"] == "lock_response").await else {
            return true;
        };
        if answer["success"] == true {
            self.tokens.push(answer["fencing_token"].as_u64().expect("a token"));
            self.held.insert(answer["lock_id"].as_str().expect("an id").to_owned(), resource);
        }
        false
    }

    async fn release(&mut self, client: &mut Client, lock: String) -> bool {
        self.leaving = Some(lock.clone());
        client.send(json!({"type": "release_lock", "lock_id": lock}));
        let Some(answer) = self.answer(client, |m| m["type"] == "lock_release_response").await else {
            return true;
        };
        assert_eq!(answer["success"], true, "{answer}");
        self.leaving = None;
        self.held.remove(&lock);
        self.gone.insert(lock);
        false
    }

    /// Says something, mostly waiting for the acknowledgement.
    async fn talk(&mut self, client: &mut Client) -> bool {
        self.said += 1;
        let text = format!("{} {}", self.user, self.said);
        let mut message = json!({"type": "broadcast", "room_id": ROOM, "message": text});
        if self.rng.below(3) == 0 {
            client.send(message);
            return false;
        }
        message["id"] = json!(text);
        client.send(message);
        let own = json!(text);
        let Some(ack) = self.answer(client, |m| m["type"] == "ack" && m["id"] == own).await else {
            return true;
        };
        self.acknowledged.push((text, ack["seq"].as_u64().expect("a number")));
        false
    }

    /// Reads what is there up to the end of the connection.
    async fn read_out(&mut self, client: &mut Client) {
        while let Some(message) = client.heard().await {
            self.note(&message);
        }
    }
}

fn seed() -> u64 {
    let seed = match std::env::var("ARXOSRT_SEED") {
        Ok(seed) => seed.parse().expect("ARXOSRT_SEED is a number"),
        Err(_) => {
            u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64
        }
    };
    println!("ARXOSRT_SEED={seed}");
    seed
}

fn setup() -> Setup {
    Setup::embedded().with(|config| {
        config.limits.messages_per_s = 1_000_000;
        config.limits.messages_burst = 1_000_000;
        // Small, so that some deaths come right after a snapshot.
        config.store.snapshot_events = 64;
    })
}

fn members(seed: u64) -> Vec<Member> {
    (0..MEMBERS).map(|n| Member::new(format!("m{n}"), seed.wrapping_mul(31).wrapping_add(n as u64))).collect()
}

async fn arrive(members: &mut [Member], at: SocketAddr) -> Vec<Client> {
    let mut clients = Vec::new();
    for member in members {
        clients.push(member.arrive(at).await);
    }
    clients
}

/// Lets everybody work at once until so much is done or the daemon dies under them.
async fn work(members: Vec<Member>, clients: Vec<Client>, done: Arc<AtomicU64>, enough: u64) -> Vec<(Member, Client)> {
    let tasks: Vec<_> = members
        .into_iter()
        .zip(clients)
        .map(|(mut member, mut client)| {
            let done = done.clone();
            tokio::spawn(async move {
                member.work(&mut client, &done, enough).await;
                (member, client)
            })
        })
        .collect();
    let mut back = Vec::new();
    for task in tasks {
        back.push(task.await.expect("a member keeps its books"));
    }
    back
}

/// All books agree, nothing is missing in them, and no token was given out twice.
fn compare(members: &[Member]) {
    let first = &members[0].told;
    assert!(first.keys().copied().eq(1..=first.len() as u64), "no hole in the room's order");
    for member in members {
        assert_eq!(member.told.len(), first.len(), "{} was told as much as m0", member.user);
        for (seq, told) in &member.told {
            assert_eq!(told, &first[seq], "{} was told something else", member.user);
        }
        for (text, seq) in &member.acknowledged {
            assert_eq!(first[seq]["message"], text.as_str(), "an acknowledged broadcast has its place");
        }
    }
    let granted: Vec<&Value> = first.values().filter(|m| m["type"] == "lock_acquired").collect();
    let ids: BTreeSet<&str> = granted.iter().filter_map(|m| m["lock_id"].as_str()).collect();
    assert_eq!(ids.len(), granted.len(), "no lock is granted twice");
    let tokens: Vec<u64> = members.iter().flat_map(|member| member.tokens.iter().copied()).collect();
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), tokens.len(), "no token is given out twice");
}

async fn replay_is_equal(report: Value) {
    assert_eq!(report["object"]["equal"], true, "{report}");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_however_often_the_daemon_is_killed() {
    let seed = seed();
    let (setup, mut rng) = (setup(), Rng(seed));
    let mut members = members(seed);
    for round in 0..6 {
        let child = Child::start(setup.config(), setup.dir());
        let clients = arrive(&mut members, child.http).await;
        let done = Arc::new(AtomicU64::new(0));
        let enough = 20 + rng.below(150);
        let working = tokio::spawn(work(members, clients, done.clone(), u64::MAX));
        until("enough work", async || (done.load(Ordering::Relaxed) >= enough).then_some(())).await;
        child.kill();
        members = Vec::new();
        for (mut member, mut client) in working.await.expect("everybody ends") {
            member.read_out(&mut client).await;
            members.push(member);
        }
        println!("round {round}: killed at {}", members.iter().map(Member::seq).max().unwrap_or(0));
    }
    // A clean end in between changes nothing.
    for _ in 0..2 {
        let child = Child::start(setup.config(), setup.dir());
        let clients = arrive(&mut members, child.http).await;
        compare(&members);
        let mut after = work(members, clients, Arc::default(), 60).await;
        for (member, client) in &mut after {
            for message in client.rest().await {
                member.note(&message);
            }
        }
        replay_is_equal(child.operate(Request::get(&format!("/v1/buildings/{ROOM}/replay"))).await.ok()).await;
        child.stop();
        members = Vec::new();
        for (mut member, mut client) in after {
            member.read_out(&mut client).await;
            members.push(member);
        }
    }
    compare(&members);
}

#[tokio::test]
async fn a_room_is_told_its_order_whatever_waits_for_the_disk() {
    let seed = seed();
    let served = setup().start();
    let mut members = members(seed);
    let clients = arrive(&mut members, served.http).await;
    let mut after = work(members, clients, Arc::default(), 2_000).await;
    for (member, client) in &mut after {
        for message in client.rest().await {
            member.note(&message);
        }
    }
    let members: Vec<Member> = after.into_iter().map(|(member, _)| member).collect();
    compare(&members);
    replay_is_equal(served.operate(Request::get(&format!("/v1/buildings/{ROOM}/replay"))).await.ok()).await;
}

#[tokio::test]
async fn whoever_joins_while_something_is_being_committed_hears_it_once() {
    let served = setup().start();
    let mut members = members(seed());
    let mut clients = arrive(&mut members, served.http).await;
    let (mut guest, mut guests) = (members.pop().expect("four"), clients.pop().expect("four"));
    let done = Arc::new(AtomicU64::new(0));
    let working = tokio::spawn(work(members, clients, done.clone(), 1_000));
    while done.load(Ordering::Relaxed) < 1_000 {
        guests.send(json!({"type": "leave_room", "room_id": ROOM, "id": "leave"}));
        guest.answer(&mut guests, |m| m["type"] == "ack").await;
        let since = json!({"epoch": guest.epoch, "seq": guest.seq()});
        guests.send(json!({"type": "join_room", "room_id": ROOM, "since": since}));
        let state = guest.answer(&mut guests, |m| m["type"] == "room_state").await.expect("its state");
        assert_eq!(state["recovered"], true, "{state}");
        for missed in state["missed"].as_array().expect("a list") {
            guest.note(missed);
        }
        assert_eq!(state["seq"], guest.seq());
    }
    let mut after = working.await.expect("everybody works");
    after.push((guest, guests));
    for (member, client) in &mut after {
        for message in client.rest().await {
            member.note(&message);
        }
    }
    compare(&after.into_iter().map(|(member, _)| member).collect::<Vec<_>>());
}

const GRACE_MS: u64 = 15_000;

/// A daemon that was restarted while ana held the floor.
async fn restarted(old: bool) -> (Served, String, (String, String)) {
    let setup = Setup::embedded();
    let served = setup.start();
    let mut ana = if old { served.old("ana").await } else { Client::greeted(served.http, "ana").await };
    let welcome = if old { Value::Null } else { ana.hello(&[]).await };
    ana.join(ROOM).await;
    let lock = ana.lock("floor_edit", ROOM).await;
    served.stop().await.expect("in good order");
    let text = |key: &str| welcome[key].as_str().unwrap_or_default().to_owned();
    (setup.start(), lock, (text("session"), text("resume_token")))
}

async fn held_by_ana(client: &mut Client) {
    let refused = client.acquire("floor_edit", ROOM).await;
    assert_eq!((&refused["success"], &refused["holder"]["user_id"]), (&json!(false), &json!("ana")), "{refused}");
}

#[tokio::test]
async fn a_restored_lock_waits_for_its_owner_and_no_longer() {
    let (served, lock, _) = restarted(false).await;
    let mut ben = served.client_in("ben", ROOM).await;
    held_by_ana(&mut ben).await;
    served.advance(GRACE_MS - 2_000);
    held_by_ana(&mut ben).await;
    served.advance(2_000);
    assert_eq!(ben.expect("lock_released").await["lock_id"], lock.as_str());
    ben.lock("floor_edit", ROOM).await;
}

#[tokio::test]
async fn a_restored_lock_goes_back_to_whoever_resumes_the_session() {
    let (served, lock, (session, token)) = restarted(false).await;
    let mut ben = served.client_in("ben", ROOM).await;
    let mut ana = Client::greeted(served.http, "ana").await;
    let resume = json!({"session": session, "token": token, "rooms": {ROOM: null}});
    ana.send(json!({"type": "hello", "protocol": 2, "resume": resume}));
    assert_eq!(ana.expect("welcome").await["resumed"], true);
    served.advance(GRACE_MS + 1_000);
    held_by_ana(&mut ben).await;
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    assert_eq!(ana.expect("lock_release_response").await["success"], true);
    assert_eq!(ben.expect("lock_released").await["lock_id"], lock.as_str());
}

#[tokio::test]
async fn a_restored_lock_goes_back_to_an_old_client_of_the_same_person() {
    let (served, lock, _) = restarted(true).await;
    let mut ben = served.client_in("ben", ROOM).await;
    let mut ana = served.old("ana").await;
    ana.join(ROOM).await;
    served.advance(GRACE_MS + 1_000);
    held_by_ana(&mut ben).await;
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    assert_eq!(ana.expect("lock_release_response").await["success"], true);
}
