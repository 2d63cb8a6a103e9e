//! A small world of people, sockets, clocks, a disk and crashes, run from a seed.
//!
//! Two buildings share one source of tokens. People ask for anything, sensible or not; sockets drop and come back;
//! the monotonic clock steps, the wall clock jumps; batches are committed at random moments, and between any two steps
//! the process may die: what was not committed is gone, the rest is read back from a snapshot and the log.

use std::collections::VecDeque;
use std::sync::Arc;

use arxosrt_core::building::codec::encode_events;
use arxosrt_core::building::command::{Actor, Command, Facts, Reply};
use arxosrt_core::building::event::{Event, GrantCause, ReleaseReason};
use arxosrt_core::building::{LockSettings, Settings};
use arxosrt_core::id::{SessionId, UserId};
use arxosrt_core::lock::guard::{Guard, Guards};
use arxosrt_core::lock::{Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};

use crate::rng::Rng;

mod site;
mod wishes;

use self::site::Site;

/// How many steps of a run are shown when it fails.
const TRACE_MAX: usize = 60;
/// Tokens are reserved on disk in blocks, as a store does it.
const TOKEN_BLOCK: u64 = 1000;
const USERS: usize = 4;
const SESSIONS: usize = 7;
const FLOORS: usize = 3;
const BUILDINGS: usize = 2;

/// A safeguard that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// One of the core's.
    Core(Guard),
    /// The shell's: nobody is told of a lock before it is committed.
    CommitBeforeTell,
    /// The store's: tokens continue above all that were given out before a crash.
    TokenReserve,
}

/// A run that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// Gives the run again.
    pub seed: u64,
    /// The step that went wrong.
    pub step: usize,
    /// What was wrong.
    pub complaint: String,
    /// The last steps before it.
    pub trace: Vec<String>,
}

/// What a run consisted of: for whoever doubts that it did anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub events: u64,
    pub grants_from_queue: u64,
    pub hand_overs: u64,
    pub take_overs: u64,
    pub expiries: u64,
    pub deadlocks: u64,
    pub crashes: u64,
    /// A hash of what happened to locks, without the wall clock's times.
    pub fate: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.steps += other.steps;
        self.events += other.events;
        self.grants_from_queue += other.grants_from_queue;
        self.hand_overs += other.hand_overs;
        self.take_overs += other.take_overs;
        self.expiries += other.expiries;
        self.deadlocks += other.deadlocks;
        self.crashes += other.crashes;
        self.fate ^= other.fate;
    }
}

/// What may happen besides what people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// The wall clock jumps and the process dies.
    Rough,
    /// The wall clock jumps.
    Jumpy,
    /// Neither. Otherwise the same run as the jumpy one.
    Calm,
}

/// Runs one seed.
pub fn run(seed: u64, steps: usize, broken: Option<Broken>) -> Result<Tally, Failure> {
    run_in(Weather::Rough, seed, steps, broken)
}

/// Runs one seed in the given weather.
pub fn run_in(weather: Weather, seed: u64, steps: usize, broken: Option<Broken>) -> Result<Tally, Failure> {
    let mut world = World::new(seed, broken, weather);
    for step in 0..steps {
        if let Err(complaint) = world.step() {
            return Err(Failure { seed, step, complaint, trace: world.trace.into() });
        }
    }
    Ok(world.tally)
}

struct Person {
    actor: Actor,
    connected: bool,
}

struct World {
    rng: Rng,
    settings: Arc<Settings>,
    broken: Option<Broken>,
    weather: Weather,
    now: Mono,
    wall: Wall,
    tokens: TokenSource,
    last_token: Token,
    people: Vec<Person>,
    born: usize,
    sites: Vec<Site>,
    trace: VecDeque<String>,
    tally: Tally,
}

