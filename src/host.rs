//! The name of the machine that the program runs on.

/// The host name, for records that tell who did something.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
