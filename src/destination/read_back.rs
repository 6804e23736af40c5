//! Reading back what was stored, for `verify` and for the marking of old batches. Changes nothing at the destination.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::{Destination, DestinationError, Listed, Result};
use crate::batch::{BatchId, FileFacts};
use crate::files::open_regular;
use crate::spool::Digesting;

/// How deep, and among how many files, a file is looked for that is not under its own name.
const DEPTH_MAX: usize = 3;
const ENTRIES_MAX: usize = 20_000;

impl Destination {
    /// Writes the content of a file into `sink`. `None` when there is no such file; a file in the trash counts as there.
    ///
    /// # Errors
    /// When the file cannot be read, or when it is not known whether it exists.
    pub async fn read_back(&self, id: &str, sink: &mut (impl Write + Send)) -> Result<Option<u64>> {
        match self {
            Destination::Drive(drive) => drive.download(id, sink).await,
            Destination::Directory(directory) => {
                let path = directory.file(id)?;
                match open_regular(&path) {
                    // What took its name, such as a link or a FIFO, is not the file.
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
                    opened => copy(opened, &path, sink).map(Some),
                }
            }
        }
    }

    /// Where a file of a directory lies that is not under its own name ([`Directory::elsewhere`]). On Drive a file is known by its id wherever
    /// it is.
    pub fn elsewhere(&self, file: &FileFacts) -> Option<PathBuf> {
        match self {
            Destination::Directory(directory) => directory.elsewhere(file),
            Destination::Drive(_) => None,
        }
    }

    /// Whether a path that [`Destination::elsewhere`] found lies in the trash of a desktop or of a network share, which empties itself.
    pub fn is_in_trash(path: &Path) -> bool {
        let names = path
            .parent()
            .into_iter()
            .flat_map(Path::components)
            .map(|part| part.as_os_str().to_string_lossy().to_lowercase());
        let is_trash = |name: &str| {
            name.starts_with(".trash") || name.trim_start_matches(['#', '@', '$', '.']).starts_with("recycle")
        };
        names.into_iter().any(|name| is_trash(&name))
    }

    /// The file at a path within a directory, as [`Destination::elsewhere`] found it. On Drive there is no such path, and nothing is
    /// written.
    pub fn read_path(&self, path: &Path, sink: &mut impl Write) -> Result<()> {
        let Destination::Directory(directory) = self else { return Ok(()) };
        let path = directory.path().join(path);
        copy(open_regular(&path), &path, sink).map(drop)
    }

    /// The files of a batch: on Drive by its mark or name, including those in the trash; in a directory by the
    /// beginning of the name, which also finds copies made by file managers.
    pub async fn files_of(&self, batch: BatchId, name: &str) -> Result<Vec<Listed>> {
        match self {
            Destination::Drive(drive) => drive.list_batch(&batch.to_string(), name).await,
            Destination::Directory(directory) => {
                let folder = directory.path();
                let failed = |error| {
                    DestinationError::rejected(
                        format!("cannot list the directory {}: {error}", folder.display()),
                        "check that it exists and that the user of this job may read it",
                    )
                };
                let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
                let mut found = Vec::new();
                for entry in std::fs::read_dir(folder).map_err(failed)? {
                    let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
                    if name.starts_with(stem) {
                        let owner = directory.owner_of(&name);
                        found.push(Listed {
                            id: name.clone(),
                            irregular: owner.as_ref().is_err_and(|error| error.is_refusal),
                            owner: owner.ok().flatten().unwrap_or_default(),
                            name,
                            ..Listed::default()
                        });
                    }
                }
                Ok(found)
            }
        }
    }
}

impl Directory {
    /// The path, within the directory, of a file with the content of this one, also in a subfolder; `None` when it is under its own name. A
    /// folder that cannot be read is passed over.
    pub(super) fn elsewhere(&self, file: &FileFacts) -> Option<PathBuf> {
        if self.file(&file.id).is_ok_and(|own| has_content(&own, &file.sha256)) {
            return None;
        }
        let mut folders = vec![(self.path().to_owned(), 0)];
        let mut looked = 0;
        while let Some((folder, depth)) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                looked += 1;
                if looked > ENTRIES_MAX {
                    return None;
                }
                let Ok(facts) = entry.metadata() else { continue };
                if facts.is_dir() && depth < DEPTH_MAX {
                    folders.push((entry.path(), depth + 1));
                } else if facts.is_file() && facts.len() == file.bytes && has_content(&entry.path(), &file.sha256) {
                    return entry.path().strip_prefix(self.path()).ok().map(Path::to_owned);
                }
            }
        }
        None
    }
}

fn copy(opened: io::Result<File>, path: &Path, sink: &mut impl Write) -> Result<u64> {
    let read = opened.and_then(|mut file| io::copy(&mut file, sink));
    read.map_err(|error| DestinationError::failed(format!("cannot read {}: {error}", path.display())))
}

fn has_content(path: &Path, sha256: &str) -> bool {
    let mut digest = Digesting::new(io::sink());
    let read = open_regular(path).and_then(|mut file| io::copy(&mut file, &mut digest));
    read.is_ok() && digest.finish().1.sha256 == sha256
}