impl World {
    fn new(seed: u64, broken: Option<Broken>, weather: Weather) -> Self {
        let mut rng = Rng::new(seed);
        let locks = LockSettings {
            // Small ones too, so that ticks end early and bounds are met.
            tick_max: *rng.pick(&[1, 2, 5, 1000]),
            per_session_max: *rng.pick(&[4, 256]),
            waiters_per_building_max: *rng.pick(&[5, 1024]),
            max_hold_ms: *rng.pick(&[600_000, 8 * 3_600_000]),
            ..LockSettings::default()
        };
        let settings = Settings {
            locks,
            history_events_max: *rng.pick(&[4, 1024]),
            dedup_max: *rng.pick(&[64, 4096]),
            ..Settings::default()
        };
        let settings = Arc::new(settings);
        let mut world = World {
            settings: settings.clone(),
            broken,
            weather,
            now: Mono(1_000),
            wall: Wall(1_800_000_000_000),
            tokens: TokenSource::after(Token(0)),
            last_token: Token(0),
            people: Vec::new(),
            born: 0,
            sites: Vec::new(),
            trace: VecDeque::new(),
            tally: Tally::default(),
            rng,
        };
        for n in 0..BUILDINGS {
            world.sites.push(Site::new(n, settings.clone(), world.guards()));
        }
        for _ in 0..SESSIONS {
            let person = world.newcomer();
            world.people.push(person);
        }
        world
    }

    fn guards(&self) -> Guards {
        match self.broken {
            Some(Broken::Core(guard)) => Guards::all_but(guard),
            _ => Guards::default(),
        }
    }

    fn newcomer(&mut self) -> Person {
        self.born += 1;
        let user = self.rng.below(USERS);
        let actor = Actor {
            session: SessionId::new(&format!("s{}", self.born)).expect("a good id"),
            user: UserId::new(&format!("u{user}")).expect("a good id"),
            username: Arc::from(format!("User {user}")),
            legacy: self.rng.one_in(5),
        };
        Person { actor, connected: true }
    }

    fn note(&mut self, line: String) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    fn step(&mut self) -> Result<(), String> {
        self.tally.steps += 1;
        match self.rng.below(100) {
            0..12 => self.pass_time()?,
            12..14 => self.jump_wall(),
            14..20 => self.change_connection()?,
            20..30 => self.commit(),
            30 if self.weather == Weather::Rough => self.crash()?,
            31..33 => self.take_snapshot(),
            _ => {
                let site = self.rng.below(BUILDINGS);
                let command = self.command(site);
                self.carry_out(site, &command)?;
            }
        }
        self.look_around()
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let step = *self.rng.pick(&[1, 10, 1_000, 5_000, 5_000, 10_000, 30_000, 60_000, 300_000]);
        // Sometimes exactly to the next thing that is due, or to just before it.
        let due = self.sites.iter().filter_map(|site| site.building.due()).min();
        let to = match due {
            Some(due) if self.rng.one_in(2) => Mono(due.0.saturating_sub(self.rng.below(2) as u64)),
            _ => self.now.plus(step),
        };
        let passed = to.since(self.now);
        self.now = self.now.max(to);
        self.wall = self.wall.plus(passed);
        self.note(format!("time passes: {} ms", passed));
        for site in 0..BUILDINGS {
            self.run_ticks(site)?;
        }
        Ok(())
    }

    fn run_ticks(&mut self, site: usize) -> Result<(), String> {
        let mut ticks = 0;
        while self.sites[site].building.due().is_some_and(|due| due <= self.now) {
            self.carry_out(site, &Command::Tick)?;
            ticks += 1;
            if ticks > 1000 {
                return Err("a tick changes nothing and is due again".into());
            }
        }
        let facts = Facts { now: self.now, wall: self.wall, tokens: &self.tokens };
        self.sites[site].model.judge_rest(&facts, &self.settings.locks)
    }

