//! A database that takes a command and does not answer: a lost majority, a locked server, a transaction that nobody ends.

use std::time::Duration;

use crate::support::command::told;
use crate::support::day::Day;
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, seed_day};

#[test]
fn a_server_that_does_not_answer_is_told_with_what_keeps_servers_from_answering() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let late = proxy.delay(On::command("findAndModify"), Duration::from_secs(60));
    let ended = day.run().spawn().wait(Duration::from_secs(180)).expect_code(20);
    let told = told(&ended.json()["error"]);
    for cause in ["no answer within 30s", "majority", "fsyncLock", "transaction"] {
        assert!(told.contains(cause), "{cause:?} is not in {told}");
    }
    assert_eq!(late.times(), 1);
}
