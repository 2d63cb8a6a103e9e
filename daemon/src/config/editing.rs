//! Edits and conflicts: how much is kept, what belongs together, what is how grave, and how long people have.

use std::collections::BTreeMap;
use std::sync::Arc;

use arxosrt_core::building::EditSettings;
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::{Pattern, RuleSettings, Rules, Severity};
use serde::{Deserialize, Serialize};

/// Documents and the edits of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edits {
    /// On how many of a resource's latest versions an edit may build.
    pub versions_max: usize,
    /// How long such a version is kept.
    pub versions_s: u64,
    /// How long an edit's own name is remembered at least.
    pub edit_id_s: u64,
    /// Documents that a building holds.
    pub documents_max: usize,
    /// Bytes of one document, as they are held.
    pub document_bytes_max: usize,
}

/// Conflicts and how they end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conflicts {
    /// How long the two have to settle a conflict.
    pub timeout_s: u64,
    /// The same for single severities; see [`Conflicts::timeout_ms`].
    pub timeout_by_severity: BTreeMap<Severity, u64>,
    /// Open conflicts of a building.
    pub open_max: usize,
    /// Settled conflicts of a building that are kept.
    pub settled_max: usize,
    /// Sibling fields that are one value, each group a text of names; the first is the geometry.
    pub groups: Vec<String>,
    /// Members of a document that name another one.
    pub references: Vec<String>,
    /// Patterns of paths whose conflicts are low.
    pub low: Vec<String>,
    /// Patterns of paths whose conflicts are high.
    pub high: Vec<String>,
    /// Patterns of paths whose conflicts are critical.
    pub critical: Vec<String>,
}

impl Default for Edits {
    fn default() -> Self {
        Edits {
            versions_max: 256,
            versions_s: 900,
            edit_id_s: 7 * 86_400,
            documents_max: 16_384,
            document_bytes_max: 4 << 20,
        }
    }
}

impl Default for Conflicts {
    fn default() -> Self {
        Conflicts {
            timeout_s: 60,
            timeout_by_severity: BTreeMap::new(),
            open_max: 4096,
            settled_max: 1024,
            groups: vec!["x y z rotation footprint bbox points length_m".to_owned()],
            references: ["from", "to", "via"].map(str::to_owned).to_vec(),
            low: ["/**/color", "/**/colour", "/**/label", "/**/cursor"].map(str::to_owned).to_vec(),
            high: Vec::new(),
            critical: Vec::new(),
        }
    }
}

impl Conflicts {
    /// How long the two have to settle a conflict of this severity, in milliseconds.
    pub fn timeout_ms(&self, severity: Severity) -> u64 {
        self.timeout_by_severity.get(&severity).copied().unwrap_or(self.timeout_s) * 1000
    }

    /// The options whose patterns are no paths, each with what is wrong.
    pub fn bad_patterns(&self) -> Vec<(&'static str, String)> {
        let lists =
            [("conflicts.low", &self.low), ("conflicts.high", &self.high), ("conflicts.critical", &self.critical)];
        let wrong = |(option, patterns): (&'static str, &Vec<String>)| {
            let bad = |pattern: &String| Path::parse(pattern).err().map(|error| format!("{pattern:?}: {error}"));
            patterns.iter().find_map(bad).map(|what| (option, what))
        };
        lists.into_iter().filter_map(wrong).collect()
    }

    /// The rules that these options make. What is grave goes before what is not.
    fn rules(&self) -> Rules {
        let mut entangled = RuleSettings::default().entangled;
        let groups: Vec<Vec<Arc<str>>> =
            self.groups.iter().map(|group| group.split_whitespace().map(Arc::from).collect()).collect();
        if let (Some(moved), Some(geometry)) = (entangled.first_mut(), groups.first()) {
            moved.with = geometry.clone();
        }
        let graded = [(&self.critical, Severity::Critical), (&self.high, Severity::High), (&self.low, Severity::Low)];
        let patterns = graded.into_iter().flat_map(|(patterns, severity)| {
            let paths = patterns.iter().filter_map(|pattern| Path::parse(pattern).ok());
            paths.map(move |path| (Pattern::new(path), severity))
        });
        Rules::new(RuleSettings {
            groups,
            entangled,
            references: self.references.iter().map(|name| Arc::from(name.as_str())).collect(),
            severities: patterns.collect(),
        })
    }
}

/// The policy of a building.
pub fn settings(edits: &Edits, conflicts: &Conflicts) -> EditSettings {
    EditSettings {
        rules: conflicts.rules(),
        timeout_ms: Severity::ALL.map(|severity| conflicts.timeout_ms(severity)),
        edit_id_ms: edits.edit_id_s * 1000,
        versions_ms: edits.versions_s * 1000,
        versions_max: edits.versions_max,
        settled_max: conflicts.settled_max,
        open_max: conflicts.open_max,
        resources_max: edits.documents_max,
        document_bytes_max: edits.document_bytes_max,
        ..EditSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_core_s_own() {
        assert_eq!(settings(&Edits::default(), &Conflicts::default()), EditSettings::default());
    }

    #[test]
    fn a_severity_has_its_own_timeout_where_it_is_named() {
        let conflicts =
            Conflicts { timeout_by_severity: BTreeMap::from([(Severity::High, 5)]), ..Conflicts::default() };
        assert_eq!(settings(&Edits::default(), &conflicts).timeout_ms, [60_000, 60_000, 5_000, 60_000]);
    }
}
