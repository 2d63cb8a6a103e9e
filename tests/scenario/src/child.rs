//! The same daemon in a process of its own, which a test may kill.
//!
//! The process is the test's own program: it runs one test by name, and that test becomes the daemon when it is told to
//! by the environment. So it is always the code under test, built by the same command. A test program that uses
//! [`Child`] has this test at its root:
//!
//! ```text
//! #[test]
//! fn the_daemon_as_a_process() {
//!     arxosrt_scenario::child::become_daemon();
//! }
//! ```
//!
//! The child ends by itself when the parent does: its standard input closes then.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use arxosrt_core::directory::Directory;
use arxosrtd::config::{Config, LogLevel};
use arxosrtd::hub::Clock;

use crate::{Client, Value, http, served};

/// The test that calls [`become_daemon`].
const TEST: &str = "the_daemon_as_a_process";

/// The environment variable that names the child's folder.
const DIR: &str = "ARXOSRT_SCENARIO_DIR";

/// The environment variable with the configuration, as JSON.
const CONFIG: &str = "ARXOSRT_SCENARIO_CONFIG";

/// What the child's first line begins with. A test program says other things too.
const READY: &str = "arxosrt-scenario-ready ";

/// A daemon in a process of its own. Dropping it kills it.
pub struct Child {
    /// Where clients reach it.
    pub http: SocketAddr,
    /// Where operators reach it.
    pub control: PathBuf,
    process: std::process::Child,
    log: PathBuf,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a daemon whose files are in `dir`.
    pub fn start(config: &Config, dir: &Path) -> Child {
        let program = std::env::current_exe().expect("a test has a program");
        let log = dir.join("daemon.log");
        let stderr = match config.log.level {
            LogLevel::Off => Stdio::inherit(),
            _ => File::options().create(true).append(true).open(&log).expect("a log").into(),
        };
        let mut process = Command::new(program)
            .args(["--exact", TEST, "--nocapture"])
            .env(DIR, dir)
            .env(CONFIG, serde_json::to_string(config).expect("a configuration is JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the test's own program starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let http = loop {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("the child's output");
            assert!(read > 0, "the child ended before it was ready: is there a test {TEST:?}?");
            if let Some(at) = line.find(READY) {
                break line[at + READY.len()..].trim().parse().expect("an address");
            }
        };
        let stdin = process.stdin.take();
        Child { http, control: dir.join("control.sock"), process, log, stdin, stdout }
    }

    /// Kills it as `kill -9` does. Nothing is flushed, nobody is told.
    pub fn kill(mut self) {
        self.end();
    }

    /// Ends it in good order and waits for it.
    pub fn stop(self) {
        self.stop_and_read();
    }

    /// The same; answers all that it has said since it was ready.
    pub fn stop_and_read(mut self) -> String {
        drop(self.stdin.take());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("it says text");
        let status = self.process.wait().expect("a child can be waited for");
        assert!(status.success(), "the child ended with {status}");
        said
    }

    /// Lets monotonic time pass in the child. What is due is done at its next tick.
    pub fn advance(&mut self, ms: u64) {
        let stdin = self.stdin.as_mut().expect("it runs");
        writeln!(stdin, "{ms}").and_then(|()| stdin.flush()).expect("the child reads");
    }

    /// Every line that it has logged up to now; nothing unless its configuration asks for a log.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Lets no file of the process grow beyond `bytes`, as a full disk does.
    #[allow(unsafe_code)] // One call into libc, which has no safe equivalent.
    pub fn limit_files(&self, bytes: u64) {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        let pid = libc::pid_t::try_from(self.pid()).expect("a process number");
        // SAFETY: the limit outlives the call, which writes nothing to us.
        let set = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }

    /// An old client, greeted.
    pub async fn old(&self, user: &str) -> Client {
        Client::greeted(self.http, user).await
    }

    /// A present client.
    pub async fn client(&self, user: &str) -> Client {
        let mut client = Client::greeted(self.http, user).await;
        client.hello(&[]).await;
        client
    }

    /// A present client that is in `room`, with everything that the join brought taken off.
    pub async fn client_in(&self, user: &str, room: &str) -> Client {
        let mut client = self.client(user).await;
        client.join(room).await;
        client.forget();
        client
    }

    /// `GET`, over REST.
    pub async fn get(&self, path: &str) -> http::Answer {
        http::Request::get(path).to(self.http).await
    }

    /// `POST` with a JSON body, over REST.
    pub async fn post(&self, path: &str, body: &Value) -> http::Answer {
        http::Request::post(path).json(body).to(self.http).await
    }

    /// A request to the control socket.
    pub async fn operate(&self, request: http::Request) -> http::Answer {
        request.to_socket(&self.control).await
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Becomes the daemon of [`Child::start`], if this process is meant to be one; otherwise does nothing.
#[allow(unsafe_code)] // One call into libc, which has no safe equivalent.
pub fn become_daemon() {
    let (Some(dir), Ok(config)) = (std::env::var_os(DIR), std::env::var(CONFIG)) else {
        return;
    };
    // SAFETY: ignoring a signal touches no memory. Without this the kernel would end the process at a full disk.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let config: Config = serde_json::from_str(&config).expect("the parent wrote it");
    if config.log.level != LogLevel::Off {
        arxosrtd::logging::start(&config.log).expect("the first log of this process");
    }
    let clock = Clock::start();
    let started = served::launch(config, Path::new(&dir), Directory::default(), clock.clone());
    let daemon = started.expect("the daemon starts");
    println!("{READY}{}", daemon.http);
    std::io::stdout().flush().expect("the parent listens");
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { break };
        clock.advance(line.trim().parse().expect("milliseconds"));
    }
    daemon.stop().expect("an end in good order");
}
