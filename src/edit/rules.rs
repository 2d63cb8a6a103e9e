//! Which changes contradict each other, and how bad is it?
//!
//! What is compared is a **unit**. Mostly a unit is one path. Some sibling fields are one value together (a group: half
//! of one person's position and half of another's is a place where nobody put the object), and some fields drag others
//! along when they change (an entanglement: properties of a door make no sense on what has become a window meanwhile).
//!
//! Severity decides what happens to a conflict: LOW is settled at once and the later one wins; the others keep the
//! committed value until somebody decides. A modified thing beats its deletion in any case. The names of kinds and
//! severities are part of what clients see and never change.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::path::{self, Path};
use super::value::Value;

/// What a document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResourceKind {
    /// A thing on a floor.
    Object,
    /// A way over one or more floors.
    Route,
    /// A floor itself, with its grid below `/grid`.
    Floor,
}

/// How bad a conflict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Settled at once: the later one wins.
    Low,
    /// Keeps the committed value.
    Medium,
    /// Keeps the committed value; people should look.
    High,
    /// Keeps the committed value and is never settled by itself.
    Critical,
}

impl Severity {
    /// Every one, from low to critical.
    pub const ALL: [Severity; 4] = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// The severity that `name` names.
    pub fn parse(name: &str) -> Option<Severity> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// What kind of contradiction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConflictKind {
    /// Two values for one unit.
    ConcurrentEdit,
    /// One deleted what the other modified.
    DeleteModify,
    /// The type changed while what depends on it was edited.
    TypeChange,
    /// It went to another floor while its place was edited.
    MovedFloor,
    /// What it refers to is gone.
    DanglingReference,
    /// Coordinates of a frame that is no longer valid.
    OutdatedFrame,
    /// Something of a floor itself.
    FloorStructure,
    /// Something of a floor's grid.
    GridCalibration,
    /// Two orders of one list.
    Order,
}

impl ConflictKind {
    /// All of them.
    pub const ALL: [ConflictKind; 9] = [
        ConflictKind::ConcurrentEdit,
        ConflictKind::DeleteModify,
        ConflictKind::TypeChange,
        ConflictKind::MovedFloor,
        ConflictKind::DanglingReference,
        ConflictKind::OutdatedFrame,
        ConflictKind::FloorStructure,
        ConflictKind::GridCalibration,
        ConflictKind::Order,
    ];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            ConflictKind::ConcurrentEdit => "concurrent_edit",
            ConflictKind::DeleteModify => "delete_modify",
            ConflictKind::TypeChange => "type_change",
            ConflictKind::MovedFloor => "moved_floor",
            ConflictKind::DanglingReference => "dangling_reference",
            ConflictKind::OutdatedFrame => "outdated_frame",
            ConflictKind::FloorStructure => "floor_structure",
            ConflictKind::GridCalibration => "grid_calibration",
            ConflictKind::Order => "order",
        }
    }

    /// How bad it is unless the rules say otherwise.
    fn severity(self) -> Severity {
        match self {
            ConflictKind::Order => Severity::Low,
            ConflictKind::ConcurrentEdit => Severity::Medium,
            ConflictKind::DeleteModify
            | ConflictKind::TypeChange
            | ConflictKind::MovedFloor
            | ConflictKind::DanglingReference => Severity::High,
            ConflictKind::OutdatedFrame | ConflictKind::FloorStructure | ConflictKind::GridCalibration => {
                Severity::Critical
            }
        }
    }
}

/// What is compared and decided as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// What is at a path.
    Node(Path),
    /// Some fields of the object at a path. Their values are written as an object of those that are there.
    Fields {
        /// The object.
        path: Path,
        /// The fields, in the order of the rules.
        fields: SmallVec<[Arc<str>; 4]>,
    },
    /// The order of the list at a path. Its value is the array of the ids.
    Order(Path),
}

impl Unit {
    /// The path of the value, of the object that has the fields, or of the list.
    pub fn path(&self) -> &Path {
        match self {
            Unit::Node(path) | Unit::Fields { path, .. } | Unit::Order(path) => path,
        }
    }

    /// What people call it: its path; of fields that of the first one.
    pub fn name(&self) -> String {
        match self {
            Unit::Node(path) | Unit::Order(path) => path.as_str().to_owned(),
            Unit::Fields { path, fields } => path::join(path.as_str(), fields.first().map_or("", |field| field)),
        }
    }

