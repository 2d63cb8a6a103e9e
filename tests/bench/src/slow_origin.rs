//! An origin that takes its time: the platform's data API as a program of a hundred lines.
//!
//! It answers every request after the same latency, however many are under way, and counts them. Values never change
//! here: what people edit is kept by the daemon.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::building;

/// A running origin. Its threads end with the process: they wait for connections and hold nothing.
pub struct SlowOrigin {
    pub address: SocketAddrV4,
    shared: Arc<Shared>,
}

struct Shared {
    values: HashMap<String, Vec<u8>>,
    latency: Duration,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl SlowOrigin {
    /// Serves the building in `folder` (its `building.json` and its floors' files) with this latency:
    /// `/buildings`, `/floors/F`, `/floors/F/objects`, `routes`, `grid` and `analytics`, and `/objects/ID`.
    pub fn start(folder: &Path, latency: Duration) -> io::Result<Self> {
        let mut values = HashMap::new();
        let mut floors = Vec::new();
        let building = fs::read_to_string(folder.join("building.json"))?;
        for floor in fs::read_dir(folder.join("floors"))? {
            let floor = floor?.path();
            let document = fs::read_to_string(floor.join("floor.json"))?;
            let id = member(&document, "id").ok_or_else(|| io::Error::other("a floor.json without an id"))?;
            for part in ["objects", "routes", "grid", "analytics"] {
                if let Ok(value) = fs::read(floor.join(part).with_extension("json")) {
                    values.insert(format!("/floors/{id}/{part}"), value);
                }
            }
            let objects = values.get(&format!("/floors/{id}/objects")).cloned().unwrap_or_default();
            let mut ids = Vec::new();
            for (id, object) in building::elements(&objects) {
                ids.push(format!(r#"{{"id":"{id}"}}"#));
                values.insert(format!("/objects/{id}"), object.to_vec());
            }
            let (open, _) = document.rsplit_once('}').ok_or_else(|| io::Error::other("a floor.json without an end"))?;
            floors.push(format!(r#"{open},"objects":[{}]}}"#, ids.join(",")));
            values.insert(format!("/floors/{id}"), document.into_bytes());
        }
        let id = member(&building, "id").ok_or_else(|| io::Error::other("a building.json without an id"))?;
        let listed = format!(r#"[{{"id":"{id}","name":"{id}","floors":[{}]}}]"#, floors.join(","));
        values.insert("/buildings".to_owned(), listed.into_bytes());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port());
        let shared = Arc::new(Shared { values, latency, requests: AtomicU64::new(0), bytes: AtomicU64::new(0) });
        let served = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = served.clone();
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Ok(Self { address, shared })
    }

    /// How many requests came, and how many bytes were sent for them.
    pub fn used(&self) -> (u64, u64) {
        (self.shared.requests.load(Ordering::Relaxed), self.shared.bytes.load(Ordering::Relaxed))
    }
}

/// The text of a member of the outermost object of a small document.
fn member(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("\"{name}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Answers one connection's requests until it ends.
fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
        }
        std::thread::sleep(shared.latency);
        let path = decoded(first.split(' ').nth(1)?);
        let (status, value) = match shared.values.get(&path) {
            Some(value) => ("200 OK", &value[..]),
            None => ("404 Not Found", &b"null"[..]),
        };
        shared.requests.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(value.len() as u64, Ordering::Relaxed);
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", value.len());
        let mut stream = stream;
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(value).ok()?;
    }
}

/// The path without its query, percent-decoded.
fn decoded(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default().as_bytes();
    let mut text = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let hex = path.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if path[at] == b'%' => {
                text.push(byte);
                at += 3;
            }
            _ => {
                text.push(path[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_members_are_read_as_they_are_meant() {
        assert_eq!(decoded("/floors/office-a%3Alevel-1/objects?x=1"), "/floors/office-a:level-1/objects");
        assert_eq!(member("{\n \"id\": \"office-a\",", "id").as_deref(), Some("office-a"));
    }
}
