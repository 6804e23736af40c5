//! Opening files whose names other users may have created.
//!
//! Risk: a name in a shared folder may be a FIFO, and opening it waits for ever, or a link to a file elsewhere. So such
//! names are opened without following links and without waiting, and used only when they are regular files.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{Mode, OFlags};

/// The largest file that a setting may name: keys, addresses and bundles of certificates are far smaller.
const NAMED_FILE_BYTES: u64 = 1024 * 1024;

/// Opens an existing regular file for reading.
///
/// # Errors
/// The file system's error; `InvalidInput` for anything but a regular file: a FIFO, a device, a socket, a link, a
/// folder.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open(path, OFlags::NOFOLLOW)
}

/// Opens a folder, through links too.
///
/// # Errors
/// The file system's error; `NotADirectory` for anything else, at once: a FIFO would be waited for.
pub fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// The folder of a file, as it was written.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a small file that a person named in a setting. Links are followed: a mounted secret is one.
///
/// # Errors
/// The file system's error; `InvalidInput` for anything but a regular file, which may never end or never begin, and for one of more than
/// 1 MiB.
pub fn read_named(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = read_beginning(path, NAMED_FILE_BYTES + 1)?;
    match bytes.len() as u64 > NAMED_FILE_BYTES {
        true => Err(io::Error::new(ErrorKind::InvalidInput, "it is larger than 1 MiB")),
        false => Ok(bytes),
    }
}

/// The first bytes of such a file, at most this many.
///
/// # Errors
/// As [`read_named`], but for the size.
pub fn read_beginning(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OFlags::empty())?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path, follow: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | follow;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Err(not_regular()),
        Err(error) => return Err(error.into()),
    };
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular()),
    }
}

/// Whether there is a certificate in a PEM file, as far as its outermost shape tells: a sequence (DER) as long as its head says. The
/// libraries skip a block that is no certificate, and then trust no server.
pub fn holds_certificate(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("-----END CERTIFICATE-----")?.0));
    let der = blocks.filter_map(|block| STANDARD.decode(block.split_whitespace().collect::<String>()).ok());
    der.into_iter().any(|der| match der[..] {
        [0x30, 0x82, high, low, ref content @ ..] => content.len() == usize::from(u16::from_be_bytes([high, low])),
        [0x30, 0x81, length, ref content @ ..] => content.len() == usize::from(length),
        _ => false,
    })
}

fn not_regular() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")
}
