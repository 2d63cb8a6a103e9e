//! One server under measurement: a process tied to the server's CPU, what it has used, and its certain end.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::sys;

/// The server runs here, alone.
pub const SERVER_CPU: usize = 0;
/// The generator runs here, and never sleeps.
pub const GENERATOR_CPU: usize = 1;

const READY_DEADLINE: Duration = Duration::from_secs(60);
const READY_ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How much of a failed server's log is shown.
const LOG_TAIL_BYTES: usize = 2000;
/// The kernel counts CPU of the whole machine in ticks of this many per second.
const TICKS_PER_SECOND: f64 = 100.0;

pub struct Server {
    child: Child,
    pub address: SocketAddrV4,
    /// From the start of the process to the first 200 of `/ready`.
    pub ready_after: Duration,
}

impl Server {
    /// Starts `command`, pinned, and waits until `GET /ready` answers 200.
    pub fn start(mut command: Command, address: SocketAddrV4, log: &Path) -> io::Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        sys::pin_child(&mut command, SERVER_CPU);
        let began = Instant::now();
        let child = command.spawn()?;
        let mut server = Self { child, address, ready_after: Duration::ZERO };
        loop {
            if is_ready(address) {
                server.ready_after = began.elapsed();
                return Ok(server);
            }
            let ended = server.child.try_wait()?;
            if ended.is_some() || began.elapsed() > READY_DEADLINE {
                let how = ended.map_or("not ready in time".to_owned(), |status| status.to_string());
                return Err(io::Error::other(format!("{how}: {}", tail_of(log))));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        sys::process_cpu(self.child.id())
    }

    /// Resident memory, counted page by page: the quick counters of the kernel lag behind by megabytes.
    pub fn resident_kib(&self) -> io::Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
            .ok_or_else(|| io::Error::other("smaps_rollup has no Rss line"))
    }

    /// The body of `GET path`, whatever the status.
    pub fn get(&self, path: &str) -> io::Result<String> {
        get(self.address, path)
    }

    /// Ends it without warning, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.kill();
    }
}

/// A port of this machine that nobody listens on.
pub fn free_address() -> io::Result<SocketAddrV4> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, probe.local_addr()?.port()))
}

/// Reads the clocks at the beginning of a window, and says at its end what was used.
pub struct Meter {
    began: Instant,
    server: Duration,
    generator: Duration,
    machine: Duration,
}

pub struct Used {
    pub elapsed: Duration,
    pub server: Duration,
    /// CPU used by others than the server and the generator, in percent of all CPUs.
    pub foreign_percent: f64,
}

impl Meter {
    pub fn start(server: &Server) -> io::Result<Self> {
        Ok(Self {
            machine: machine_cpu()?,
            generator: sys::process_cpu(std::process::id())?,
            server: server.cpu()?,
            began: Instant::now(),
        })
    }

    pub fn stop(&self, server: &Server) -> io::Result<Used> {
        let elapsed = self.began.elapsed();
        let used = server.cpu()?.saturating_sub(self.server);
        let generator = sys::process_cpu(std::process::id())?.saturating_sub(self.generator);
        let machine = machine_cpu()?.saturating_sub(self.machine);
        let cpus = cpu_count() as f64;
        let foreign = machine.saturating_sub(used + generator);
        let foreign_percent = 100.0 * foreign.as_secs_f64() / (elapsed.as_secs_f64() * cpus);
        Ok(Used { elapsed, server: used, foreign_percent })
    }
}

fn is_ready(address: SocketAddrV4) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READY_ANSWER_DEADLINE))?;
        write!(stream, "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

fn get(address: SocketAddrV4, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READY_ANSWER_DEADLINE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// CPU time that all CPUs together have spent not idle.
fn machine_cpu() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().unwrap_or_default();
    let fields: Vec<f64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal guest guest_nice; guest time is already in user.
    let busy: f64 = fields.iter().take(8).enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, v)| v).sum();
    Ok(Duration::from_secs_f64(busy / TICKS_PER_SECOND))
}

/// CPUs of the machine, not of this pinned process.
fn cpu_count() -> usize {
    fs::read_to_string("/proc/stat").map_or(1, |stat| {
        stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count().max(1)
    })
}

fn tail_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).trim().to_owned()
}
