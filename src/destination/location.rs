//! The location of a destination, in the normal form that is stored with every file id; and other destinations of the
//! same kind.
//!
//! An id is valid only at its own destination. When the settings change between two attempts, the old id is voided, and
//! its file is discarded at the old destination, if the present settings reach it.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use super::directory::{self, Directory};
use super::drive::{self, Drive};
use super::owner::forged;
use super::{Destination, Result};
use crate::batch::FileFacts;
use crate::config::{Config, Target};
use crate::failure::Failure;

const DRIVE: &str = "gdrive://";

impl Target {
    /// Whether it is reached over HTTP.
    pub fn is_remote(&self) -> bool {
        matches!(self, Target::Drive { .. })
    }

    /// How long a check of this destination may take, what it means when it takes longer, and what to do then.
    pub fn if_unanswered(&self) -> (Duration, String, &'static str) {
        match self {
            Target::Directory(path) => (
                Duration::from_secs(20),
                format!("{}: the file system does not answer", path.display()),
                "look at that file system (`df`, `dmesg`), then run `batch-export doctor` again",
            ),
            Target::Drive { .. } => {
                (Duration::from_secs(180), "Google Drive does not answer".to_owned(), Destination::TRY_AGAIN)
            }
        }
    }

    /// An example of the id, link and location of a stored file with this name.
    pub fn example(target: Option<&Target>, name: &str) -> (String, Option<String>, Option<String>) {
        let folder = match target {
            Some(Target::Directory(folder)) => {
                let address = |path: &Path| url::Url::from_file_path(path).ok().map(String::from);
                return (directory::new_id(name), address(&folder.join(name)), address(folder));
            }
            Some(Target::Drive { folder }) => folder,
            None => "folder",
        };
        let id = format!("1{}", uuid::Uuid::new_v4().simple());
        let link = format!("https://drive.google.com/file/d/{id}/view?usp=drivesdk");
        (id, Some(link), Some(format!("{DRIVE}{folder}")))
    }
}

/// A destination that the settings reach.
pub enum Reached<'a> {
    /// The destination that the settings name.
    Here(&'a Destination),
    /// Another one of the same kind.
    There(Destination),
}

impl Deref for Reached<'_> {
    type Target = Destination;

    fn deref(&self) -> &Destination {
        match self {
            Reached::Here(destination) => destination,
            Reached::There(destination) => destination,
        }
    }
}

impl Destination {
    /// What to do when a check does not end.
    pub const TRY_AGAIN: &str = "check the network and Google Drive, then run `batch-export doctor` again";

    /// What becomes of a file in the trash that [`Destination::whereabouts`] finds there.
    pub const TRASH: &str = "where Drive removes it for good after 30 days";

    /// The destination of the settings. Nothing is sent yet.
    ///
    /// # Errors
    /// A configuration failure: none is set, or its credentials cannot be used.
    pub fn open(config: &Config) -> Result<Destination, Failure> {
        match &config.destination {
            None => Err(Failure::configuration("no destination is set")
                .next("set --destination to gdrive://FOLDER_ID or file:///dir")),
            Some(Target::Directory(path)) => {
                Ok(Destination::Directory(Directory::new(path.clone(), config.file_name.clone())))
            }
            Some(Target::Drive { folder }) => {
                let Some(credentials) = &config.credentials else {
                    return Err(Failure::configuration("no credentials are set for Google Drive").next(
                        "set --credentials to the JSON key file of a service account, or run `batch-export auth --client FILE` with an OAuth client, and set it to the file that this writes",
                    ));
                };
                let drive = Drive::new(folder, credentials, &config.drive, &config.proxies)?;
                Ok(Destination::Drive(Box::new(drive)))
            }
        }
    }

    /// Its normal form: `gdrive://FOLDER` or `file:///dir`.
    pub fn location(&self) -> String {
        match self {
            Destination::Directory(directory) => {
                let path = directory.path();
                url::Url::from_file_path(path).map_or_else(|()| path.display().to_string(), String::from)
            }
            Destination::Drive(drive) => format!("{DRIVE}{}", drive.folder()),
        }
    }

    /// The destination with this location; `None` when these settings do not reach it. Without a location it is this
    /// destination.
    pub fn reach(&self, location: Option<&str>) -> Option<Reached<'_>> {
        match location.filter(|location| *location != self.location()) {
            None => Some(Reached::Here(self)),
            Some(other) => match (self.other(other)?, self) {
                (Destination::Directory(other), Destination::Directory(here)) if here.is(other.path()) => {
                    Some(Reached::Here(self))
                }
                (other, _) => Some(Reached::There(other)),
            },
        }
    }

    /// Whether a location is this destination.
    pub fn is_at(&self, location: Option<&str>) -> bool {
        matches!(self.reach(location), Some(Reached::Here(_)))
    }

    /// Another destination of the same kind, with the same credentials.
    fn other(&self, location: &str) -> Option<Destination> {
        match self {
            Destination::Directory(_) => {
                let path = url::Url::parse(location).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()?;
                Some(Destination::Directory(Directory::new(path, None)))
            }
            Destination::Drive(drive) => {
                Some(Destination::Drive(Box::new(drive.in_folder(location.strip_prefix(DRIVE)?))))
            }
        }
    }

    /// Whether the id of a file belongs to this destination. A document of an earlier version names no destination;
    /// there the form of the id decides.
    pub fn owns(&self, file: &FileFacts) -> bool {
        match (&file.destination, self) {
            (Some(location), _) => self.is_at(Some(location)),
            (None, Destination::Directory(_)) => !drive::is_drive_id(&file.id),
            (None, Destination::Drive(_)) => !file.id.contains('#'),
        }
    }

    /// Whether the id of a file names what its document calls it: in a directory, an id decides the name.
    pub fn is_named(&self, file: &FileFacts) -> bool {
        match self {
            Destination::Directory(_) => directory::name_of(&file.id) == file.name,
            Destination::Drive(_) => true,
        }
    }

    /// Checks that the id of a file, from the database where others can write, can be that of this file here.
    ///
    /// # Errors
    /// When it is no id of this kind of destination, or names another file.
    pub fn check_id(&self, file: &FileFacts) -> Result<()> {
        match self {
            Destination::Directory(directory) if self.is_named(file) => directory.file(&file.id).map(drop),
            Destination::Directory(_) => Err(self.forged(&file.id)),
            Destination::Drive(_) => drive::check_id(&file.id),
        }
    }

    /// The refusal of an id in a batch document that somebody edited.
    pub fn forged(&self, id: &str) -> super::DestinationError {
        forged(id, &self.location())
    }

    /// The id in the form in which a list of the destination shows it: in a directory the file name.
    pub fn listed_id<'a>(&self, id: &'a str) -> &'a str {
        match self {
            Destination::Directory(_) => directory::name_of(id),
            Destination::Drive(_) => id,
        }
    }
}
