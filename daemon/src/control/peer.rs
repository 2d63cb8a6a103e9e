//! Who is the peer of a control connection, and what may it do?
//!
//! The kernel says who connected (uid, gid, groups, pid, all as of the connect); the configuration says what that is
//! worth. In order: root and the daemon's own user are `admin`; members of `admin_groups` are; members of
//! `operate_groups` are `operate`; everybody else has the default role. `via` says which of these applied, because "why
//! am I not allowed" is the question that follows.
//!
//! Names are looked up in `/etc/passwd` and `/etc/group`, read once at start: a directory service is never asked, it
//! may block. Groups that live only there are configured by number.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use arxosrt_core::control::hello::{Peer, Role};
use tokio::net::UnixStream;

use super::ControlSettings;
use super::sys;

/// What the kernel shows for ids that our user namespace does not map.
const OVERFLOW_ID: u32 = 65_534;

/// The largest account file that is read.
const ACCOUNTS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The kernel's word about a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Effective uid.
    pub uid: u32,
    /// Effective gid, which is not among `groups`.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The process, or 0.
    pub pid: i32,
}

impl Credentials {
    /// Of the peer of a connected socket.
    pub fn of(socket: &UnixStream) -> io::Result<Self> {
        let cred = socket.peer_cred()?;
        Ok(Credentials {
            uid: cred.uid(),
            gid: cred.gid(),
            groups: sys::peer_groups(socket.as_fd())?,
            pid: cred.pid().unwrap_or(0),
        })
    }

