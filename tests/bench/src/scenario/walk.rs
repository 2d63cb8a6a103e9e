//! How many floors open at once for people who walk through a building whose data comes from far away?
//!
//! 50 people walk through office-a as it was recorded, fifteen times as fast. Each holds a WebSocket, joins the room of
//! the floor that he goes to, and at the same time asks for the floor's four parts over HTTP, on four connections. The
//! floor is open when the last part is there. The origin behind the cache takes 200 ms for every request.
//!
//! Three buildings: one that nobody changes, one in which people change objects as they go, and one whose values are
//! good for a minute only. Each once without the preloader and once with it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Answers, Case, Stage, us};
use crate::building;
use crate::figures::{Figures, Metric};
use crate::frame::{self, Opcode};
use crate::histogram::Histogram;
use crate::peers::Engine;
use crate::server::Meter;
use crate::slow_origin::SlowOrigin;
use crate::walk::{self, Action, Step};

pub static CASES: [Case; 6] = [
    case("walk, quiet, no preload"),
    case("walk, quiet, preload"),
    case("walk, edits, no preload"),
    case("walk, edits, preload"),
    case("walk, values live 60 s, no preload"),
    case("walk, values live 60 s, preload"),
];

const fn case(name: &'static str) -> Case {
    Case { name, reference: None, unit: "floor opened", goals: &[] }
}

const LATENCY: Duration = Duration::from_millis(200);
/// How much faster than it was recorded.
const FASTER: u32 = 15;
/// What counts as at once.
const AT_ONCE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum House {
    Quiet,
    Edited,
    ShortLived,
}

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let folder = stage.stable.buildings().join("office-a");
    if !folder.join("building.json").is_file() {
        return Err(io::Error::other(format!("there is no building {}", folder.display())));
    }
    let steps = walk::office()?;
    let mut answers = Answers::new();
    for (at, case) in CASES.iter().enumerate() {
        let house = [House::Quiet, House::Edited, House::ShortLived][at / 2];
        answers.push((case, measure(stage, &folder, &steps, house, at % 2 == 1)?));
    }
    Ok(answers)
}

fn measure(
    stage: &Stage<'_>,
    folder: &std::path::Path,
    steps: &[Step],
    house: House,
    preloads: bool,
) -> io::Result<Figures> {
    let origin = SlowOrigin::start(folder, LATENCY)?;
    let host = stage.start_with(Engine::Memory, |_| {
        let mut settings = vec![
            "origin.kind=http".to_owned(),
            format!("origin.http.url=http://{}", origin.address),
            "origin.http.directory_url=/buildings".to_owned(),
            "origin.http.documents.object.url=/objects/{id}".to_owned(),
            format!("preload.enabled={preloads}"),
            // People stay on a floor for longer than a connection may be idle, and answer no pings meanwhile.
            "http.header_timeout_ms=3600000".to_owned(),
            "hub.ping_ms=3600000".to_owned(),
            "limits.handshake_ms=3600000".to_owned(),
            // Everybody's gain is measured here.
            "preload.holdout_permille=0".to_owned(),
        ];
        for (strategy, part) in
            [("floor_data", ""), ("object_data", "/objects"), ("route_data", "/routes"), ("grid_calibration", "/grid")]
        {
            settings.push(format!("origin.http.values.{strategy}.url=/floors/{{floor}}{part}"));
        }
        if house == House::ShortLived {
            for strategy in ["floor_data", "object_data", "route_data", "grid_calibration"] {
                settings.push(format!("cache.strategies.{strategy}.ttl_s={}", 60 / FASTER));
            }
        }
        Ok(settings)
    })?;
    let warm_up = origin.used();
    let people = steps.iter().map(|step| step.person).max().map_or(0, |last| last + 1);
    let ids = objects(folder)?;
    let seen = Mutex::new(Seen { opened: Histogram::new(), at_once: 0 });
    let meter = Meter::start(&host.server)?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let walks: Vec<_> = (0..people)
            .map(|person| {
                let own: Vec<&Step> = steps
                    .iter()
                    .filter(|step| step.person == person)
                    .filter(|step| house == House::Edited || matches!(step.what, Action::Open(_)))
                    .filter(|step| step.at / FASTER < stage.scale.walk)
                    .collect();
                let (seen, ids, address) = (&seen, &ids, host.server.address);
                scope.spawn(move || Person::new(address, person)?.walk(&own, began, ids, seen))
            })
            .collect();
        walks.into_iter().try_for_each(|walk| walk.join().map_err(|_| io::Error::other("a walk panicked"))?)
    })?;
    let used = meter.stop(&host.server)?;
    let seen = seen.into_inner().map_err(|_| io::Error::other("a walk panicked"))?;
    let (requests, bytes) = origin.used();
    let opens = seen.opened.count() as f64;
    let mut figures = Figures::default();
    figures.set(Metric::CpuUs, used.server.as_secs_f64() * 1e6 / opens);
    figures.set(Metric::AtOncePercent, 100.0 * seen.at_once as f64 / opens);
    figures.set(Metric::P50Us, us(seen.opened.percentile(50.0)));
    figures.set(Metric::P99Us, us(seen.opened.percentile(99.0)));
    figures.set(Metric::MaxUs, us(seen.opened.max()));
    figures.set(Metric::OriginRequests, (requests - warm_up.0) as f64);
    figures.set(Metric::OriginMib, (bytes - warm_up.1) as f64 / f64::from(1 << 20));
    figures.set(Metric::RssMib, host.server.resident_kib()? / 1024.0);
    figures.set(Metric::ForeignPercent, used.foreign_percent);
    Ok(figures)
}

