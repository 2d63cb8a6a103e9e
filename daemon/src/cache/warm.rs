//! What was hot before the last stop?
//!
//! The names of the values that people used are saved, at the stop and every few minutes, and loaded again after the
//! start: a few at a time, at the back of the origin's queue. Names only, never values, and none of sensitive
//! strategies. A file that cannot be read costs warmth and nothing else.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arxosrt_core::cache::{Cursor, EntryId, Filter, Place};
use tokio_util::sync::CancellationToken;

use super::loads::Preloaded;
use super::service::Cache;

/// The file's name in the data directory.
pub const FILE: &str = "cache-hot";

/// How many names are saved.
const KEYS_MAX: usize = 10_000;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// How often they are saved.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// How many entries are looked at without letting others at the shard.
const PAGE: usize = 256;

/// The names of what is hot, and the file that they are in between a stop and a start.
pub struct Hot {
    cache: Cache,
    file: PathBuf,
    /// What the file named is in the cache, as far as it can be: before that, saving would forget it.
    is_warm: AtomicBool,
}

impl Hot {
    /// In this folder.
    pub fn new(cache: Cache, folder: &Path) -> Hot {
        Hot { cache, file: folder.join(FILE), is_warm: AtomicBool::new(false) }
    }

    /// Loads what was hot, and saves what is every few minutes, until `stop`.
    pub async fn keep(&self, stop: &CancellationToken) {
        if stop.run_until_cancelled(self.warm()).await.is_none() {
            return;
        }
        while stop.run_until_cancelled(tokio::time::sleep(SAVE_EVERY)).await.is_some() {
            self.save();
        }
    }

    /// What the file names, for whoever loads it otherwise: strategies by name.
    pub fn names(&self) -> io::Result<Vec<(Box<str>, EntryId)>> {
        let named = |line: &str| {
            let (strategy, id) = line.split_once('\t')?;
            Some((strategy.into(), EntryId::new(id).ok()?))
        };
        Ok(read(&self.file)?.lines().take(KEYS_MAX).filter_map(named).collect())
    }

    /// Loads what the file names.
    pub async fn warm(&self) {
        match read(&self.file) {
            Ok(names) => self.load(&names).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let file = self.file.display();
                tracing::warn!(%file, %error, "what was hot is not known; the cache starts cold");
            }
        }
        self.is_warm.store(true, Ordering::Relaxed);
    }

    async fn load(&self, names: &str) {
        let mut loaded = 0_usize;
        for line in names.lines().take(KEYS_MAX) {
            let Some((strategy, id)) = line.split_once('\t') else { continue };
            let Some(strategy) = self.cache.strategies().find(strategy) else { continue };
            let Ok(id) = EntryId::new(id) else { continue };
            if matches!(self.cache.preload(strategy, &id, None, true).await, Preloaded::Loaded { .. }) {
                loaded += 1;
            }
        }
        tracing::info!(loaded, "what was hot before the last stop is in the cache again");
    }

    /// Saves the names of what is hot.
    pub fn save(&self) {
        if !self.is_warm.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = replace(&self.file, hot_names(&self.cache).as_bytes()) {
            let file = self.file.display();
            tracing::warn!(%file, %error, "what is hot cannot be saved; the next start will be cold");
        }
    }
}

/// One line for each: the strategy's name, a tab, the id, which holds no control characters.
pub(super) fn hot_names(cache: &Cache) -> String {
    let (mut lines, mut count, mut from) = (String::new(), 0, Some(Cursor::default()));
    while let Some(at) = from
        && count < KEYS_MAX
    {
        let (page, next) = cache.list(at, PAGE, &Filter::default());
        for entry in page {
            let strategy = cache.strategies().get(entry.key.strategy);
            let is_hot = entry.place == Place::Main || entry.uses > 0;
            if is_hot && entry.is_current && !entry.is_negative && !strategy.is_sensitive && count < KEYS_MAX {
                lines.push_str(&format!("{}\t{}\n", strategy.name, entry.key.id));
                count += 1;
            }
        }
        from = next;
    }
    lines
}

fn read(file: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// In one step, so that a stop in the middle leaves the old file.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut out = std::fs::File::create(&new)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    std::fs::rename(new, file)
}
