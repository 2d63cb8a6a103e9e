//! The configuration as a person meets it: files, variables and flags in, a configuration or a list of problems out.

use std::path::{Path, PathBuf};

use arxosrt_core::lock::LockType;

use super::*;
use crate::args::Args;

/// A file, an environment and flags.
#[derive(Default)]
struct Setup<'a> {
    file: &'a str,
    env: &'a [(&'a str, &'a str)],
    set: &'a [&'a str],
}

impl Setup<'_> {
    fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.toml"), self.file).unwrap();
        let args = Args {
            config: Some("a.toml".into()),
            set: self.set.iter().map(|s| (*s).to_owned()).collect(),
            ..Args::default()
        };
        load(&args, &env(self.env), dir.path())
    }

    fn config(&self) -> Config {
        self.load().unwrap().config
    }

    fn problems(&self) -> Vec<String> {
        self.load().unwrap_err().iter().map(Problem::to_string).collect()
    }
}

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn file(text: &str) -> Setup<'_> {
    Setup { file: text, ..Setup::default() }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn the_documented_file_is_the_defaults_and_names_every_option() {
    let text = std::fs::read_to_string(root().join("arxosrt.toml")).unwrap();
    let documented: toml::Table = text.parse().unwrap();
    assert_eq!(documented.clone().try_into::<Config>().unwrap(), Config::default());
    // Equal trees, not only equal values: a missing line would be filled in by the default.
    assert_eq!(documented, toml::Table::try_from(Config::default()).unwrap());
    let args = Args { config: Some(root().join("arxosrt.toml")), ..Args::default() };
    let loaded = load(&args, &Env::new(), &root()).unwrap();
    assert_eq!(loaded.warnings, [] as [String; 0]);
}

#[test]
fn the_documented_file_states_the_bounds_of_every_number_and_every_optional_key() {
    let text = std::fs::read_to_string(root().join("arxosrt.toml")).unwrap();
    for key in keys::KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{name} = ")), "{}", key.path);
        if let value::Kind::Integer(min, max) = key.kind
            && !key.path.contains("_by_")
        {
            let bounds = format!("{min} to {max}");
            // Several sections may have the name. Where sections are chosen, the first one explains it.
            let section = key.path.rsplit_once('.').unwrap().0.replace(keys::ANY, "floor_data");
            let section = text.find(&format!("\n[{section}]")).unwrap();
            let line = section + text[section..].find(&format!("\n{name} = ")).unwrap();
            let comment: String = text[..line].lines().rev().take(4).collect();
            assert!(comment.contains(&bounds), "{}: {bounds}", key.path);
        }
        if let value::Kind::Word(words) = key.kind {
            assert!(words.iter().all(|word| text.contains(&format!("\"{word}\""))), "{}", key.path);
        }
    }
}

