//! Many runs at once: the same date, overlapping dates.

use mongodb::bson::doc;

use super::PATIENCE;
use super::points::lines;
use crate::support::day::Day;
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, QUEUE, seed_day};

const NEXT_DATE: &str = "2026-01-19";
const NEXT_NOW: &str = "2026-01-19T18:00:05+07:00";

#[test]
fn ten_runs_and_ten_retries_at_once_make_one_file() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 30);
    let all: Vec<_> = (0..20).map(|number| if number % 2 == 0 { day.run() } else { day.retry() }.spawn()).collect();
    let mut completed = 0;
    for one in all {
        let ended = one.wait(PATIENCE);
        assert!([0, 10].contains(&ended.code), "{}", ended.report());
        completed += ended.stdout.matches("\"completed\"").count().min(1);
    }
    assert_eq!(completed, 1, "how many say that they did it");
    assert_eq!((day.log().len(), day.live_files().len()), (1, 1));
    assert_eq!(day.rows_with_status("completed"), 30);
    day.check_converged();
}

#[test]
fn overlapping_dates_at_once_export_every_entry_once() {
    for rows in ["10000", "3"] {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 9);
        seed_day(&day.db, NEXT_DATE, 5);
        let both = [(DATE, NEXT_NOW), (NEXT_DATE, NEXT_NOW), (DATE, NEXT_NOW), (NEXT_DATE, NEXT_NOW)]
            .map(|(date, now)| day.command("run").date(date).now(now).args(&["--transaction-rows", rows]).spawn());
        for one in both {
            let ended = one.wait(PATIENCE);
            assert!([0, 10, 23].contains(&ended.code), "{}", ended.report());
        }
        all_in_one_file_each(&day);
    }
}

#[test]
fn of_two_dates_that_read_the_same_rows_one_reads_again() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 9);
    seed_day(&day.db, NEXT_DATE, 5);
    let proxy = Proxy::before(Mongod::shared());
    // Has read the rows of both dates, and is about to commit.
    let stop = proxy.hold(On::command("update").collection("exportbatches"));
    let later = day.command("run").date(NEXT_DATE).now(NEXT_NOW).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    day.run().run().expect_code(0);
    stop.release();
    assert_eq!(later.wait(PATIENCE).expect_code(0).json()["entries"], 5);
    all_in_one_file_each(&day);
}

#[track_caller]
fn all_in_one_file_each(day: &Day) {
    day.check_guarantees();
    day.let_time_pass();
    day.retry().now(NEXT_NOW).run().expect_code(0);
    day.check_converged();
    assert_eq!(day.db.count(QUEUE, doc! { "status": "completed" }), 14);
    assert_eq!(lines(day).len(), 14);
}