/// The floors with the ids of their objects.
fn objects(folder: &std::path::Path) -> io::Result<Vec<(String, Vec<String>)>> {
    let floors = std::fs::read_dir(folder.join("floors"))?;
    floors
        .map(|floor| {
            let floor = floor?;
            let room = format!("office-a:{}", floor.file_name().to_string_lossy());
            Ok((room, building::ids(&std::fs::read(floor.path().join("objects.json"))?)))
        })
        .collect()
}

struct Seen {
    opened: Histogram,
    at_once: u64,
}

struct Person {
    number: usize,
    room: Option<String>,
    socket: TcpStream,
    /// Each part of a floor has a connection of its own, as a browser would.
    parts: Vec<BufReader<TcpStream>>,
    edits: u64,
}

/// What a floor's page asks for.
const PARTS: [(&str, &str); 4] =
    [("floor_data", ""), ("object_data", "floor:"), ("route_data", "floor:"), ("grid_calibration", "floor:")];

impl Person {
    fn new(server: SocketAddrV4, number: usize) -> io::Result<Self> {
        let connect = || -> io::Result<TcpStream> {
            let socket = TcpStream::connect(server)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        let mut socket = connect()?;
        write!(
            socket,
            "GET /v1/realtime/ws/u{number} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            frame::NONCE
        )?;
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte)?;
            seen.push(byte[0]);
        }
        socket.set_nonblocking(true)?;
        let parts = PARTS.iter().map(|_| connect().map(BufReader::new)).collect::<io::Result<_>>()?;
        Ok(Self { number, room: None, socket, parts, edits: 0 })
    }

    fn walk(
        mut self,
        steps: &[&Step],
        began: Instant,
        ids: &[(String, Vec<String>)],
        seen: &Mutex<Seen>,
    ) -> io::Result<()> {
        for step in steps {
            std::thread::sleep((step.at / FASTER).saturating_sub(began.elapsed()));
            self.listen()?;
            match &step.what {
                Action::Open(floor) => {
                    let opened = self.open(floor)?;
                    let mut seen = seen.lock().map_err(|_| io::Error::other("a walk panicked"))?;
                    seen.opened.record(opened);
                    seen.at_once += u64::from(opened < AT_ONCE);
                }
                Action::Edit(n) => self.edit(*n, ids)?,
            }
        }
        Ok(())
    }

    fn open(&mut self, floor: &str) -> io::Result<Duration> {
        if let Some(left) = self.room.replace(floor.to_owned()) {
            self.say(&format!(r#"{{"type":"leave_room","room_id":"{left}"}}"#))?;
        }
        let began = Instant::now();
        self.say(&format!(r#"{{"type":"join_room","room_id":"{floor}"}}"#))?;
        for (part, (strategy, before)) in self.parts.iter_mut().zip(PARTS) {
            let number = self.number;
            write!(
                part.get_mut(),
                "GET /v1/realtime/cache/{strategy}/{before}{floor}?user_id=u{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )?;
        }
        for part in &mut self.parts {
            whole_answer(part)?;
        }
        Ok(began.elapsed())
    }

    fn edit(&mut self, n: usize, ids: &[(String, Vec<String>)]) -> io::Result<()> {
        let here = ids.iter().find(|(floor, ids)| Some(floor) == self.room.as_ref() && !ids.is_empty());
        let Some((_, ids)) = here else { return Ok(()) };
        self.edits += 1;
        let (number, edits, object) = (self.number, self.edits, &ids[n % ids.len()]);
        self.say(&format!(
            r#"{{"type":"edit","resource_id":"{object}","base_version":1,"changes":[{{"op":"set","path":"/properties/walk-{number}","value":{edits}}}]}}"#
        ))
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        let mut out = Vec::new();
        frame::push_masked(&mut out, Opcode::Text, |out| out.extend_from_slice(text.as_bytes()));
        // Far less than a socket's buffer is ever under way.
        self.socket.write_all(&out)
    }

    /// Takes what the room has said.
    fn listen(&mut self) -> io::Result<()> {
        let mut scratch = [0; 16 << 10];
        loop {
            match self.socket.read(&mut scratch) {
                Ok(0) => return Err(io::Error::other(format!("u{}: the daemon closed the WebSocket", self.number))),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

/// Reads an answer with its body. 404 is one: a floor need not have all parts.
fn whole_answer(connection: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
    if status != "200" && status != "404" {
        return Err(io::Error::other(format!("a part of a floor was answered with {line:?}")));
    }
    let mut length = 0;
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        match line.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| io::Error::other(format!("{line:?}")))?;
            }
            Some(_) => {}
        }
    }
    let copied = io::copy(&mut connection.take(length), &mut io::sink())?;
    if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