#[test]
fn every_comment_stands_above_an_option_or_a_section() {
    let text = std::fs::read_to_string(root().join("arxosrt.toml")).unwrap();
    let (mut before, mut is_explained) = ("", false);
    for line in text.lines() {
        // What a strategy's options mean is said where the first one stands.
        is_explained |= line == "[cache.strategies.object_data]";
        is_explained &= !line.starts_with('[') || line.starts_with("[cache.strategies.");
        if !line.starts_with('#') && !line.is_empty() && !line.starts_with("reconnect_max_ms") && !is_explained {
            assert!(before.starts_with('#'), "no comment above: {line}");
        }
        before = line;
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let mut setup = file("locks.grace_s = 1\nlocks.ttl_s = 10\nlocks.idle_s = 100\n");
    assert_eq!(setup.config().locks.grace_s, 1);
    setup.env = &[("ARXOSRT_LOCKS__GRACE_S", "2"), ("ARXOSRT_LOCKS__TTL_S", "20")];
    setup.set = &["locks.grace_s=3"];
    let loaded = setup.load().unwrap();
    let locks = &loaded.config.locks;
    assert_eq!((locks.grace_s, locks.ttl_s, locks.idle_s, locks.wait_max_s), (3, 20, 100, 120));
    let whence = |path: &str| loaded.set_by.get(path).map(Whence::to_string);
    assert_eq!(whence("locks.grace_s").as_deref(), Some("--set locks.grace_s"));
    assert_eq!(whence("locks.ttl_s").as_deref(), Some("$ARXOSRT_LOCKS__TTL_S"));
    assert_eq!(whence("locks.idle_s").as_deref(), Some("a.toml:3:16"));
    assert_eq!(whence("locks.wait_max_s"), None);
    assert_eq!(loaded.source.as_deref(), Some(Path::new("a.toml")));
    setup.set = &["locks.grace_s=3", "locks.grace_s=4"];
    assert_eq!(setup.config().locks.grace_s, 4, "the last flag counts");
}

#[test]
fn every_name_that_scripts_rely_on_can_be_set_from_every_layer() {
    for (path, value) in [
        ("http.listen", "127.0.0.1:0"),
        ("control.socket", "/tmp/a.sock"),
        ("store.path", "/tmp/a.db"),
        ("engine.kind", "memory"),
        ("origin.kind", "directory"),
        ("origin.path", "/tmp"),
        ("locks.ttl_s", "2"),
        ("locks.grace_s", "0"),
        ("auth.mode", "none"),
        ("limits.connections_per_address", "2"),
        ("limits.messages_per_s", "5"),
        ("limits.messages_burst", "5"),
    ] {
        let by_flag = Setup { set: &[&format!("{path}={value}")], ..Setup::default() }.config();
        let name = keys::find(path).unwrap().env_name();
        let by_env = Setup { env: &[(&name, value)], ..Setup::default() }.config();
        let quoted = if value.parse::<i64>().is_ok() { value.to_owned() } else { format!("{value:?}") };
        let by_file = file(&format!("{path} = {quoted}\n")).config();
        assert_eq!(by_flag, by_env, "{path}");
        assert_eq!(by_flag, by_file, "{path}");
    }
}

#[test]
fn a_lease_can_differ_by_type() {
    let mut setup = file("[locks]\nttl_s = 10\n[locks.ttl_by_type]\nfloor_edit = 20\n");
    setup.env = &[("ARXOSRT_LOCKS__TTL_BY_TYPE__ROUTE_EDIT", "30")];
    let locks = setup.config().locks;
    assert_eq!(locks.ttl_ms(LockType::FloorEdit), 20_000);
    assert_eq!(locks.ttl_ms(LockType::RouteEdit), 30_000);
    assert_eq!(locks.ttl_ms(LockType::ObjectEdit), 10_000);
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let setup = Setup {
        file: "\
[http]
lisen = \"127.0.0.1:1\"
body_bytes_max = \"1 MiB\"
ping_ms = 1
[lock]
ttl_s = 1
[hub]
ping_ms = 5
  presence_list_max = 99999999999999999999
[limits]
json_depth = 64.0
[engine]
kind = \"embeded\"
[log]
level = { debug = true }
",
        env: &[("ARXOSRT_LOCKS__GRACE", "1"), ("ARXOSRT_DRAIN__WINDOW_MS", "soon"), ("ARXOSRT_SOCKET", "/x")],
        set: &["locks.tll_s=5", "nonsense", "hub=1", "metrics.enabled=perhaps"],
    };
    let wanted = [
        "a.toml:2:1: unknown option `http.lisen`; did you mean `http.listen`?",
        "a.toml:3:18: `http.body_bytes_max` must be an integer from 1024 to 1073741824 bytes, not \"1 MiB\"",
        "a.toml:4:1: unknown option `http.ping_ms`; did you mean `hub.ping_ms`?",
        "a.toml:5:2: unknown section `lock`; did you mean `locks`?",
        "a.toml:8:11: `hub.ping_ms` is 5 ms, the least allowed is 100 ms",
        "a.toml:9:23: `hub.presence_list_max` is 99999999999999999999, which is beyond any integer that can be stored",
        "a.toml:11:14: `limits.json_depth` must be an integer from 4 to 120, not the fraction 64",
        "a.toml:13:8: `engine.kind` must be \"embedded\" or \"memory\", not \"embeded\"; did you mean \"embedded\"?",
        "a.toml:15:9: `log.level` must be \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", not a table",
        "$ARXOSRT_DRAIN__WINDOW_MS: `drain.window_ms` must be an integer from 0 to 3600000 ms, not \"soon\"",
        "$ARXOSRT_LOCKS__GRACE: unknown option `locks.grace`; did you mean `ARXOSRT_LOCKS__GRACE_S`?",
        "--set locks.tll_s: unknown option `locks.tll_s`; did you mean `locks.ttl_s`?",
        "--set nonsense: there is no `=`; write --set SECTION.KEY=VALUE",
        "--set hub: `hub` is a section, not an option",
        "--set metrics.enabled: `metrics.enabled` must be true or false, not \"perhaps\"",
    ];
    let found = setup.problems();
    assert_eq!(found, wanted, "\n{}", found.join("\n"));
}

#[test]
fn a_shadowed_mistake_is_still_a_mistake() {
    let setup = Setup { file: "locks.ttl_s = 0\n", set: &["locks.ttl_s=5"], ..Setup::default() };
    assert_eq!(setup.problems(), ["a.toml:1:15: `locks.ttl_s` is 0 s, the least allowed is 1 s"]);
}

#[test]
fn every_mistake_of_syntax_has_its_place() {
    let problems = file("[http]\nlisten = \"a\n\n[hub]\nping_ms = = 3\n\n[hub]\n").problems();
    assert!(problems.iter().any(|p| p.starts_with("a.toml:2:")), "{problems:#?}");
    assert!(problems.iter().any(|p| p.starts_with("a.toml:5:")), "{problems:#?}");
    let twice = file("[log]\nlevel = \"info\"\nlevel = \"warn\"\n").problems();
    assert!(twice.len() == 1 && twice[0].starts_with("a.toml:3:1: "), "{twice:#?}");
    let columns = file("# größe\n[http]\n\"ö\" = 1\n").problems();
    assert_eq!(columns, ["a.toml:3:1: unknown option `http.ö`"]);
    assert_eq!(
        file("http = 3\n").problems(),
        ["a.toml:1:8: `http` is a section, not a single integer; write [http] on a line of its own"]
    );
}

#[test]
fn options_that_contradict_each_other_are_told_where_they_were_set() {
    let setup = Setup { file: "hub.ping_ms = 9000\n", set: &["hub.reconnect_min_ms=30000"], ..Setup::default() };
    assert_eq!(
        setup.problems(),
        [
            "a.toml:1:15: `hub.pong_ms` is 10000 ms, it must be below `hub.ping_ms`, which is 9000 ms: \
             an answer must be judged before the next ping goes out",
            "--set hub.reconnect_min_ms: `hub.reconnect_min_ms` is 30000 ms, \
             it must not be above `hub.reconnect_max_ms`, which is 20000 ms",
        ]
    );
    let both = Setup { file: "hub.ping_ms = 900\n", set: &["hub.pong_ms=900"], ..Setup::default() }.problems();
    assert!(both[0].starts_with("--set hub.pong_ms: ") && both[0].ends_with("set at a.toml:1:15"), "{both:#?}");
}

#[test]
fn short_leases_for_tests_are_no_problem() {
    let set = ["locks.ttl_s=1", "locks.grace_s=0", "limits.messages_burst=1", "hub.ping_ms=200", "hub.pong_ms=100"];
    let loaded = Setup { set: &set, ..Setup::default() }.load().unwrap();
    assert_eq!(loaded.warnings, [] as [String; 0]);
}

#[test]
fn what_is_wrong_within_a_section_that_somebody_names_is_told_like_anything_else() {
    let setup = Setup {
        file: "\
[cache.strategies.floor_data]
tll_s = 5
ttl_s = 0
[cache.strategies.Weather]
ttl_s = 5
[cache.strategies]
tides = 5
",
        env: &[("ARXOSRT_CACHE__STRATEGIES__FLOOR_DATA__PRIORITY", "hihg")],
        set: &["cache.strategies.weather.preload=perhaps"],
    };
    let found = setup.problems();
    let wanted = [
        "a.toml:2:1: unknown option `cache.strategies.floor_data.tll_s`; did you mean `cache.strategies.floor_data.ttl_s`?",
        "a.toml:3:9: `cache.strategies.floor_data.ttl_s` is 0 s, the least allowed is 1 s",
        "a.toml:4:19: unknown section `cache.strategies.Weather`; \"Weather\" cannot name a strategy: \
         1 to 64 lower-case letters, digits and underscores can",
        "a.toml:7:9: `cache.strategies.tides` is a section, not a single integer; \
         write [cache.strategies.tides] on a line of its own",
        "$ARXOSRT_CACHE__STRATEGIES__FLOOR_DATA__PRIORITY: `cache.strategies.floor_data.priority` must be \"low\", \
         \"medium\", \"high\" or \"critical\", not \"hihg\"; did you mean \"high\"?",
        "--set cache.strategies.weather.preload: `cache.strategies.weather.preload` must be true or false, not \"perhaps\"",
    ];
    assert_eq!(found, wanted, "\n{}", found.join("\n"));
    let mut setup = file("[cache.strategies.flor_data]\nttl_s = 5\n");
    setup.env = &[("ARXOSRT_CACHE__STRATEGIES__WEATHER__TTL_S", "7")];
    let loaded = setup.load().unwrap();
    assert_eq!(loaded.warnings, ["`cache.strategies.flor_data` declares another strategy; did you mean `floor_data`?"]);
    assert_eq!(loaded.config.cache.strategies.0["weather"].ttl_s, 7);
    assert_eq!(loaded.config.cache.strategies.0["floor_data"].ttl_s, 3600);
    let many: String = (0..60).map(|n| format!("[cache.strategies.s{n}]\n")).collect();
    assert_eq!(file(&many).problems(), ["default: there are 67 strategies, at most 64 may be"]);
}

#[test]
fn a_place_for_values_that_nobody_can_ask_for_is_a_warning() {
    let text = "[origin.http]\nurl = \"https://a\"\n[origin.http.values.flor_data]\nurl = \"/f/{id}\"\n\
                [origin.http.values.tides]\nurl = \"/t/{id}\"\n[origin.http.values.weather]\nurl = \"/w/{id}\"\n\
                [cache.strategies.weather]\nttl_s = 5\n";
    let ignored = |name| format!("`origin.http.values.{name}` is ignored: there is no strategy of this name");
    let wanted = [format!("{}; did you mean `floor_data`?", ignored("flor_data")), ignored("tides")];
    assert_eq!(file(text).load().unwrap().warnings, wanted);
}

#[test]
fn options_without_effect_are_warnings() {
    let set = ["limits.message_bytes=2048", "hub.outbox_bytes_max=4096", "locks.max_hold_s=100"];
    let loaded = Setup { set: &set, env: &[("ARXOSRT_HTTP_LISTEN", "x")], ..Setup::default() }.load().unwrap();
    let warnings = loaded.warnings.join("\n");
    for part in [
        "$ARXOSRT_HTTP_LISTEN is ignored; did you mean `ARXOSRT_HTTP__LISTEN`?",
        "`limits.metadata_bytes` is 8192 bytes",
        "a lease of 300 s is cut to `locks.max_hold_s`, 100 s",
    ] {
        assert!(warnings.contains(part), "{part}\n{warnings}");
    }
}

#[test]
fn a_variable_that_is_empty_or_foreign_sets_nothing() {
    let foreign = [("ARXOSRT_LOCKS__TTL_S", ""), ("ARXOSRT_SOCKET", "/s"), ("LOCKS__TTL_S", "x"), ("arxosrt_a__b", "")];
    assert_eq!(Setup { env: &foreign, ..Setup::default() }.config(), Config::default());
}

#[test]
fn an_open_port_without_authentication_is_refused_where_it_was_set() {
    let mut setup = file("[http]\nlisten = \"0.0.0.0:8790\"\n");
    let problems = setup.problems();
    assert!(
        problems.len() == 1 && problems[0].starts_with("a.toml:2:10: `http.listen` is 0.0.0.0:8790"),
        "{problems:?}"
    );
    setup.set = &["http.insecure=true"];
    assert!(setup.config().http.insecure);
    let args = Args { insecure: true, set: vec!["http.listen=0.0.0.0:0".into()], ..Args::default() };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.toml"), "").unwrap();
    let args = Args { config: Some("a.toml".into()), ..args };
    assert!(load(&args, &Env::new(), dir.path()).is_ok());
}

#[test]
fn relative_paths_start_where_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/a.toml"), "[origin]\npath = \"models\"\n[store]\npath = \"\"\n").unwrap();
    let args =
        Args { config: Some("etc/a.toml".into()), set: vec!["control.socket=run/c.sock".into()], ..Args::default() };
    let config = load(&args, &Env::new(), dir.path()).unwrap().config;
    assert_eq!(config.origin.path, dir.path().join("etc/models"));
    assert_eq!(config.control.socket, dir.path().join("run/c.sock"));
    assert_eq!(config.store.path, Path::new(""), "empty still means: choose");
}

