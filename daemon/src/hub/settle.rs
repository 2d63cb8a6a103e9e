//! Conflicts and documents for those who ask from outside: REST, and operators over the control socket.

use std::collections::HashMap;
use std::sync::Arc;

use arxosrt_core::building::command::{Command, Reply as Said, Resolver, Target};
use arxosrt_core::building::conflict::{Conflict, ConflictId, Kept, Party, SettledBy, Status};
use arxosrt_core::control::conflict::{
    BySeverity, ConflictRow, ConflictStats, DisputedPath, HotPath, ResolvedRow, SettledBy as SettledByRow,
};
use arxosrt_core::edit::change::Change;
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::Unit;
use arxosrt_core::edit::value::Value;
use arxosrt_core::id::{ResourceId, UserId};
use arxosrt_core::wire::code;
use arxosrt_core::wire::inbound::Wanted;
use arxosrt_core::wire::inbound_edit::Resolve;
use arxosrt_core::wire::outbound_edit;
use serde_json::value::RawValue;

use super::answer::send;
use super::ask::{By, CONFLICTS_MAX, ConflictFilter, Refused, Reply, Report};
use super::editing::Found;
use super::fail::Fail;
use super::locking::refusal_words;
use super::operate::{finish, refused_by};
use super::{HostKey, Hub};

/// How many paths the statistics name.
const HOT_PATHS_MAX: usize = 20;

impl Hub {
    /// A resource's document: the building's if it has one, else the origin's.
    pub(super) fn document(&mut self, resource: &ResourceId, reply: Reply<Found>) {
        let Some(placed) = self.place_named(resource) else { return send(reply, Ok(None)) };
        let host = match self.host(&placed.building) {
            Ok(host) => host,
            Err(fail) => return send(reply, Err(fail.into())),
        };
        match self.hosts[host as usize].building.document(resource) {
            Some(view) => {
                let found = view.document.map(|json| (view.version, raw(json)));
                self.reply_committed(reply, Ok(found));
            }
            None => self.ask_origin(placed.building, resource.clone(), reply),
        }
    }

    /// A conflict that the back end has found.
    pub(super) fn report_conflict(&mut self, report: Report, reply: Reply<ConflictId>) {
        let Report { resource, room, users, kind, severity, description } = report;
        let wanted = Wanted { resource: resource.clone(), room };
        let said = self.writable().and_then(|()| {
            let placed = self.place(None, arxosrt_core::lock::LockType::ObjectEdit, &wanted)?;
            let host = self.host(&placed.building)?;
            let parties = users.map(|user| Party { username: self.username(&user), user });
            let target = Target { resource, place: placed.place };
            let command = Command::ReportConflict {
                target,
                parties,
                kind: kind.into(),
                severity,
                description: description.into(),
            };
            match self.run(host, &command) {
                Said::Reported { conflict } => Ok(conflict),
                Said::Refused(refusal) => {
                    let (code, detail) = refusal_words(&refusal);
                    Err(Fail::new(code, detail))
                }
                _ => Err(Fail::new(code::BAD_MESSAGE, "the report led to nothing")),
            }
        });
        self.reply_committed(reply, said.map_err(Refused::from));
    }

    fn username(&self, user: &UserId) -> Arc<str> {
        match self.user_ids.get(user) {
            Some(key) => self.users[*key as usize].username.clone(),
            None => user.as_str().into(),
        }
    }

    /// Conflicts that a filter lets through, the latest first.
    pub(super) fn conflict_rows(&mut self, filter: &ConflictFilter) -> Result<Vec<ConflictRow>, Fail> {
        if let Some(building) = &filter.building {
            self.host(building)?;
        }
        if let Some(placed) = filter.resource.as_ref().and_then(|resource| self.place_named(resource)) {
            self.host(&placed.building)?;
        }
        let mut found: Vec<(HostKey, &Conflict)> = Vec::new();
        for (key, host) in &self.hosts {
            if filter.building.as_ref().is_some_and(|building| *building != host.id) {
                continue;
            }
            let passing = host.building.conflicts().filter(|conflict| passes(filter, conflict));
            found.extend(passing.map(|conflict| (key as HostKey, conflict)));
        }
        found.sort_unstable_by_key(|(_, conflict)| std::cmp::Reverse(conflict.opened.id));
        found.truncate(filter.limit.min(CONFLICTS_MAX));
        Ok(found.into_iter().map(|(host, conflict)| self.conflict_row(host, conflict, filter.paths)).collect())
    }

    /// One conflict with all that is disputed. Unknown and foreign ones are answered alike.
    pub(super) fn conflict_whole(&self, id: ConflictId, of: Option<&UserId>) -> Result<ConflictRow, Fail> {
        let unknown = || Fail::new(code::CONFLICT_NOT_FOUND, format!("there is no conflict {id}, or it is not yours"));
        let host = self.conflicts.host(id).ok_or_else(unknown)?;
        let conflict = self.hosts[host as usize].building.conflict(id).ok_or_else(unknown)?;
        match of {
            Some(user) if !conflict.concerns(user) => Err(unknown()),
            _ => Ok(self.conflict_row(host, conflict, true)),
        }
    }