    fn jump_wall(&mut self) {
        let by = *self.rng.pick(&[-86_400_000, -3_600_000, -1, 1, 3_600_000, 86_400_000]);
        if self.weather == Weather::Calm {
            return;
        }
        self.wall = Wall(self.wall.0 + by);
        for site in &mut self.sites {
            site.model.wall_jumps += 1;
            site.disk.model.wall_jumps += 1;
        }
        self.note(format!("the wall clock jumps by {by} ms"));
    }

    fn change_connection(&mut self) -> Result<(), String> {
        let who = self.rng.below(self.people.len());
        let session = self.people[who].actor.session.clone();
        let command = match (self.people[who].connected, self.rng.one_in(3)) {
            (_, true) if self.rng.one_in(4) => {
                Command::Kicked { session, reason: "too loud".into(), by: "uid 0 (root)".into() }
            }
            (_, true) => Command::SessionEnded { session },
            (true, false) => Command::SessionSuspended { session },
            (false, false) => Command::SessionResumed { session },
        };
        match command {
            Command::SessionEnded { .. } | Command::Kicked { .. } => self.people[who] = self.newcomer(),
            _ => self.people[who].connected = !self.people[who].connected,
        }
        for site in 0..BUILDINGS {
            self.carry_out(site, &command)?;
        }
        Ok(())
    }

    /// Decides, judges and applies one command.
    fn carry_out(&mut self, at: usize, command: &Command) -> Result<(), String> {
        let facts = Facts { now: self.now, wall: self.wall, tokens: &self.tokens };
        let site = &mut self.sites[at];
        let decision = site.building.decide(&facts, command);
        let line = format!("[{at}] {command:?} -> {:?} {:?}", decision.reply, decision.events);
        site.building.apply(&facts, &decision);
        let judged = site.model.observe(&facts, &self.settings, command, &decision, &mut self.last_token);
        let compared = judged.and_then(|()| site.building.check_invariants());
        let compared = compared.and_then(|()| site.model.compare(&facts, &self.settings, &site.building));
        self.tally.events += decision.events.len() as u64;
        for event in &decision.events {
            match event {
                Event::LockGranted(granted) => {
                    site.untold.push(granted.token);
                    let what = (granted.lock_type, granted.cause, &granted.session, granted.ttl_ms);
                    self.tally.fate = mix(self.tally.fate, self.now, granted.token, &what);
                    match granted.cause {
                        GrantCause::Queue => self.tally.grants_from_queue += 1,
                        GrantCause::HandOver => self.tally.hand_overs += 1,
                        GrantCause::TakeOver => self.tally.take_overs += 1,
                        GrantCause::Asked => {}
                    }
                }
                Event::LockReleased(released) => {
                    let what = (released.reason, &released.session);
                    self.tally.fate = mix(self.tally.fate, self.now, released.token, &what);
                    self.tally.expiries += u64::from(released.reason == ReleaseReason::Expired);
                }
                _ => {}
            }
        }
        if matches!(decision.reply, Reply::Refused(arxosrt_core::building::command::Refusal::Deadlock { .. })) {
            self.tally.deadlocks += 1;
        }
        site.tail.extend(decision.events);
        if self.broken == Some(Broken::CommitBeforeTell) {
            site.told.append(&mut site.untold);
        }
        self.note(line);
        compared
    }

    fn commit(&mut self) {
        let at = self.rng.below(BUILDINGS);
        let site = &mut self.sites[at];
        if !site.tail.is_empty() {
            site.disk.log.push(encode_events(&site.tail));
            let granted = site.tail.iter().filter_map(|event| match event {
                Event::LockGranted(granted) => Some(granted.token),
                _ => None,
            });
            site.disk.granted.extend(granted);
            site.tail.clear();
        }
        site.told.append(&mut site.untold);
        site.disk.model = site.model.clone();
        site.disk.digest = site.building.digest();
        self.note(format!("[{at}] commit"));
    }