    /// Whether what is at `path` belongs to this unit.
    pub fn covers(&self, path: &Path) -> bool {
        match self {
            Unit::Node(at) => at.covers(path),
            Unit::Fields { path: at, fields } => path
                .rest(at.as_str())
                .and_then(|rest| path::segments(rest).next())
                .is_some_and(|field| fields.iter().any(|other| **other == *field)),
            Unit::Order(_) => false,
        }
    }
}

/// A pattern of paths: `*` is one segment, `**` any number of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(Path);

impl Pattern {
    /// The pattern that a pointer spells.
    pub fn new(path: Path) -> Self {
        Pattern(path)
    }

    /// Whether a path is among those that it describes.
    pub fn matches(&self, path: &Path) -> bool {
        let (pattern, path): (Vec<_>, Vec<_>) = (self.0.segments().collect(), path.segments().collect());
        // Where the last `**` stood, and how much it has taken: only that one ever needs to take more.
        let (mut p, mut s, mut retry) = (0, 0, None);
        while s < path.len() {
            match pattern.get(p).map(AsRef::as_ref) {
                Some("**") => {
                    retry = Some((p, s));
                    p += 1;
                }
                Some(segment) if segment == "*" || segment == path[s] => (p, s) = (p + 1, s + 1),
                _ => match retry {
                    Some((at, taken)) => {
                        retry = Some((at, taken + 1));
                        (p, s) = (at + 1, taken + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|segment| segment == "**")
    }
}

/// A field that drags others along when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entangled {
    /// The field that changes.
    pub field: Arc<str>,
    /// Its siblings that make no sense without regard to it.
    pub with: Vec<Arc<str>>,
    /// What the conflict is called.
    pub kind: ConflictKind,
}

/// What an operator may decide about conflicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSettings {
    /// Sibling fields that are one value, wherever they are. The first group is the geometry: what an outdated
    /// coordinate frame makes wrong.
    pub groups: Vec<Vec<Arc<str>>>,
    /// Fields that drag others along.
    pub entangled: Vec<Entangled>,
    /// Members of a document that name another one.
    pub references: Vec<Arc<str>>,
    /// How bad two values for one path are; the first pattern that fits decides, otherwise it is MEDIUM.
    pub severities: Vec<(Pattern, Severity)>,
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// The first members of documents that say where a thing is.
const GEOMETRY: [&str; 8] = ["x", "y", "z", "rotation", "footprint", "bbox", "points", "length_m"];

/// What nobody minds losing to the one who came later.
const LOW: [&str; 4] = ["color", "colour", "label", "cursor"];

impl Default for RuleSettings {
    fn default() -> Self {
        let low = LOW.iter().filter_map(|name| Path::parse(&format!("/**/{name}")).ok());
        RuleSettings {
            groups: vec![names(&GEOMETRY)],
            entangled: vec![
                Entangled { field: Arc::from("floor_id"), with: names(&GEOMETRY), kind: ConflictKind::MovedFloor },
                Entangled { field: Arc::from("type"), with: names(&["properties"]), kind: ConflictKind::TypeChange },
            ],
            references: names(&["from", "to", "via"]),
            severities: low.map(|path| (Pattern::new(path), Severity::Low)).collect(),
        }
    }
}

/// The member of a floor's document that holds its grid.
const GRID: &str = "grid";

/// Sibling fields that may become one unit.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) fields: Vec<Arc<str>>,
    /// Groups, as positions in `fields`.
    groups: Vec<Vec<usize>>,
    /// Entanglements: the field that drags, and all that become one with it.
    entangled: Vec<(usize, Vec<usize>, ConflictKind)>,
}

/// Fields of a family that are one unit.
pub(crate) struct Together<'a> {
    pub(crate) fields: SmallVec<[&'a Arc<str>; 8]>,
    /// It is a unit of fields even if it has one only.
    pub(crate) grouped: bool,
    /// What dragged them together.
    pub(crate) kind: Option<ConflictKind>,
}

impl Family {
    /// Whether a field, once it has changed, is never a unit of its own.
    pub(crate) fn is_grouped(&self, field: &str) -> bool {
        let dragging = self.entangled.iter().map(|(dragging, ..)| dragging);
        self.groups.iter().flatten().chain(dragging).any(|at| *self.fields[*at] == *field)
    }

    /// How the fields fall into units when `changed` tells which of them somebody has changed.
    pub(crate) fn units(&self, changed: &dyn Fn(&str) -> bool) -> Vec<Together<'_>> {
        let mut label: SmallVec<[usize; 16]> = (0..self.fields.len()).collect();
        let mut join = |members: &[usize]| {
            for pair in members.windows(2) {
                let (from, to) = (label[pair[1]], label[pair[0]]);
                label.iter_mut().filter(|l| **l == from).for_each(|l| *l = to);
            }
        };
        self.groups.iter().for_each(|group| join(group));
        let dragged = self.entangled.iter().filter(|(field, ..)| changed(&self.fields[*field]));
        let dragged: SmallVec<[_; 2]> = dragged.collect();
        dragged.iter().for_each(|(_, members, _)| join(members));
        let mut units = Vec::new();
        for first in 0..self.fields.len() {
            let members = || (0..self.fields.len()).filter(|at| label[*at] == first);
            if members().next().is_none() {
                continue;
            }
            let kind = dragged.iter().find(|(field, ..)| label[*field] == first).map(|(_, _, kind)| *kind);
            let grouped = kind.is_some() || self.groups.iter().any(|group| label[group[0]] == first);
            units.push(Together { fields: members().map(|at| &self.fields[at]).collect(), grouped, kind });
        }
        units
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        // Everything else is made from them.
        self.settings == other.settings
    }
}

impl Eq for Rules {}

/// The rules in a form that is quick to ask.
#[derive(Clone, Debug)]
pub struct Rules {
    settings: RuleSettings,
    families: Vec<Family>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules::new(RuleSettings::default())
    }
}