    fn conflict_row(&self, host: HostKey, conflict: &Conflict, with_paths: bool) -> ConflictRow {
        let opened = &conflict.opened;
        let settled = conflict.settled();
        ConflictRow {
            conflict_id: opened.id.to_string(),
            resource_id: opened.resource.to_string(),
            rooms: opened.rooms.iter().map(ToString::to_string).collect(),
            conflict_type: opened.kind.to_string(),
            severity: opened.severity.as_str().to_owned(),
            status: conflict.status.as_str().to_owned(),
            source: opened.source.as_str().to_owned(),
            user_id_1: opened.first.user.to_string(),
            username_1: opened.first.username.to_string(),
            user_id_2: opened.second.user.to_string(),
            username_2: opened.second.username.to_string(),
            description: opened.description.to_string(),
            created_at: opened.at.to_string(),
            revision: conflict.revision,
            version: opened.version,
            decided_in_ms: self.decided_in_ms(conflict),
            escalated_at: match &conflict.status {
                Status::Escalated { at } => Some(at.to_string()),
                _ => None,
            },
            resolution: settled.map(|settled| settled.word.as_str().to_owned()),
            resolved_by: settled.map(|settled| settled.by.as_str().to_owned()),
            resolved_at: settled.map(|settled| settled.at.to_string()),
            reason: settled.and_then(|settled| match &settled.by {
                SettledBy::Operator(_, reason) => Some(reason.to_string()),
                _ => None,
            }),
            paths: if with_paths { self.disputed(host, conflict) } else { Vec::new() },
        }
    }

    fn disputed(&self, host: HostKey, conflict: &Conflict) -> Vec<DisputedPath> {
        let building = &self.hosts[host as usize].building;
        let json = |value: &Option<Value>| raw(value.as_ref().map_or_else(|| "null".to_owned(), Value::to_json));
        let opened = &conflict.opened;
        let kept = |at: usize| {
            let kept = conflict.settled()?.kept.get(at)?;
            Some(match (kept, opened.user(*kept)) {
                (Kept::Given, _) | (_, None) => "given".to_owned(),
                (_, Some(user)) => user.to_string(),
            })
        };
        let path = |(at, path): (usize, &arxosrt_core::edit::conflict::PathConflict)| DisputedPath {
            path: path.name(),
            fields: match &path.unit {
                Unit::Fields { fields, .. } => fields.iter().map(ToString::to_string).collect(),
                _ => Vec::new(),
            },
            conflict_type: path.kind.as_str().to_owned(),
            severity: path.severity.as_str().to_owned(),
            base: json(&path.base),
            value_1: json(&path.theirs),
            value_2: json(&path.mine),
            current: raw(building.value_at(&opened.resource, &path.unit).unwrap_or_else(|| "null".to_owned())),
            kept: kept(at),
        };
        opened.paths.iter().enumerate().map(path).collect()
    }

    /// Settles a conflict for a person over REST, or for an operator, whose record goes with it.
    pub(super) fn resolve_from_outside(&mut self, resolve: &Resolve, by: By, dry_run: bool, reply: Reply<ResolvedRow>) {
        let command = |by| Command::ResolveConflict {
            conflict: resolve.conflict,
            by,
            revision: resolve.revision,
            resolution: resolve.resolution.clone(),
        };
        if dry_run {
            let would = self.resolver(&by).and_then(|by| self.would(resolve.conflict, &command(by)));
            return self.reply_committed(reply, would.map_err(Refused::from));
        }
        self.settle_from_outside(resolve.conflict, by, command, reply);
    }

    pub(super) fn restore_from_outside(
        &mut self,
        conflict: ConflictId,
        whose: Option<UserId>,
        path: Option<Path>,
        by: By,
        reply: Reply<ResolvedRow>,
    ) {
        let command = |by| Command::RestoreValue { conflict, by, whose: whose.clone(), path: path.clone() };
        self.settle_from_outside(conflict, by, command, reply);
    }

    fn settle_from_outside(
        &mut self,
        conflict: ConflictId,
        by: By,
        command: impl FnOnce(Resolver) -> Command,
        reply: Reply<ResolvedRow>,
    ) {
        let resource = self.resource_of(conflict);
        let done = self.resolver(&by).and_then(|by| self.about_conflict(conflict, &command(by)));
        let done = done.and_then(|said| row_of(conflict, resource, said, false));
        match by {
            By::Person(_) => self.reply_committed(reply, done.map_err(Refused::from)),
            By::Operator(audit) => {
                let asked = done.map_err(Refused::from).map(|row| finish(move |_| row));
                self.conclude(audit, asked, reply);
            }
        }
    }