    fn is_member(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// The configured roles with all names resolved.
#[derive(Clone, Debug)]
pub struct Roles {
    /// Root and the daemon's own user, each with what `via` says.
    owners: Vec<(u32, &'static str)>,
    admin: Vec<Group>,
    operate: Vec<Group>,
    default_role: Role,
    users: HashMap<u32, String>,
    /// Unmapped ids look like [`OVERFLOW_ID`] here, so that number says nothing about who it is.
    ids_are_mapped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    /// Absent when `/etc/group` does not know the name: then nobody is a member.
    gid: Option<u32>,
}

/// The names among these that are neither numbers nor in `/etc/group`.
pub fn unknown_groups(names: &[String]) -> Vec<String> {
    let text = read_bounded(Path::new("/etc/group"));
    let known: HashMap<&str, u32> = entries(&text).collect();
    let is_unknown = |name: &&String| name.parse::<u32>().is_err() && !known.contains_key(name.as_str());
    names.iter().filter(is_unknown).cloned().collect()
}

impl Roles {
    /// Resolves the configured names with this machine's accounts.
    pub fn resolve(settings: &ControlSettings) -> Self {
        let id_map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let roles = Self::from_parts(
            settings,
            sys::own_uid(),
            &read_bounded(Path::new("/etc/passwd")),
            &read_bounded(Path::new("/etc/group")),
            is_partial_map(&id_map),
        );
        for group in roles.admin.iter().chain(&roles.operate) {
            if group.gid.is_none() {
                tracing::debug!(group = group.name, "no such group in /etc/group: nobody gets a control role by it");
            }
        }
        roles
    }

    fn from_parts(settings: &ControlSettings, own_uid: u32, passwd: &str, group: &str, ids_are_mapped: bool) -> Self {
        let groups: HashMap<&str, u32> = entries(group).collect();
        let resolve = |names: &[String]| -> Vec<Group> {
            names
                .iter()
                .map(|name| Group {
                    name: name.clone(),
                    gid: name.parse().ok().or_else(|| groups.get(name.as_str()).copied()),
                })
                .collect()
        };
        let mut users = HashMap::new();
        for (name, uid) in entries(passwd) {
            // Several names may share a uid; the first one is the one that `ls` shows.
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
        Roles {
            owners: vec![(0, "uid 0"), (own_uid, "the daemon's own uid")],
            admin: resolve(&settings.admin_groups),
            operate: resolve(&settings.operate_groups),
            default_role: settings.default_role.min(Role::View),
            users,
            ids_are_mapped,
        }
    }

    /// Everybody has this role, and nobody owns the daemon.
    #[cfg(test)]
    pub fn always(role: Role) -> Self {
        Roles {
            owners: Vec::new(),
            admin: Vec::new(),
            operate: Vec::new(),
            default_role: role,
            users: HashMap::new(),
            ids_are_mapped: false,
        }
    }

    /// What these credentials are worth.
    pub fn of(&self, who: Credentials) -> Peer {
        let (role, via) = self.judge(&who);
        Peer {
            user: self.users.get(&who.uid).cloned(),
            uid: who.uid,
            gid: who.gid,
            groups: who.groups,
            pid: who.pid,
            role,
            via,
        }
    }

    /// Root or the daemon's own user: they may use the reserved connections.
    pub fn is_owner(&self, who: &Credentials) -> bool {
        self.owners.iter().any(|(uid, _)| *uid == who.uid)
    }

    /// Whom to ask for a role, in words that can be acted on.
    pub fn advice(&self, needed: Role) -> String {
        let mut names: Vec<&str> = self.admin.iter().map(|group| group.name.as_str()).collect();
        if needed <= Role::Operate {
            names.extend(self.operate.iter().map(|group| group.name.as_str()));
        }
        if names.is_empty() {
            return "only root and the daemon's own user may do this: no group is configured".into();
        }
        format!(
            "members of {} may do this; a new membership counts from the next login on (`arxosrt whoami` shows yours)",
            names.join(" or ")
        )
    }

    fn judge(&self, who: &Credentials) -> (Role, String) {
        if self.ids_are_mapped && who.uid == OVERFLOW_ID {
            let via = "uid 65534 in a user namespace: the daemon cannot tell users apart (PrivateUsers=?)";
            return (Role::None, via.into());
        }
        if let Some((_, via)) = self.owners.iter().find(|(uid, _)| *uid == who.uid) {
            return (Role::Admin, (*via).into());
        }
        for (groups, role) in [(&self.admin, Role::Admin), (&self.operate, Role::Operate)] {
            for group in groups {
                let Some(gid) = group.gid else { continue };
                if who.is_member(gid) && !(self.ids_are_mapped && gid == OVERFLOW_ID) {
                    return (role, format!("group {}", group.name));
                }
            }
        }
        (self.default_role, "default".into())
    }
}

/// Name and number of each line `name:password:number:…`.
fn entries(file: &str) -> impl Iterator<Item = (&str, u32)> {
    file.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((name, number))
    })
}

/// Some ids of the machine are unknown in our user namespace.
fn is_partial_map(uid_map: &str) -> bool {
    let mut fields = uid_map.split_whitespace();
    let whole = [fields.next(), fields.next(), fields.next()] == [Some("0"), Some("0"), Some("4294967295")];
    !uid_map.trim().is_empty() && !whole
}

/// The file's text; empty when there is none, or when it is larger than any account file of ours should be.
fn read_bounded(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() <= ACCOUNTS_BYTES_MAX => std::fs::read_to_string(path).unwrap_or_default(),
        Ok(meta) => {
            tracing::warn!(path = %path.display(), bytes = meta.len(), max = ACCOUNTS_BYTES_MAX, "file is too large: names in it are unknown");
            String::new()
        }
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n# note\nbroken\n";
    const GROUP: &str = "root:x:0:\nrt-admin:x:400:alice\nrt-op:x:401:\n+::0:\n";

    fn roles(default_role: Role, ids_are_mapped: bool) -> Roles {
        let settings = ControlSettings {
            admin_groups: vec!["rt-admin".into(), "missing".into(), "500".into()],
            operate_groups: vec!["rt-op".into()],
            default_role,
        };
        Roles::from_parts(&settings, 812, PASSWD, GROUP, ids_are_mapped)
    }

    fn who(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        Credentials { uid, gid, groups: groups.to_vec(), pid: 1 }
    }

    #[test]
    fn the_first_rule_that_applies_gives_the_role() {
        let roles = roles(Role::View, false);
        for (who, role, via) in [
            (who(0, 5, &[]), Role::Admin, "uid 0"),
            (who(812, 5, &[]), Role::Admin, "the daemon's own uid"),
            (who(1000, 1000, &[7, 400]), Role::Admin, "group rt-admin"),
            (who(1000, 400, &[]), Role::Admin, "group rt-admin"),
            (who(1000, 1000, &[500]), Role::Admin, "group 500"),
            (who(1000, 1000, &[401, 400]), Role::Admin, "group rt-admin"),
            (who(1000, 1000, &[401]), Role::Operate, "group rt-op"),
            (who(1000, 1000, &[]), Role::View, "default"),
        ] {
            let peer = roles.of(who.clone());
            assert_eq!((peer.role, peer.via.as_str()), (role, via), "{who:?}");
        }
        assert_eq!(roles.of(who(1000, 1, &[])).actor(), "uid 1000 (alice)");
        assert_eq!(roles.of(who(1001, 1, &[])).actor(), "uid 1001");
    }

    #[test]
    fn the_default_role_never_exceeds_view() {
        assert_eq!(roles(Role::None, false).of(who(1, 1, &[])).role, Role::None);
        assert_eq!(roles(Role::Admin, false).of(who(1, 1, &[])).role, Role::View);
    }

    #[test]
    fn unmapped_ids_of_a_user_namespace_are_worth_nothing() {
        let mapped = roles(Role::View, true);
        assert_eq!(mapped.of(who(65_534, 400, &[400])).role, Role::None);
        assert_eq!(roles(Role::View, false).of(who(65_534, 1, &[])).role, Role::View);
        assert!(!is_partial_map("         0          0 4294967295\n"));
        assert!(is_partial_map("         0       1000          1\n"));
        assert!(!is_partial_map(""));
    }

    #[test]
    fn advice_names_the_groups_that_help() {
        let roles = roles(Role::View, false);
        assert!(roles.advice(Role::Admin).starts_with("members of rt-admin or missing or 500 may"));
        assert!(roles.advice(Role::Operate).contains("rt-op"));
    }
}
