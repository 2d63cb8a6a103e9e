//! What can be typed. Every command, flag and word of help is defined here and nowhere else.

mod cache;
mod cache_replay;
mod jobs;
mod preload;
mod replay;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub use cache::Cache;
pub use cache_replay::{CacheReplay, Layout};
pub use jobs::Jobs;
pub use preload::{How, Preload};
pub use replay::{FileFormat, Replay, Synthetic};

/// Looks into a running arxosrtd and changes things, over its control socket.
#[derive(Debug, Parser)]
#[command(
    name = "arxosrt",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  arxosrt locks list\n  arxosrt locks why floor_123\n  arxosrt rooms list -o json | jq '.items[].room_id'\n\n`arxosrt help exit-codes` lists how a run may end."
)]
pub struct Args {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The daemon's control socket [default: the first of /run/arxosrt, $XDG_RUNTIME_DIR/arxosrt, $XDG_DATA_HOME/arxosrt that holds control.sock].
    #[arg(short, long, global = true, env = "ARXOSRT_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// The shape of the output.
    #[arg(short, long, global = true, env = "ARXOSRT_OUTPUT", value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,

    /// How long an answer may take: 10, 10s, 1m30s, 500ms.
    #[arg(long, global = true, env = "ARXOSRT_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,

    /// Do not ask for a confirmation.
    #[arg(short, long, global = true)]
    pub yes: bool,

    /// Never ask anything: fail and name the flag instead.
    #[arg(long, global = true, env = "ARXOSRT_NO_INPUT", value_parser = FalseyValueParser::new())]
    pub no_input: bool,

    /// Why; told to those concerned and kept in the audit.
    #[arg(long, global = true, env = "ARXOSRT_REASON", value_name = "TEXT")]
    pub reason: Option<String>,

    /// Lists: ids only. Changes: say nothing when done.
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Colours.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: When,

    /// Tables without their first line.
    #[arg(long, global = true)]
    pub no_headers: bool,
}

/// The shape of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; may change between releases.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One item as JSON per line.
    Ndjson,
    /// Ids only, one per line.
    Name,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The daemon at a glance.
    Status {
        /// End with 9 unless the daemon is ready.
        #[arg(long)]
        check: bool,
    },
    /// Is there anything that an operator must see to? Ends with 9 if so.
    Check,
    /// Who you are to the daemon, and what you may do.
    Whoami,
    /// Rooms: floors, buildings, whatever people gather in.
    #[command(subcommand, alias = "room")]
    Rooms(Rooms),
    /// People and their sessions.
    #[command(subcommand, alias = "user")]
    Users(Users),
    /// Editing locks.
    #[command(subcommand, alias = "lock")]
    Locks(Locks),
    /// Conflicts between people's edits.
    #[command(subcommand, alias = "conflict")]
    Conflicts(Conflicts),
    /// Values of the platform that are kept near.
    #[command(subcommand)]
    Cache(Cache),
    /// Load what will be needed before anybody asks.
    #[command(subcommand)]
    Preload(Preload),
    /// Long work under way, and how it ended.
    #[command(subcommand, alias = "job")]
    Jobs(Jobs),
    /// What happens from now on.
    Events {
        /// Only these topics: lock, room, session, edit, conflict, broadcast, audit, daemon.
        #[arg(value_name = "TOPIC")]
        topics: Vec<String>,
        /// Only what happens in this room.
        #[arg(long, value_name = "ROOM")]
        room: Option<String>,
    },
    /// Send every client away over a while; they come back to the next daemon.
    Drain {
        /// Over how long.
        #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
        window: Duration,
    },
    /// What operators did.
    #[command(subcommand)]
    Audit(Audit),
    /// For those who look into the machine.
    #[command(subcommand)]
    Debug(Debug),
    /// The versions of this program and of the daemon.
    Version,
    /// Help on a command, or the topic exit-codes.
    Help {
        /// A command or a topic.
        #[arg(value_name = "TOPIC")]
        topic: Vec<String>,
    },
}

/// `arxosrt rooms …`
#[derive(Debug, Subcommand)]
pub enum Rooms {
    /// Rooms with members or locks.
    #[command(alias = "ls")]
    List {
        /// Go on as it changes.
        #[arg(long)]
        watch: bool,
    },
    /// One room.
    Show {
        /// The room.
        room: String,
    },
    /// Who is in a room.
    Users {
        /// The room.
        room: String,
    },
    /// Say something to everybody in a room.
    Send {
        /// The room.
        room: String,
        /// A line of text, sent as {"notice": TEXT}.
        #[arg(long, value_name = "TEXT", required_unless_present = "json", conflicts_with = "json")]
        text: Option<String>,
        /// Any JSON value; - reads it from standard input.
        #[arg(long, value_name = "JSON")]
        json: Option<String>,
    },
}