    /// What a command would do, without doing it.
    fn would(&mut self, conflict: ConflictId, command: &Command) -> Result<ResolvedRow, Fail> {
        let unknown =
            || Fail::new(code::CONFLICT_NOT_FOUND, format!("there is no conflict {conflict}, or it is not yours"));
        let host = self.conflicts.host(conflict).ok_or_else(unknown)?;
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let said = self.hosts[host as usize].building.decide(&facts, command).reply;
        match said {
            Said::Refused(refusal) => {
                let Refused { message, .. } = refused_by(&refusal);
                Err(Fail::new(refusal_words(&refusal).0, message))
            }
            said => row_of(conflict, self.resource_of(conflict), said, true),
        }
    }

    fn resource_of(&self, conflict: ConflictId) -> Option<ResourceId> {
        let host = self.conflicts.host(conflict)?;
        Some(self.hosts[host as usize].building.conflict(conflict)?.opened.resource.clone())
    }

    /// Who settles: a person acts through its latest session, and one that is away may settle too.
    fn resolver(&self, by: &By) -> Result<Resolver, Fail> {
        match by {
            By::Person(user) => {
                let mut actor = self.actor(self.active_session(user)?);
                actor.legacy = true;
                Ok(Resolver::Person(actor))
            }
            By::Operator(audit) => Ok(Resolver::Operator { name: audit.actor.clone(), reason: audit.reason.clone() }),
        }
    }

    /// Figures over the conflicts of all buildings in memory.
    pub(super) fn conflict_stats(&self) -> ConflictStats {
        let mut stats = ConflictStats::default();
        let mut hot: HashMap<(String, String), u64> = HashMap::new();
        let (mut disputes, mut settle_ms) = (0, 0);
        for (_, host) in &self.hosts {
            let tally = host.building.conflict_tally();
            stats.open += host.building.open_conflict_count() as u64;
            stats.escalated += host.building.escalated_count() as u64;
            stats.edits += tally.edits;
            stats.merged += tally.merged;
            stats.restored += tally.restored;
            let [low, medium, high, critical] = tally.opened;
            let BySeverity { low: l, medium: m, high: h, critical: c } = stats.opened;
            stats.opened = BySeverity { low: l + low, medium: m + medium, high: h + high, critical: c + critical };
            let [people, operators, timeout, rules] = tally.settled;
            let SettledByRow { people: p, operators: o, timeout: t, rules: r } = stats.settled;
            stats.settled =
                SettledByRow { people: p + people, operators: o + operators, timeout: t + timeout, rules: r + rules };
            disputes += medium + high + critical;
            settle_ms += tally.settle_ms;
            for conflict in host.building.conflicts() {
                for path in &conflict.opened.paths {
                    *hot.entry((conflict.opened.resource.to_string(), path.name())).or_insert(0) += 1;
                }
            }
        }
        let by_people = stats.settled.people + stats.settled.operators;
        stats.mean_settle_ms = (by_people > 0).then(|| settle_ms / by_people);
        let met = stats.merged + disputes;
        stats.auto_merge_ratio = (met > 0).then(|| stats.merged as f64 / met as f64);
        let mut hot: Vec<HotPath> =
            hot.into_iter().map(|((resource_id, path), conflicts)| HotPath { resource_id, path, conflicts }).collect();
        hot.sort_unstable_by(|a, b| {
            (b.conflicts, &a.resource_id, &a.path).cmp(&(a.conflicts, &b.resource_id, &b.path))
        });
        hot.truncate(HOT_PATHS_MAX);
        stats.hot_paths = hot;
        stats.forecast = self.risk.stats();
        stats
    }
}

fn passes(filter: &ConflictFilter, conflict: &Conflict) -> bool {
    let opened = &conflict.opened;
    let about = |path: &Path| {
        let unit = |unit: &Unit| unit.name() == path.as_str() || path.covers(unit.path()) || unit.covers(path);
        opened.paths.iter().any(|disputed| unit(&disputed.unit))
    };
    filter.of.as_ref().is_none_or(|user| conflict.concerns(user))
        && filter.resource.as_ref().is_none_or(|resource| opened.resource == *resource)
        && filter.severity.is_none_or(|least| opened.severity >= least)
        && filter.path.as_ref().is_none_or(about)
        && (filter.settled || conflict.is_open())
        && filter.before.is_none_or(|before| opened.id < before)
}

fn row_of(conflict: ConflictId, resource: Option<ResourceId>, said: Said, dry_run: bool) -> Result<ResolvedRow, Fail> {
    let Said::Settled { changes, version, .. } = said else {
        return Err(Fail::new(code::BAD_MESSAGE, "the resolution led to nothing"));
    };
    let change = |change: &Change| {
        let mut json = Vec::new();
        outbound_edit::change(&mut json, change);
        raw(String::from_utf8(json).expect("what the wire writes is UTF-8"))
    };
    Ok(ResolvedRow {
        conflict_id: conflict.to_string(),
        resource_id: resource.map(|resource| resource.to_string()).unwrap_or_default(),
        changes: changes.iter().map(change).collect(),
        version,
        dry_run,
    })
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("what a document holds is JSON")
}
