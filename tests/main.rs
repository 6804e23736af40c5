//! The integration tests: the real binary against a real mongod and a fake Drive on the wire.

mod format;