#[test]
fn a_file_that_was_named_must_be_readable() {
    let dir = tempfile::tempdir().unwrap();
    let load = |args: Args, env: Env| load(&args, &env, dir.path());
    let named = Args { config: Some("none.toml".into()), ..Args::default() };
    let problems = load(named, Env::new()).unwrap_err();
    assert!(problems[0].to_string().starts_with("none.toml: cannot be read: "), "{}", problems[0]);
    let by_env = load(Args::default(), env(&[("ARXOSRT_CONFIG", "none.toml")])).unwrap_err();
    assert!(by_env[0].to_string().starts_with("none.toml: "), "{}", by_env[0]);

    std::fs::write(dir.path().join("big.toml"), vec![b'#'; CONFIG_BYTES_MAX + 1]).unwrap();
    let big = Args { config: Some("big.toml".into()), ..Args::default() };
    assert!(load(big, Env::new()).unwrap_err()[0].to_string().contains("more than 1048576 bytes"));
    std::fs::write(dir.path().join("latin.toml"), b"# a\n# b\xe4\n").unwrap();
    let latin = Args { config: Some("latin.toml".into()), ..Args::default() };
    assert!(load(latin, Env::new()).unwrap_err()[0].to_string().contains("line 2 is not UTF-8"));
}

#[test]
fn no_text_whatever_makes_the_reader_fail_otherwise_than_with_problems() {
    let words =
        ["[", "]", "http", "locks.ttl_by_type", ".", "=", "\"", "1", "-1", "{", "}", ",", "\n", "#", "ö", "true"];
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x9e37_79b9_7f4a_7c15);
    println!("SEED={seed}");
    let mut state: u64 = seed;
    for _ in 0..2000 {
        let mut text = String::new();
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(words[(state % words.len() as u64) as usize]);
        }
        let _ = layers_of(&text);
    }
}

fn layers_of(text: &str) -> usize {
    let mut layers = layers::Layers::default();
    layers.add_file(Path::new("a.toml"), text);
    layers.add_set(text);
    layers.problems.len()
}
