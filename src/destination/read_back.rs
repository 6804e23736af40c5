//! Reading back what was stored, for `verify`. Changes nothing at the destination.

use std::io::{ErrorKind, Write};

use super::drive::Listed;
use super::{Destination, DestinationError};
use crate::batch::BatchId;
use crate::files::open_regular;

impl Destination {
    /// Writes the content of a file into `sink`. `None` when there is no such file; a file in the trash counts as there.
    ///
    /// # Errors
    /// When the file cannot be read, or when it is not known whether it exists.
    pub async fn read_back(&self, id: &str, sink: &mut (impl Write + Send)) -> Result<Option<u64>, DestinationError> {
        match self {
            Destination::Drive(drive) => drive.download(id, sink).await,
            Destination::Directory(directory) => {
                let path = directory.file(id)?;
                let failed = |error| DestinationError::Failed(format!("cannot read {}: {error}", path.display()));
                match open_regular(&path) {
                    Ok(mut file) => std::io::copy(&mut file, sink).map(Some).map_err(failed),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(failed(error)),
                }
            }
        }
    }

    /// The files of a batch: on Drive by its mark or name, including those in the trash; in a directory by the
    /// beginning of the name, which also finds copies made by file managers.
    ///
    /// # Errors
    /// When the destination cannot be read.
    pub async fn files_of(&self, batch: BatchId, name: &str) -> Result<Vec<Listed>, DestinationError> {
        match self {
            Destination::Drive(drive) => drive.list_batch(&batch.to_string(), name).await,
            Destination::Directory(directory) => {
                let folder = directory.path();
                let failed = |error| DestinationError::Rejected {
                    message: format!("cannot list the directory {}: {error}", folder.display()),
                    next: "check that it exists and that the user of this job may read it".to_owned(),
                };
                let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
                let mut found = Vec::new();
                for entry in std::fs::read_dir(folder).map_err(failed)? {
                    let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
                    if name.starts_with(stem) {
                        found.push(Listed {
                            id: name.clone(),
                            name: name.clone(),
                            trashed: false,
                            sha256: None,
                            bytes: None,
                            link: None,
                            created: None,
                            owner: directory.owner_of(&name).ok().flatten().unwrap_or_default(),
                        });
                    }
                }
                Ok(found)
            }
        }
    }
}
