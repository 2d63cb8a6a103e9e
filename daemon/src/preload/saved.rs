//! What was learned, over a restart: one file in the data directory.
//!
//! It begins with a mark and a checksum and is replaced in one step. A file that cannot be read or is not what it should
//! be costs what was learned and nothing else. In it are floors by name, people as hashes, and counts.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use arxosrt_core::preload::snapshot::Snapshot;

/// The file's name in the data directory.
pub const FILE: &str = "preload-model";

/// The largest file that is read or written.
const FILE_BYTES_MAX: usize = 64 << 20;

/// The beginning of each such file.
const MARK: [u8; 4] = *b"arxp";

/// Reads what was saved; nothing if there is nothing.
pub fn load(file: &Path) -> io::Result<Option<Snapshot>> {
    let mut bytes = Vec::new();
    match std::fs::File::open(file) {
        Ok(from) => from.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    if bytes.len() > FILE_BYTES_MAX {
        return Err(bad("it is larger than what is ever written"));
    }
    let (mark, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| bad("it has no beginning"))?;
    let (sum, body) = rest.split_first_chunk::<4>().ok_or_else(|| bad("it has no checksum"))?;
    if *mark != MARK || crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(bad("it is not what was written"));
    }
    postcard::from_bytes(body).map(Some).map_err(|error| bad(&error.to_string()))
}

/// Saves what was learned.
pub fn save(file: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let body = postcard::to_allocvec(snapshot).map_err(io::Error::other)?;
    if body.len() + 2 * MARK.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{} bytes are more than the {FILE_BYTES_MAX} that may be", body.len())));
    }
    let new = file.with_extension("new");
    let mut out = std::fs::File::create(&new)?;
    out.write_all(&MARK)?;
    out.write_all(&crc32fast::hash(&body).to_le_bytes())?;
    out.write_all(&body)?;
    out.sync_all()?;
    std::fs::rename(new, file)
}