impl Rules {
    /// The rules that these settings make. Groups that share a field become one.
    pub fn new(settings: RuleSettings) -> Self {
        let groups = settings.groups.iter().filter(|group| !group.is_empty()).cloned();
        let entangled = settings.entangled.iter().map(|entangled| {
            let mut all = vec![entangled.field.clone()];
            all.extend(entangled.with.iter().cloned());
            all
        });
        let mut families: Vec<Family> = Vec::new();
        for set in groups.chain(entangled) {
            let mut fields = Vec::new();
            families.retain(|family| {
                let apart = family.fields.iter().all(|field| !set.contains(field));
                if !apart {
                    fields.extend(family.fields.iter().cloned());
                }
                apart
            });
            for field in set {
                if !fields.contains(&field) {
                    fields.push(field);
                }
            }
            families.push(Family { fields, groups: Vec::new(), entangled: Vec::new() });
        }
        for family in &mut families {
            let at = |field: &Arc<str>| family.fields.iter().position(|other| other == field);
            let all = |fields: &[Arc<str>]| -> Vec<usize> { fields.iter().filter_map(at).collect() };
            let groups: Vec<_> = settings.groups.iter().map(|group| all(group)).filter(|g| !g.is_empty()).collect();
            let dragging = settings.entangled.iter().filter_map(|entangled| {
                let field = at(&entangled.field)?;
                let mut members = vec![field];
                members.extend(all(&entangled.with));
                Some((field, members, entangled.kind))
            });
            let dragging = dragging.collect();
            (family.groups, family.entangled) = (groups, dragging);
        }
        Rules { settings, families }
    }

    /// What they were made of.
    pub fn settings(&self) -> &RuleSettings {
        &self.settings
    }

    /// The siblings that are one value with this field.
    pub(crate) fn group(&self, field: &str) -> Option<&[Arc<str>]> {
        let groups = self.settings.groups.iter();
        groups.map(Vec::as_slice).find(|group| group.iter().any(|other| **other == *field))
    }

    /// How bad it is when two people want different values for a unit.
    pub fn severity_of_unit(&self, kind: ResourceKind, unit: &Unit) -> Severity {
        self.judge(kind, unit, None, false).1
    }

    pub(crate) fn families(&self) -> &[Family] {
        &self.families
    }

