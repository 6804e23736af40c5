//! A copy that has the checksum of a file of another day than the one that was asked for.

use mongodb::bson::doc;
use sha2::{Digest, Sha256};

use super::super::text;
use super::{Desk, of_any_day};
use crate::support::command::said;
use crate::support::day::{BATCH, BATCHES};
use crate::support::seed::{DATE, seed_day};

#[test]
fn a_file_of_another_day_than_the_asked_one_is_told_in_one_finding() {
    let desk = Desk::journal();
    let other = "2026-01-19";
    seed_day(&desk.day.db, other, 4);
    desk.day.command("run").date(other).now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    let told = |asked: &str, bytes: &[u8]| {
        let result = of_any_day(&desk, "import.csv", bytes, &["--date", asked]);
        assert_eq!((&result["exit_code"], &result["file"]["differing"]), (&34.into(), &0.into()), "{result}");
        assert_eq!(
            (&result["problem_count"], &result["problems"][0]["batch"]),
            (&1.into(), &format!("batch_{asked}").into())
        );
        (text(&result["file"]["verdict"]), text(&result["problems"][0]["kind"]), said(&result["problems"][0]))
    };
    // The second date has no batch.
    for asked in [other, "2026-01-17"] {
        let message = format!(
            "this is the official file of {BATCH} (number 1), not of batch_{asked}; if it was imported for that one, the file of \
             batch_{asked} is still to be imported"
        );
        assert_eq!(told(asked, &desk.official), ("different".into(), "different_copy".into(), message));
    }
    let given_up = desk.changed(|text| text.replace("rent", "old rent"));
    let sha256 = hex::encode(Sha256::digest(&given_up));
    let voided = doc! { "id": "idX", "sha256": sha256, "reason": "entries changed under it", "trashed": true };
    desk.day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$push": { "voided": voided } });
    for asked in [other, "2026-01-17"] {
        let (verdict, kind, message) = told(asked, given_up.as_bytes());
        assert_eq!((&*verdict, &*kind), ("voided", "voided_copy"));
        let says = format!("this is file idX of {BATCH} (number 1), not of batch_{asked}, which was voided");
        assert!(message.contains(&says), "{message}");
    }
    // Asked for its own day, it is what it was.
    assert_eq!(of_any_day(&desk, "import.csv", &desk.official, &["--date", DATE])["file"]["verdict"], "same");
}