/// `arxosrt users …`
#[derive(Debug, Subcommand)]
pub enum Users {
    /// People with a session.
    #[command(alias = "ls")]
    List {
        /// Go on as it changes.
        #[arg(long)]
        watch: bool,
        /// Only those in this room.
        #[arg(long, value_name = "ROOM")]
        room: Option<String>,
    },
    /// One person.
    Show {
        /// The person.
        user: String,
    },
    /// End people's sessions, and release their locks.
    Kick {
        /// The people, or with --session the sessions.
        #[arg(required = true, value_name = "USER|SESSION")]
        targets: Vec<String>,
        /// The names are of sessions.
        #[arg(long)]
        session: bool,
    },
}

/// `arxosrt locks …`
#[derive(Debug, Subcommand)]
pub enum Locks {
    /// Locks that are held.
    #[command(alias = "ls")]
    List {
        /// Go on as it changes.
        #[arg(long)]
        watch: bool,
        /// Only those seen in this room.
        #[arg(long, value_name = "ROOM")]
        room: Option<String>,
        /// Only those of this person.
        #[arg(long, value_name = "USER")]
        holder: Option<String>,
        /// Only those of this type: floor_edit, object_edit, route_edit, grid_calibration, analytics_view.
        #[arg(long = "type", value_name = "TYPE", value_parser = ["floor_edit", "object_edit", "route_edit", "grid_calibration", "analytics_view"])]
        lock_type: Option<String>,
    },
    /// One lock, by its id or by what it covers.
    Show {
        /// The lock or the resource.
        #[arg(value_name = "LOCK|RESOURCE")]
        lock: String,
    },
    /// Who stands in the way of a resource, and who waits.
    Why {
        /// The resource.
        resource: String,
    },
    /// Take a lock from its holder.
    Release {
        /// The lock.
        lock: String,
        /// Take it although somebody holds it; needs --reason.
        #[arg(long)]
        force: bool,
        /// Only if it still has this fencing token.
        #[arg(long, value_name = "TOKEN")]
        if_token: Option<u64>,
    },
    /// Past grants and releases of what covered a resource.
    History {
        /// The resource.
        resource: String,
        /// At most so many, the latest ones.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
        limit: u32,
    },
}

/// `arxosrt conflicts …`
#[derive(Debug, Subcommand)]
pub enum Conflicts {
    /// Conflicts, the latest first.
    #[command(alias = "ls")]
    List {
        /// Those that wait for somebody; this is what is shown without a word.
        #[arg(long, conflicts_with_all = ["settled", "all"])]
        open: bool,
        /// Those that are settled.
        #[arg(long, conflicts_with = "all")]
        settled: bool,
        /// Both.
        #[arg(long)]
        all: bool,
        /// Which of them.
        #[command(flatten)]
        about: About,
        /// At most so many, the latest ones.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
        limit: Option<u32>,
        /// Go on as it changes.
        #[arg(long, conflicts_with_all = ["settled", "all", "building", "path", "limit"])]
        watch: bool,
    },
    /// One conflict: who wanted what, path by path.
    Show {
        /// The conflict.
        conflict: String,
    },
    /// Settle a conflict for the two.
    #[command(group(ArgGroup::new("how").required(true).args(["winner", "merge", "value"])))]
    Resolve {
        /// The conflict.
        conflict: String,
        /// This person's values, everywhere.
        #[arg(long, value_name = "USER")]
        winner: Option<String>,
        /// Some of both, as --choose says; what is not named stays as it is committed.
        #[arg(long)]
        merge: bool,
        /// With --merge: this path gets this person's value.
        #[arg(long, requires = "merge", value_name = "PATH=USER")]
        choose: Vec<String>,
        /// This path gets this value, and null unsets it; what is not named stays as it is committed.
        #[arg(long, value_name = "PATH=JSON")]
        value: Vec<String>,
        /// Only if the conflict still has this revision [default: the one that is shown].
        #[arg(long, value_name = "N")]
        revision: Option<u32>,
        /// Say what it would do, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring back what lost in a settled conflict.
    Restore {
        /// The conflict.
        conflict: String,
        /// This person's values; needed only where both have lost something.
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// Of this path only.
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
    },
    /// Settled conflicts, the latest settled first.
    History {
        /// Which of them.
        #[command(flatten)]
        about: About,
        /// Only what was settled within this time.
        #[arg(long, value_parser = duration, value_name = "TIME")]
        since: Option<Duration>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
        limit: u32,
    },
    /// Figures: how many, how grave, how they ended, where people disagree.
    Stats,
    /// What happens to conflicts from now on.
    Watch {
        /// Only what happens in this room.
        #[arg(long, value_name = "ROOM")]
        room: Option<String>,
    },
}

/// Which conflicts. All that is given must hold.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct About {
    /// Only those of this person.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only those on this resource.
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<String>,
    /// Only those in this building.
    #[arg(long, value_name = "BUILDING")]
    pub building: Option<String>,
    /// Only those that are at least this grave.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub severity: Option<Severity>,
    /// Only those about this path or what lies below it.
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
}

