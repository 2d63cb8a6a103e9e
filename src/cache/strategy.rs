//! What kinds of values are cached, and how is each treated?
//!
//! Seven strategies are there from the start, as existing clients know them; a configuration may change them and
//! declare more. A strategy is named once, when the table is made, and is a number from then on.

use std::fmt;

/// How many strategies there may be.
pub const STRATEGIES_MAX: usize = 64;

/// The longest name of a strategy, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A strategy of [`Strategies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrategyId(pub u16);

/// How much longer than others a value may stay without being asked for. It is credit, not rank: it is used up by
/// staying, so nothing stays for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// None.
    Low,
    /// A little.
    Medium,
    /// More.
    High,
    /// Most.
    Critical,
}

impl Priority {
    /// From the least to the most.
    pub const ALL: [Priority; 4] = [Priority::Low, Priority::Medium, Priority::High, Priority::Critical];

    /// The name in the configuration and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Medium => "medium",
            Priority::High => "high",
            Priority::Critical => "critical",
        }
    }
}

/// A kind of value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Its name: lower-case letters, digits and `_`, at most [`NAME_BYTES_MAX`] bytes.
    pub name: Box<str>,
    /// How long a value is served without being loaded again.
    pub ttl_ms: u64,
    /// How it fares when there is no room.
    pub priority: Priority,
    /// How many values of it are held locally.
    pub items_max: u64,
    /// For how long after its time a value may still be served when the origin cannot be reached.
    pub stale_ms: u64,
    /// How long it is remembered that there is no value; 0 never.
    pub negative_ms: u64,
    /// Values are never held locally, written to a disk or a log, or preloaded.
    pub is_sensitive: bool,
    /// May be loaded before anybody asks.
    pub is_preloaded: bool,
}

/// All strategies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategies(Vec<Strategy>);

/// Why there cannot be such strategies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadStrategy {
    /// The name is empty, too long, or holds something else than lower-case letters, digits and `_`.
    Name(Box<str>),
    /// Two have this name.
    Twice(Box<str>),
    /// There are so many, more than [`STRATEGIES_MAX`].
    TooMany(usize),
}

impl fmt::Display for BadStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadStrategy::Name(name) => write!(
                f,
                "{name:?} cannot name a strategy: 1 to {NAME_BYTES_MAX} lower-case letters, digits and underscores can"
            ),
            BadStrategy::Twice(name) => write!(f, "there are two strategies {name:?}"),
            BadStrategy::TooMany(n) => write!(f, "there are {n} strategies, at most {STRATEGIES_MAX} may be"),
        }
    }
}

impl std::error::Error for BadStrategy {}

/// Is this a name that a strategy can have?
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Strategies {
    /// A table of these, in this order.
    pub fn new(strategies: Vec<Strategy>) -> Result<Strategies, BadStrategy> {
        if strategies.len() > STRATEGIES_MAX {
            return Err(BadStrategy::TooMany(strategies.len()));
        }
        for (at, strategy) in strategies.iter().enumerate() {
            if !is_name(&strategy.name) {
                return Err(BadStrategy::Name(strategy.name.clone()));
            }
            if strategies[..at].iter().any(|earlier| earlier.name == strategy.name) {
                return Err(BadStrategy::Twice(strategy.name.clone()));
            }
        }
        Ok(Strategies(strategies))
    }

    /// The strategies that existing clients know.
    pub fn known() -> Vec<Strategy> {
        use Priority::{Critical, High, Low, Medium};
        // Name, TTL, priority, items, stale, negative (all times in seconds), preloaded.
        let rows: [(&str, u64, Priority, u64, u64, u64, bool); 7] = [
            ("floor_data", 3600, High, 1000, 300, 10, true),
            ("object_data", 1800, Medium, 5000, 60, 5, true),
            ("route_data", 1800, Medium, 2000, 60, 5, true),
            // A calibration that is out of date puts edits in the wrong place.
            ("grid_calibration", 3600, High, 100, 0, 0, true),
            ("analytics_data", 7200, Low, 500, 600, 0, true),
            ("user_session", 1800, Critical, 1000, 0, 0, false),
            ("search_results", 900, Low, 2000, 0, 0, false),
        ];
        let strategy =
            |(name, ttl_s, priority, items_max, stale_s, negative_s, is_preloaded): (&str, _, _, _, _, _, _)| {
                Strategy {
                    name: name.into(),
                    ttl_ms: ttl_s * 1000,
                    priority,
                    items_max,
                    stale_ms: stale_s * 1000,
                    negative_ms: negative_s * 1000,
                    is_sensitive: name == "user_session",
                    is_preloaded,
                }
            };
        rows.map(strategy).into()
    }

    /// The strategy of this name.
    pub fn find(&self, name: &str) -> Option<StrategyId> {
        let at = self.0.iter().position(|strategy| &*strategy.name == name)?;
        Some(StrategyId(at as u16))
    }

    /// What a strategy is. `id` is of this table.
    pub fn get(&self, id: StrategyId) -> &Strategy {
        &self.0[usize::from(id.0)]
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (StrategyId, &Strategy)> {
        self.0.iter().enumerate().map(|(at, strategy)| (StrategyId(at as u16), strategy))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strategies_of_old_are_there_as_clients_rely_on_them() {
        let strategies = Strategies::new(Strategies::known()).unwrap();
        let floors = strategies.get(strategies.find("floor_data").unwrap());
        assert_eq!((floors.ttl_ms, floors.priority, floors.items_max), (3_600_000, Priority::High, 1000));
        let sessions = strategies.get(strategies.find("user_session").unwrap());
        assert!(sessions.is_sensitive && !sessions.is_preloaded);
        assert_eq!(strategies.iter().filter(|(_, strategy)| strategy.is_sensitive).count(), 1);
        assert_eq!(strategies.find("floor"), None);
    }

    #[test]
    fn a_table_that_would_confuse_is_refused() {
        let named = |name: &str| Strategy { name: name.into(), ..Strategies::known().remove(0) };
        assert_eq!(Strategies::new(vec![named("Floor")]), Err(BadStrategy::Name("Floor".into())));
        assert_eq!(Strategies::new(vec![named("")]), Err(BadStrategy::Name("".into())));
        assert_eq!(Strategies::new(vec![named("a"), named("a")]), Err(BadStrategy::Twice("a".into())));
        let many = (0..=STRATEGIES_MAX).map(|at| named(&format!("s{at}"))).collect();
        assert_eq!(Strategies::new(many), Err(BadStrategy::TooMany(65)));
    }
}