    /// The siblings that may become one unit with a field.
    pub(crate) fn family(&self, field: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.fields.iter().any(|other| **other == *field))
    }

    /// The fields that an outdated coordinate frame makes wrong.
    pub fn geometry(&self) -> &[Arc<str>] {
        self.settings.groups.first().map_or(&[], Vec::as_slice)
    }

    /// What a document refers to: the path of each member that names another one, and the name.
    pub fn references<'a>(&'a self, document: &'a Value) -> impl Iterator<Item = (Path, &'a str)> {
        let named = self.settings.references.iter();
        named.filter_map(|field| Some((Path::root().child(field).ok()?, document.as_map()?.get(field)?.as_text()?)))
    }

    /// What to call a conflict of a unit, and how bad it is. `dragged` is set when fields were dragged together.
    pub(crate) fn judge(
        &self,
        kind: ResourceKind,
        unit: &Unit,
        dragged: Option<ConflictKind>,
        deletion: bool,
    ) -> (ConflictKind, Severity) {
        if kind == ResourceKind::Floor {
            let in_grid = unit.path().segments().next().is_some_and(|first| first == GRID);
            let kind = if in_grid { ConflictKind::GridCalibration } else { ConflictKind::FloorStructure };
            return (kind, kind.severity());
        }
        let kind = match unit {
            Unit::Order(_) => ConflictKind::Order,
            _ if deletion => ConflictKind::DeleteModify,
            _ => dragged.unwrap_or(ConflictKind::ConcurrentEdit),
        };
        let severity = match (kind, unit) {
            (ConflictKind::ConcurrentEdit, Unit::Node(path)) => self.severity_of(path),
            (ConflictKind::ConcurrentEdit, Unit::Fields { path, fields }) => {
                let paths = fields.iter().filter_map(|field| path.child(field).ok());
                paths.map(|path| self.severity_of(&path)).max().unwrap_or(kind.severity())
            }
            _ => kind.severity(),
        };
        (kind, severity)
    }

    fn severity_of(&self, path: &Path) -> Severity {
        let fits = self.settings.severities.iter().find(|(pattern, _)| pattern.matches(path));
        fits.map_or(Severity::Medium, |(_, severity)| *severity)
    }
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_describe_paths() {
        let matches = |pattern: &str, path: &str| {
            Pattern::new(Path::parse(pattern).unwrap()).matches(&Path::parse(path).unwrap())
        };
        for (pattern, path, yes) in [
            ("/**/color", "/color", true),
            ("/**/color", "/a/b/color", true),
            ("/**/color", "/color/a", false),
            ("/**/color/**", "/a/color/a", true),
            ("/*/color", "/color", false),
            ("/*/color", "/a/color", true),
            ("/**/a/**/b", "/x/a/a/y/b", true),
            ("/**/a/**/b", "/x/b/a", false),
            ("", "", true),
            ("", "/a", false),
        ] {
            assert_eq!(matches(pattern, path), yes, "{pattern} {path}");
        }
    }

    #[test]
    fn fields_come_together_when_they_must() {
        let rules = Rules::default();
        let units = |field: &str, changed: &str| -> Vec<usize> {
            let units = rules.family(field).unwrap().units(&|field| field == changed);
            units.iter().map(|unit| unit.fields.len()).collect()
        };
        assert_eq!(units("x", "x"), [8, 1]);
        assert_eq!(units("x", "floor_id"), [9]);
        assert_eq!(units("type", "properties"), [1, 1]);
        assert_eq!(units("type", "type"), [2]);
        assert!(rules.family("name").is_none());
    }

    #[test]
    fn the_table_of_severities() {
        let rules = Rules::default();
        let node = |path: &str| Unit::Node(Path::parse(path).unwrap());
        let judged = |kind, path: &str, deletion| rules.judge(kind, &node(path), None, deletion);
        use ResourceKind::{Floor, Object, Route};
        assert_eq!(judged(Object, "/properties/a/color", false), (ConflictKind::ConcurrentEdit, Severity::Low));
        assert_eq!(judged(Route, "/name", false), (ConflictKind::ConcurrentEdit, Severity::Medium));
        assert_eq!(judged(Object, "", true), (ConflictKind::DeleteModify, Severity::High));
        assert_eq!(judged(Floor, "/label", false), (ConflictKind::FloorStructure, Severity::Critical));
        assert_eq!(judged(Floor, "/grid/origin", false), (ConflictKind::GridCalibration, Severity::Critical));
        let order = Unit::Order(Path::parse("/l").unwrap());
        assert_eq!(rules.judge(Object, &order, None, false), (ConflictKind::Order, Severity::Low));
    }
}
