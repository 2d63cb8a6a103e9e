//! Where do the documents that people edit come from, and where do they go?

use std::sync::Arc;

use arxosrt_core::id::{BuildingId, ResourceId};
use tokio::task::spawn_blocking;

use super::directory::Trouble;
use super::documents::{Document, Documents, Kind};
use super::http::HttpDocuments;
use super::write_back::{Report, Stored};

/// The place of documents.
#[derive(Clone, Debug)]
pub enum DocumentStore {
    /// A folder, which blocks.
    Folder(Arc<Documents>),
    /// A service.
    Http(Arc<HttpDocuments>),
}

impl DocumentStore {
    /// Are documents of this kind written there?
    pub fn takes(&self, kind: Kind) -> bool {
        match self {
            DocumentStore::Folder(_) => true,
            DocumentStore::Http(service) => service.takes(kind),
        }
    }

    /// A document, or nothing when there is none.
    pub async fn load(&self, building: &BuildingId, resource: &ResourceId) -> Result<Option<Document>, Trouble> {
        match self {
            DocumentStore::Folder(folder) => {
                let (folder, of, resource) = (folder.clone(), building.clone(), resource.clone());
                spawn_blocking(move || folder.load(&of, &resource)).await.map_err(|_| ended(building))?
            }
            DocumentStore::Http(service) => service.load(building, resource).await,
        }
    }

    /// Writes documents of one building; the reports are in the same order.
    pub async fn store(&self, building: &BuildingId, documents: Vec<Stored>) -> Result<Vec<Report>, Trouble> {
        match self {
            DocumentStore::Folder(folder) => {
                let folder = folder.clone();
                spawn_blocking(move || folder.store(&documents)).await.map_err(|_| ended(building))
            }
            DocumentStore::Http(service) => Ok(service.clone().store(documents).await),
        }
    }
}

fn ended(building: &BuildingId) -> Trouble {
    let what = "what was begun ended early".to_owned();
    Trouble { path: building.as_str().into(), place: None, what }
}
