//! A WebSocket client that remembers everything it was told.
//!
//! A task of its own reads and answers pings, as browsers do, so a test never loses a connection because it looks
//! elsewhere. What was read and not yet taken waits in order. When an expectation fails, everything that the client
//! ever received is printed.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{PATIENCE, segment};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code of the close frame; `None` when there was no frame.
    pub code: Option<u16>,
    /// The text beside it.
    pub reason: String,
}

enum Heard {
    Message(Value),
    Closed(Closed),
}

enum Say {
    Message(Message),
    /// Drop the socket without a word.
    Vanish,
}

/// A client.
pub struct Client {
    /// Whom it says it is.
    pub user: String,
    say: mpsc::UnboundedSender<Say>,
    hear: mpsc::UnboundedReceiver<Heard>,
    waiting: VecDeque<Value>,
    closed: Option<Closed>,
    seen: Vec<Value>,
    pings: u64,
}

impl Client {
    /// Connects under the documented prefix and takes the greeting off.
    pub async fn greeted(at: SocketAddr, user: &str) -> Client {
        let mut client = Client::connect(at, user, &format!("/v1/realtime/ws/{}", segment(user))).await;
        assert_eq!(client.next().await["type"], "connection_established");
        client
    }

    /// Connects to a path. The greeting is the first message.
    pub async fn connect(at: SocketAddr, user: &str, path: &str) -> Client {
        match Client::try_connect(at, user, path).await {
            Ok(client) => client,
            Err(error) => panic!("{user} cannot connect: {error}"),
        }
    }

    /// The same, or why not.
    pub async fn try_connect(
        at: SocketAddr,
        user: &str,
        path: &str,
    ) -> Result<Client, tokio_tungstenite::tungstenite::Error> {
        let connected = async {
            let stream = TcpStream::connect(at).await?;
            stream.set_nodelay(true)?;
            tokio_tungstenite::client_async(format!("ws://{at}{path}"), stream).await
        };
        let (socket, _) = timeout(PATIENCE, connected).await.expect("an answer to the handshake")?;
        let (say, said) = mpsc::unbounded_channel();
        let (tell, hear) = mpsc::unbounded_channel();
        tokio::spawn(run(socket, said, tell));
        Ok(Client {
            user: user.to_owned(),
            say,
            hear,
            waiting: VecDeque::new(),
            closed: None,
            seen: Vec::new(),
            pings: 0,
        })
    }

    /// Says `hello` with these features and answers `welcome`.
    pub async fn hello(&mut self, features: &[&str]) -> Value {
        self.send(json!({"type": "hello", "protocol": 2, "features": features}));
        self.expect("welcome").await
    }

    /// Joins a room and answers its state. What else the join brings waits.
    pub async fn join(&mut self, room: &str) -> Value {
        self.send(json!({"type": "join_room", "room_id": room}));
        self.expect_where("room_state of the room", |m| m["type"] == "room_state" && m["room_id"] == room).await
    }

    /// Asks for a lock and answers the `lock_response`.
    pub async fn acquire(&mut self, lock_type: &str, resource: &str) -> Value {
        self.send(json!({"type": "acquire_lock", "lock_type": lock_type, "resource_id": resource}));
        self.expect("lock_response").await
    }

    /// Gets a lock and answers its id.
    pub async fn lock(&mut self, lock_type: &str, resource: &str) -> String {
        let response = self.acquire(lock_type, resource).await;
        assert_eq!(response["success"], true, "{response}");
        response["lock_id"].as_str().expect("an id").to_owned()
    }

    /// Sends a message.
    pub fn send(&mut self, message: Value) {
        self.send_text(&message.to_string());
    }

    /// Sends any text.
    pub fn send_text(&mut self, text: &str) {
        self.send_frame(Message::text(text));
    }

    /// Sends any frame.
    pub fn send_frame(&mut self, frame: Message) {
        // A client that was closed meanwhile finds out when it reads.
        let _ = self.say.send(Say::Message(frame));
    }

    /// The very next message.
    pub async fn next(&mut self) -> Value {
        if let Some(message) = self.waiting.pop_front() {
            return message;
        }
        match self.hear("the next message").await {
            Heard::Message(message) => message,
            Heard::Closed(closed) => self.fail(&format!("the next message, but the daemon closed: {closed:?}")),
        }
    }

    /// The very next message, or nothing at the end of the connection.
    pub async fn heard(&mut self) -> Option<Value> {
        if let Some(message) = self.waiting.pop_front() {
            return Some(message);
        }
        if self.closed.is_some() {
            return None;
        }
        match self.hear("a message or the end").await {
            Heard::Message(message) => Some(message),
            Heard::Closed(_) => None,
        }
    }

    /// The next message of this type. Others that come before it wait for their turn.
    pub async fn expect(&mut self, kind: &str) -> Value {
        self.expect_where(kind, |message| message["type"] == kind).await
    }

