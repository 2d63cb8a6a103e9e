//! The few kernel calls that the standard library does not offer, each behind a safe function.
//!
//! Everything unsafe in this package is in this file. Each block passes pointers to live local values of the size that
//! the call expects, and every descriptor that comes back is owned at once.

#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of, size_of_val, zeroed};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Most readiness reports taken in one turn.
const EVENTS_PER_TURN_MAX: usize = 1024;

/// What a descriptor is watched for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Read,
    ReadAndWrite,
}

/// One descriptor that has something to say, known by the token it was added with.
#[derive(Clone, Copy)]
pub struct Ready {
    pub token: usize,
    pub readable: bool,
    pub writable: bool,
}

/// A level-triggered epoll set with its own event buffer.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self {
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_TURN_MAX],
        })
    }

    pub fn add(&self, fd: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    pub fn change(&self, fd: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    pub fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::Read)
    }

    /// Collects what is ready and says how many reports there are. `None` waits for as long as it takes.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout_ms = timeout.map_or(-1, |t| i32::try_from(t.as_millis()).unwrap_or(i32::MAX));
        let found = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), EVENTS_PER_TURN_MAX as i32, timeout_ms)
        };
        match check(found) {
            Ok(count) => Ok(count as usize),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// The report at `index`, below the number that [`Epoll::wait`] returned.
    pub fn ready(&self, index: usize) -> Ready {
        let event = self.events[index];
        let flags = event.events as i32;
        Ready {
            token: event.u64 as usize,
            // A hang-up or an error is found by reading.
            readable: flags & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) != 0,
            writable: flags & libc::EPOLLOUT != 0,
        }
    }

    fn control(&self, op: i32, fd: &impl AsRawFd, token: usize, on: Interest) -> io::Result<()> {
        let flags = match on {
            Interest::Read => libc::EPOLLIN,
            Interest::ReadAndWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: flags as u32, u64: token as u64 };
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd.as_raw_fd(), &mut event) })?;
        Ok(())
    }
}

/// How a client socket receives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// As the kernel likes it.
    Usual,
    /// A small receive buffer and segments as on a real network. On loopback the segment size is 64 KiB, from which the
    /// kernel derives a send buffer of megabytes on the other side: without this a reader that has stopped is invisible
    /// to the server for the first 2.5 MB.
    Narrow,
}

const NARROW_RECEIVE_BYTES: i32 = 4096;
const NARROW_SEGMENT_BYTES: i32 = 1400;

/// Starts connecting; the socket becomes writable once it is connected (or has failed).
pub fn connect(to: SocketAddrV4, receiver: Receiver) -> io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let fd = check(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    let socket = TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    if receiver == Receiver::Narrow {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, NARROW_RECEIVE_BYTES)?;
        set_option(&socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, NARROW_SEGMENT_BYTES)?;
    }
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = to.port().to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let started = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    match check(started) {
        Ok(_) => Ok(socket),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(e) => Err(e),
    }
}

/// Closing this socket will send a reset: no address stays in TIME_WAIT, so ports do not run out.
pub fn reset_on_close(socket: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, linger)
}

/// Makes a listener ready for a mass connect: the standard library asks for an accept queue of 128, which overflows.
/// What it accepts inherits `TCP_NODELAY`.
pub fn prepare_listener(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    check(unsafe { libc::listen(listener.as_raw_fd(), ACCEPT_QUEUE) })?;
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
}

const ACCEPT_QUEUE: i32 = 4096;

/// Accepts a connection that does not block, in one call where the standard library needs two.
pub fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let null = std::ptr::null_mut();
    let fd = check(unsafe { libc::accept4(listener.as_raw_fd(), null, null.cast(), flags) })?;
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Lifts the soft limit of open files to the hard one and returns it.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// Ties the calling thread to one CPU.
pub fn pin_self(cpu: usize) -> io::Result<()> {
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    unsafe { libc::CPU_SET(cpu, &mut set) };
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) })?;
    Ok(())
}

/// Raises (negative) or lowers the priority of this process and of what it starts from now on.
pub fn set_nice(nice: i32) -> io::Result<()> {
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

/// Makes `command` run on one CPU from its first instruction, and die with this process.
pub fn pin_child(command: &mut Command, cpu: usize) {
    let on_start = move || {
        pin_self(cpu)?;
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        Ok(())
    };
    // Sound: between fork and exec only system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(on_start) };
}

/// CPU time, user and system, that all threads of another process have used so far.
///
/// The same quantity as `utime + stime` in `/proc/PID/stat`, but in nanoseconds instead of ticks of 10 ms.
pub fn process_cpu(pid: u32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    let status = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if status != 0 {
        return Err(io::Error::from_raw_os_error(status));
    }
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    check(unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) })?;
    let time = unsafe { time.assume_init() };
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

fn set_option<T>(socket: &impl AsRawFd, level: i32, name: i32, value: T) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    let pointer = (&raw const value).cast();
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, length) })?;
    Ok(())
}

fn check(status: i32) -> io::Result<i32> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}
