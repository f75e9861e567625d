//! How far the output of a service is in its log, so that a supervisor that follows a killed one
//! goes on exactly there.
//!
//! Written with one system call of a few bytes, which a kill cannot split. What stands in the log
//! beyond the bookmark was being written when the kill came: it is cut off and written again from the
//! spools, whose bytes are all still there. Since a record's length does not depend on when it is
//! written, whoever follows the log meanwhile sees nothing of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// `bbmark01`
const MAGIC: u64 = u64::from_be_bytes(*b"bbmark01");

const FIELDS: usize = 7;

/// What a bookmark tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// The log's inode; 0 before there was one.
    pub(super) inode: u64,
    /// How long the log is.
    pub(super) length: u64,
    /// Generation and offset of the spool of each stream.
    pub(super) spools: [(u64, u64); 2],
}

/// The file.
#[derive(Debug)]
pub(super) struct Bookmark(Option<File>);

impl Bookmark {
    /// Opens it, and tells the place where an earlier supervisor stood. Without a file that can be
    /// written there is no bookmark, and a kill may lose or double the output of an instant.
    pub(super) fn open(path: &Path) -> (Self, Place) {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let Ok(file) = opened else {
            return (Self(None), Place::default());
        };
        let place = read(&file).unwrap_or_default();
        (Self(Some(file)), place)
    }

    /// Sets it.
    pub(super) fn set(&self, place: &Place) -> io::Result<()> {
        let Some(file) = &self.0 else { return Ok(()) };
        let [(out_generation, out_offset), (err_generation, err_offset)] = place.spools;
        let fields: [u64; FIELDS] = [
            MAGIC,
            place.inode,
            place.length,
            out_generation,
            out_offset,
            err_generation,
            err_offset,
        ];
        let bytes: Vec<u8> = fields
            .iter()
            .flat_map(|field| field.to_ne_bytes())
            .collect();
        file.write_all_at(&bytes, 0)
    }
}

fn read(file: &File) -> Option<Place> {
    let mut bytes = [0; FIELDS * 8];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let mut fields = [0_u64; FIELDS];
    for (field, bytes) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
        *field = u64::from_ne_bytes(bytes.try_into().ok()?);
    }
    let [
        magic,
        inode,
        length,
        out_generation,
        out_offset,
        err_generation,
        err_offset,
    ] = fields;
    (magic == MAGIC).then_some(Place {
        inode,
        length,
        spools: [(out_generation, out_offset), (err_generation, err_offset)],
    })
}