    /// The next message for which `is_it` holds. Others that come before it wait for their turn.
    pub async fn expect_where(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&is_it) {
            return self.waiting.remove(at).expect("it was found there");
        }
        loop {
            match self.hear(what).await {
                Heard::Message(message) if is_it(&message) => return message,
                Heard::Message(message) => self.waiting.push_back(message),
                Heard::Closed(closed) => self.fail(&format!("{what}, but the daemon closed: {closed:?}")),
            }
        }
    }

    /// The end of the connection. Messages that come before it wait for their turn.
    pub async fn closed(&mut self) -> Closed {
        if let Some(closed) = &self.closed {
            return closed.clone();
        }
        loop {
            match self.hear("the end of the connection").await {
                Heard::Message(message) => self.waiting.push_back(message),
                Heard::Closed(closed) => return closed,
            }
        }
    }

    /// Forgets what waits.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Forgets what waits of this type.
    pub fn forget_all(&mut self, kind: &str) {
        self.waiting.retain(|message| message["type"] != kind);
    }

    /// Reads everything that the daemon had to say up to now, and forgets it.
    pub async fn catch_up(&mut self) {
        self.settle().await;
        self.waiting.clear();
    }

    /// Everything that the daemon has told this client up to now and that nobody has taken yet.
    pub async fn rest(&mut self) -> Vec<Value> {
        self.settle().await;
        self.waiting.drain(..).collect()
    }

    /// Asserts that the daemon has told this client nothing more up to now.
    pub async fn nothing_more(&mut self) {
        let rest = self.rest().await;
        if !rest.is_empty() {
            self.fail(&format!("nothing more, but there is {rest:#?}"));
        }
    }

    /// Asserts that nothing of this type has come up to now. What else has come waits.
    pub async fn none_of(&mut self, kind: &str) {
        self.settle().await;
        if self.waiting.iter().any(|message| message["type"] == kind) {
            self.fail(&format!("no {kind}"));
        }
    }

    /// Waits for an answer to a question asked now: what the daemon had to say before it has been read then.
    ///
    /// Twice, because what a turn tells at its end may follow the answer that was given in its middle.
    pub async fn settle(&mut self) {
        for _ in 0..2 {
            self.pings += 1;
            let id = format!("settle-{}", self.pings);
            self.send(json!({"type": "ping", "id": id}));
            self.expect_where("the answer to a ping", |m| m["type"] == "ack" && m["id"] == id.as_str()).await;
            self.waiting.retain(|m| m["type"] != "pong" || m["request_id"] != id.as_str());
        }
    }

    /// Closes with a handshake, as `WebSocket.close()` does, and waits for its end.
    pub async fn close(mut self) {
        self.send_frame(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })));
        self.closed().await;
    }

    /// Drops the socket without a word, as a crashed browser does.
    pub fn vanish(self) {
        let _ = self.say.send(Say::Vanish);
    }

    async fn hear(&mut self, what: &str) -> Heard {
        match timeout(PATIENCE, self.hear.recv()).await {
            Ok(Some(Heard::Message(message))) => {
                self.seen.push(message.clone());
                Heard::Message(message)
            }
            Ok(Some(Heard::Closed(closed))) => {
                self.closed = Some(closed.clone());
                Heard::Closed(closed)
            }
            Ok(None) => self.fail(&format!("{what}, but the connection is over")),
            Err(_) => self.fail(&format!("{what}, within {PATIENCE:?}")),
        }
    }

    fn fail(&self, wanted: &str) -> ! {
        let seen: Vec<String> = self.seen.iter().map(Value::to_string).collect();
        panic!("{} expected {wanted}; it has received:\n  {}", self.user, seen.join("\n  "));
    }
}

/// Asserts that none of these clients is told anything more, whatever one of them has caused.
pub async fn quiet<const N: usize>(clients: [&mut Client; N]) {
    // First everybody's own messages must have had their effect, then everybody looks.
    let mut clients = clients;
    for client in &mut clients {
        client.settle().await;
    }
    for client in &mut clients {
        client.nothing_more().await;
    }
}

async fn run(
    mut socket: WebSocketStream<TcpStream>,
    mut said: mpsc::UnboundedReceiver<Say>,
    tell: mpsc::UnboundedSender<Heard>,
) {
    let mut closed = Closed { code: None, reason: String::new() };
    loop {
        tokio::select! {
            say = said.recv() => match say {
                Some(Say::Message(message)) => {
                    if socket.send(message).await.is_err() {
                        // The close frame, if there is one, is still to be read.
                        said.close();
                    }
                }
                // The test ended or wants the socket to vanish.
                Some(Say::Vanish) | None => {
                    if !said.is_closed() || tell.is_closed() {
                        return;
                    }
                    drain(&mut socket, &tell, &mut closed).await;
                    break;
                }
            },
            heard = socket.next() => {
                if !take(heard, &tell, &mut closed) {
                    break;
                }
            }
        }
    }
    let _ = tell.send(Heard::Closed(closed));
}

async fn drain(socket: &mut WebSocketStream<TcpStream>, tell: &mpsc::UnboundedSender<Heard>, closed: &mut Closed) {
    while take(socket.next().await, tell, closed) {}
}

/// Passes on what was read; false at the end.
fn take(
    heard: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    tell: &mpsc::UnboundedSender<Heard>,
    closed: &mut Closed,
) -> bool {
    match heard {
        Some(Ok(Message::Text(text))) => {
            let message = serde_json::from_str(text.as_str()).expect("the daemon speaks JSON");
            tell.send(Heard::Message(message)).is_ok()
        }
        Some(Ok(Message::Close(frame))) => {
            if let Some(frame) = frame {
                *closed = Closed { code: Some(frame.code.into()), reason: frame.reason.to_string() };
            }
            true
        }
        Some(Ok(_)) => true,
        Some(Err(_)) | None => false,
    }
}
