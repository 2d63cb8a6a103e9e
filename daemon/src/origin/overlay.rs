//! How does what people agreed on go before what the origin says?
//!
//! The hub is asked first and the origin read afterwards: a document that is written in between is in both, one that is
//! in neither does not exist. What the hub knows is as of the moment it was asked. What is edited later is told to the
//! cache as a change, so a value that was made here is never older than the cache takes it to be.
//!
//! A floor nobody has edited costs one short question and no look into its text.

use std::collections::HashMap;
use std::ops::Bound;

use arxosrt_core::edit::rules::ResourceKind;
use arxosrt_core::id::{BuildingId, RoomId};

use super::documents::Kind;
use super::elements::{Edit, Elements};
use super::fetch::FetchError;
use crate::hub::ask::{Ask, HubHandle, Standing, Unwritten};

/// What the origin has not got yet, as far as it concerns one floor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    rows: Vec<Unwritten>,
}

impl Overlay {
    /// Asks the hub.
    pub async fn of(hub: &HubHandle, building: &BuildingId, floor: &RoomId) -> Result<Overlay, FetchError> {
        let mut rows = Vec::new();
        let mut from = Bound::Unbounded;
        loop {
            let ask = |reply| Ask::Unwritten { building: building.clone(), floor: floor.clone(), from, reply };
            let answered = hub.ask(ask).await.map_err(|_| FetchError::Unavailable("the daemon ends".to_owned()))?;
            let page = answered.map_err(|refused| FetchError::Unavailable(refused.message))?;
            rows.extend(page.rows);
            match rows.last() {
                Some(last) if page.more => from = Bound::Excluded(last.resource.clone()),
                _ => return Ok(Overlay { rows }),
            }
        }
    }

    /// With these rows.
    #[cfg(test)]
    pub fn new(rows: Vec<Unwritten>) -> Overlay {
        Overlay { rows }
    }

    /// What has become of the floor itself, if that is not written yet.
    pub fn floor(&self, floor: &RoomId) -> Option<&Standing> {
        let is_it = |row: &&Unwritten| row.kind == ResourceKind::Floor && row.resource.as_str() == floor.as_str();
        self.rows.iter().find(is_it).map(|row| &row.is)
    }

    /// Is there nothing that could change a list of such things?
    pub fn is_empty_for(&self, kind: Kind) -> bool {
        !self.rows.iter().any(|row| is_of(row, kind))
    }

    /// A floor's list of objects or routes as people agreed on it; none when nothing is there and nothing was.
    pub fn list(&self, kind: Kind, elements: Option<&Elements>) -> serde_json::Result<Option<String>> {
        let mut edits: HashMap<&str, Edit> = HashMap::new();
        for row in self.rows.iter().filter(|row| is_of(row, kind)) {
            let id = row.resource.as_str();
            match &row.is {
                Standing::Here(text) => drop(edits.insert(id, Edit::Put(text.to_string()))),
                Standing::Elsewhere | Standing::Deleted => {
                    if elements.is_some_and(|elements| elements.get(id).is_some()) {
                        edits.insert(id, Edit::Take);
                    }
                }
            }
        }
        match elements {
            Some(elements) if edits.is_empty() => Ok(Some(elements.text().to_owned())),
            Some(elements) => elements.edited(&edits).map(Some),
            None if edits.is_empty() => Ok(None),
            None => Elements::none().edited(&edits).map(Some),
        }
    }
}

/// Would the document be in a file of such things?
fn is_of(row: &Unwritten, kind: Kind) -> bool {
    let is = match row.kind {
        ResourceKind::Object => Kind::Object,
        ResourceKind::Route => Kind::Route,
        ResourceKind::Floor => Kind::Floor,
    };
    is == kind
}

#[cfg(test)]
mod tests {
    use arxosrt_core::id::ResourceId;

    use super::*;

    fn row(id: &str, kind: ResourceKind, is: Standing) -> Unwritten {
        Unwritten { resource: ResourceId::new(id).unwrap(), kind, version: 2, is }
    }

    #[test]
    fn things_are_replaced_added_and_taken_and_the_rest_keeps_its_bytes() {
        use ResourceKind::{Object, Route};
        let file =
            "[\n  {\"id\": \"a\",  \"n\": 1.50},\n  {\"id\": \"b\"},\n  {\"id\": \"c\"},\n  {\"id\": \"r\"}\n]\n";
        let elements = Elements::read(file.to_owned()).unwrap();
        let here = |text: &str| Standing::Here(text.into());
        let overlay = Overlay::new(vec![
            row("b", Object, here(r#"{"id":"b","n":2}"#)),
            row("c", Object, Standing::Elsewhere),
            row("d", Object, here(r#"{"id":"d"}"#)),
            row("e", Object, Standing::Deleted),
            row("r", Route, Standing::Deleted),
        ]);
        let then = "[\n  {\"id\": \"a\",  \"n\": 1.50},\n  {\"id\": \"b\", \"n\": 2},\n  {\"id\": \"r\"},\n  {\"id\": \"d\"}\n]\n";
        assert_eq!(overlay.list(Kind::Object, Some(&elements)).unwrap().as_deref(), Some(then));
        let only_elsewhere = Overlay::new(vec![row("x", Object, Standing::Elsewhere)]);
        assert_eq!(only_elsewhere.list(Kind::Object, Some(&elements)).unwrap().as_deref(), Some(file));
        assert_eq!(only_elsewhere.list(Kind::Object, None).unwrap(), None, "a file that is not there");
        assert_eq!(overlay.list(Kind::Object, None).unwrap().map(|text| text.contains("\"d\"")), Some(true));
        assert!(only_elsewhere.is_empty_for(Kind::Route) && !overlay.is_empty_for(Kind::Route));
    }
}