    fn take_snapshot(&mut self) {
        let at = self.rng.below(BUILDINGS);
        let site = &mut self.sites[at];
        // A snapshot stands for the log before it, so there must not be anything uncommitted in it.
        if site.tail.is_empty() {
            site.disk.snapshot = Some(site.building.snapshot());
            site.disk.log.clear();
            self.note(format!("[{at}] snapshot"));
        }
    }

    /// The process dies and comes back, on a machine whose monotonic clock starts anew.
    fn crash(&mut self) -> Result<(), String> {
        self.tally.crashes += 1;
        self.note("the process dies".into());
        let reserved = self.tokens.last().0.div_ceil(TOKEN_BLOCK) * TOKEN_BLOCK;
        let committed = self.sites.iter().flat_map(|site| &site.disk.granted).max().map_or(0, |token| token.0);
        let last = if self.broken == Some(Broken::TokenReserve) { committed } else { reserved };
        self.tokens = TokenSource::after(Token(last));
        self.now = Mono(self.rng.below(100_000) as u64);
        self.wall = self.wall.plus(self.rng.below(60_000) as u64);
        for at in 0..BUILDINGS {
            let guards = self.guards();
            let (now, wall) = (self.now, self.wall);
            let site = &mut self.sites[at];
            let mut back = site.read_back(self.settings.clone())?;
            if back.digest() != site.disk.digest {
                return Err(format!("L11: [{at}] the log gives another state back"));
            }
            if let Some(lost) = site.told.iter().find(|token| !site.disk.granted.contains(token)) {
                return Err(format!("L4: {lost:?} was told and is not in the log"));
            }
            back.set_guards(guards);
            back.after_restart(now, wall);
            site.building = back;
            site.model = site.disk.model.clone();
            site.model.restart(now, wall, &self.settings);
            site.disk.model.wall_jumps = site.model.wall_jumps;
            site.tail.clear();
            site.untold.clear();
            site.judge_owners()?;
        }
        // Sockets are gone with the process; some come back, some sessions end.
        for who in 0..self.people.len() {
            let session = self.people[who].actor.session.clone();
            let command = match self.rng.one_in(3) {
                true => Command::SessionEnded { session },
                false => Command::SessionResumed { session },
            };
            match command {
                Command::SessionEnded { .. } => self.people[who] = self.newcomer(),
                _ => self.people[who].connected = true,
            }
            for site in 0..BUILDINGS {
                self.carry_out(site, &command)?;
            }
        }
        Ok(())
    }

    /// Looks at rooms and tokens from outside.
    fn look_around(&mut self) -> Result<(), String> {
        let at = self.rng.below(BUILDINGS);
        let site = &self.sites[at];
        let room = self.rng.pick(&site.rooms);
        let since = match self.rng.below(3) {
            0 => 0,
            1 => self.rng.below(site.building.seq(room) as usize + 2) as u64,
            _ => site.building.seq(room).saturating_sub(self.rng.below(6) as u64),
        };
        site.model.judge_missed(&site.building, room, since, self.settings.history_events_max)?;
        let facts = Facts { now: self.now, wall: self.wall, tokens: &self.tokens };
        let live = site.model.held.iter().map(|held| held.token);
        let stale = site.model.stale.iter().rev().take(8).copied();
        let tokens: Vec<Token> = live.chain(stale).chain([Token(self.tokens.last().0 + 1)]).collect();
        let token = *self.rng.pick(&tokens);
        let target = self.rng.pick(&site.targets);
        site.model.judge_verify(&facts, &site.building, token, target, self.rng.one_in(2))
    }
}

/// Takes one thing that happened to a lock into a run's hash.
fn mix(fate: u64, now: Mono, token: Token, what: &impl std::fmt::Debug) -> u64 {
    let said = format!("{fate} {now:?} {token:?} {what:?}");
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    said.bytes().fold(0xcbf2_9ce4_8422_2325, hash)
}
