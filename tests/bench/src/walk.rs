//! A recorded walk through a building: who opened which floor when, and who changed what.

use std::io;
use std::time::Duration;

/// The walk over office-a.
const OFFICE: &str = include_str!("../walks/office-a.walk");

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Since the beginning of the walk.
    pub at: Duration,
    pub person: usize,
    pub what: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Goes to this floor and looks at it.
    Open(String),
    /// Changes the floor's object with this number.
    Edit(usize),
}

/// The steps of the walk over office-a, in order of time.
pub fn office() -> io::Result<Vec<Step>> {
    parse(OFFICE).map_err(|line| io::Error::other(format!("walks/office-a.walk:{line} is not a step")))
}

/// Lines of `SECONDS PERSON open FLOOR` or `SECONDS PERSON edit N`; `#` begins a remark. An error is a line's number.
fn parse(text: &str) -> Result<Vec<Step>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines.map(|(at, line)| step(line).ok_or(at + 1)).collect()
}

fn step(line: &str) -> Option<Step> {
    let mut words = line.split_whitespace();
    let at = Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?;
    let person = words.next()?.parse().ok()?;
    let what = match (words.next()?, words.next()?) {
        ("open", floor) => Action::Open(floor.to_owned()),
        ("edit", n) => Action::Edit(n.parse().ok()?),
        _ => return None,
    };
    Some(Step { at, person, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_walk_is_in_order_and_begins_with_an_open_for_everybody() {
        let steps = office().expect("it is a walk");
        assert!(steps.is_sorted_by_key(|step| step.at));
        let people = steps.iter().map(|step| step.person).max().expect("somebody") + 1;
        assert_eq!(people, 50);
        for person in 0..people {
            let first = steps.iter().find(|step| step.person == person).expect("everybody walks");
            assert!(matches!(first.what, Action::Open(_)), "{first:?}");
        }
    }

    #[test]
    fn what_is_no_step_is_named() {
        assert_eq!(parse("# remark\n1.5 0 open a:b\n2 0 edit 3\n").map(|steps| steps.len()), Ok(2));
        for bad in ["1.5 0 open", "x 0 open a", "1 0 jump a", "-1 0 open a", "1 0 edit x"] {
            assert_eq!(parse(bad), Err(1), "{bad}");
        }
    }
}