/// How grave a conflict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Severity {
    /// Order, colours, labels.
    Low,
    /// Properties and places of objects.
    Medium,
    /// One deleted what the other changed, and the like.
    High,
    /// The floor's structure or its grid.
    Critical,
}

impl Severity {
    /// The name in the control API.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// What the daemon's word means; nothing to a word from a newer daemon.
    pub fn parse(name: &str) -> Option<Severity> {
        Severity::value_variants().iter().copied().find(|severity| severity.as_str() == name)
    }
}

/// `arxosrt audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// The latest changes by operators.
    #[command(alias = "ls")]
    List {
        /// At most so many, the latest ones.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
        limit: u32,
    },
}

/// `arxosrt debug …`
#[derive(Debug, Subcommand)]
pub enum Debug {
    /// Fold a building's log anew and compare it with the running state.
    Replay {
        /// The building.
        building: String,
    },
}

/// The largest duration that is understood.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// The time that was typed behind `--wait` with a space, if one was: it would be taken for an id or for a file, and
/// something else would be done than what was meant. Behind `--` everything is an id.
pub fn lost_time(words: &[OsString]) -> Option<&str> {
    let typed = words.split(|word| word == "--").next().unwrap_or(words);
    let behind = |pair: &[OsString]| pair[0] == "--wait";
    let word = typed.windows(2).find(|pair| behind(pair)).and_then(|pair| pair[1].to_str())?;
    duration(word).is_ok().then_some(word)
}

/// `90`, `90s`, `500ms`, `1m30s`. A bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration such as 10s, 1m30s or 500ms");
    if let Ok(seconds) = text.parse::<u64>() {
        return in_range(text, Duration::from_secs(seconds.min(u64::from(u32::MAX))));
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u32 = rest[..digits].parse().map_err(|_| bad())?;
        let letters = &rest[digits..];
        let unit_end = letters.find(|c: char| c.is_ascii_digit()).unwrap_or(letters.len());
        let unit = match &letters[..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(bad()),
        };
        total = total.saturating_add(unit.saturating_mul(number));
        rest = &letters[unit_end..];
    }
    in_range(text, total)
}

fn in_range(text: &str, duration: Duration) -> Result<Duration, String> {
    match duration {
        Duration::ZERO => Err(format!("{text:?} is no time at all")),
        d if d > DURATION_MAX => Err(format!("{text:?} is more than {} h", DURATION_MAX.as_secs() / 3600)),
        d => Ok(d),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_severity_has_one_name_in_flags_and_in_the_control_api() {
        for severity in Severity::value_variants() {
            assert_eq!(Severity::parse(severity.as_str()), Some(*severity));
            assert_eq!(severity.to_possible_value().unwrap().get_name(), severity.as_str());
        }
        assert!(Severity::Low < Severity::Medium && Severity::High < Severity::Critical);
    }

    #[test]
    fn a_time_behind_wait_is_not_taken_for_something_else() {
        let lost = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            lost_time(&words).map(str::to_owned)
        };
        assert_eq!(lost("preload floor a --wait 5m").as_deref(), Some("5m"));
        assert_eq!(lost("preload batch --wait 90").as_deref(), Some("90"));
        for fine in
            ["preload floor a --wait", "preload floor --wait=5m a", "preload floor --wait a", "p f --wait -- 5m"]
        {
            assert_eq!(lost(fine), None, "{fine}");
        }
        for fine in ["--wait", "--wait=90s"] {
            assert!(Args::try_parse_from(["arxosrt", "preload", "batch", "list.txt", fine]).is_ok(), "{fine}");
        }
    }

    #[test]
    fn durations_are_what_people_write() {
        for (text, ms) in [("10", 10_000), ("10s", 10_000), ("1m30s", 90_000), ("500ms", 500), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "0", "0s", "s", "10x", "10 s", "-1", "25h", "1.5s", "99999999999s", "10s5"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
