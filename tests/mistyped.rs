//! A mistyped collection or database, on a database with two exported days and one that is due: whatever command is started, nothing is
//! exported twice, nothing gets a second ledger or number, and no row is told to be removed. What is refused names the setting.

use mongodb::bson::doc;

use crate::support::command::BatchExport;
use crate::support::day::{BATCHES, Day, EXPORTED, LOG};
use crate::support::seed::{QUEUE, seed_day};

const NEXT: &str = "2026-01-19";
const EVENING: &str = "2026-01-19T18:10:00+07:00";
const OTHER_DATABASE: &str = "_of_nobody";

/// What a command ends with, and the words that name the setting; no words where the command does not read it.
type Ends = (i32, &'static str);

/// One mistyped setting, and how the commands of [`COMMANDS`] end with it.
struct Mistyped {
    variable: &'static str,
    value: &'static str,
    ends: [Ends; 9],
}

const COMMANDS: [&[&str]; 9] = [
    &["run", "--date", NEXT, "--now"],
    &["retry"],
    &["verify"],
    &["status", "--check"],
    &["doctor"],
    &["init"],
    &["unlock", "--date", "2026-01-18"],
    &["corrections"],
    &["init", "--adopt"],
];

const QUEUE_NAME: &str = "see whether --queue-collection is right";
const ENTRIES_NAME: &str = "--entries-collection";
const LOG_NAME: &str = "see whether --log-collection is right";
const BATCH_NAME: &str = "see whether --batch-collection is right";

const TABLE: [Mistyped; 6] = [
    Mistyped {
        variable: "BATCH_EXPORT_QUEUE_COLLECTION",
        value: "exportqueue",
        ends: [
            (30, QUEUE_NAME),
            (30, QUEUE_NAME),
            (30, QUEUE_NAME),
            (34, QUEUE_NAME),
            (34, QUEUE_NAME),
            (30, QUEUE_NAME),
            (0, ""),
            (30, QUEUE_NAME),
            (30, QUEUE_NAME),
        ],
    },
    Mistyped {
        variable: "BATCH_EXPORT_ENTRIES_COLLECTION",
        value: "journalentry",
        ends: [
            (30, ENTRIES_NAME),
            (30, ENTRIES_NAME),
            (30, ENTRIES_NAME),
            (0, ""),
            (34, ENTRIES_NAME),
            (0, ""),
            (0, ""),
            (30, ENTRIES_NAME),
            (0, ""),
        ],
    },
    Mistyped {
        variable: "BATCH_EXPORT_LOG_COLLECTION",
        value: "exportlog",
        ends: [
            (30, LOG_NAME),
            (30, LOG_NAME),
            (34, LOG_NAME),
            (34, LOG_NAME),
            (34, LOG_NAME),
            (30, LOG_NAME),
            (0, ""),
            (0, ""),
            // A person says that the name is right, and is told what is lost then.
            (0, LOG_NAME),
        ],
    },
    Mistyped {
        variable: "BATCH_EXPORT_BATCH_COLLECTION",
        value: "exportbatch",
        ends: [
            (30, BATCH_NAME),
            (30, BATCH_NAME),
            (34, BATCH_NAME),
            (34, BATCH_NAME),
            (34, BATCH_NAME),
            (30, BATCH_NAME),
            (30, BATCH_NAME),
            (34, BATCH_NAME),
            (30, BATCH_NAME),
        ],
    },
    // Another database is as a new one: what names it is a warning, or a line of the result.
    Mistyped { variable: "MONGODB_DATABASE", value: OTHER_DATABASE, ends: OF_ANOTHER_DATABASE },
    Mistyped { variable: "MONGODB_URI", value: OTHER_DATABASE, ends: OF_ANOTHER_DATABASE },
];

const OF_ANOTHER_DATABASE: [Ends; 9] = [
    (0, "check --mongodb-uri, --database and --queue-collection"),
    (0, "check --mongodb-uri, --database and --queue-collection"),
    (0, "--mongodb-uri and --database"),
    (0, ""),
    (34, "correct --database"),
    (0, OTHER_DATABASE),
    (0, ""),
    (0, ""),
    (0, OTHER_DATABASE),
];

fn with(command: BatchExport, day: &Day, mistyped: &Mistyped) -> BatchExport {
    let Mistyped { variable, value, .. } = *mistyped;
    let other = format!("{}{OTHER_DATABASE}", day.db.name());
    match variable {
        "MONGODB_URI" => {
            command.mongodb(&day.db.uri().replacen(&format!("/{}?", day.db.name()), &format!("/{other}?"), 1))
        }
        "MONGODB_DATABASE" => command.env(variable, &other),
        _ => command.env(variable, value),
    }
}

#[test]
fn a_mistyped_name_is_named_by_every_command_and_does_no_harm() {
    let next_batch = format!("batch_{NEXT}");
    for mistyped in &TABLE {
        let day = Day::in_directory();
        day.command("init").run().expect_code(0);
        for date in ["2026-01-17", "2026-01-18"] {
            seed_day(&day.db, date, 3);
            day.command("run").date(date).now(EVENING).run().expect_code(0);
        }
        seed_day(&day.db, NEXT, 3);
        let (queue, files) = (day.db.find_all(QUEUE, doc! {}), day.live_files());
        let exported =
            || [BATCHES, EXPORTED, LOG].map(|name| day.db.find_all(name, doc! { "_id": { "$ne": &next_batch } }));
        let kept = exported();
        let other = day.db.server().client().database(&format!("{}{OTHER_DATABASE}", day.db.name()));
        for (words, (code, says)) in COMMANDS.iter().zip(mistyped.ends) {
            let command = with(day.command(words[0]).args(&words[1..]), &day, mistyped);
            let ended = command.now(EVENING).args(&["--output", "text"]).run();
            let what = format!("{} {words:?}: {}", mistyped.variable, ended.report());
            assert_eq!(ended.code, code, "{what}");
            let told = format!("{}{}", ended.stdout, ended.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(told.contains(says), "{says:?}: {what}");
            for tale in ["removed_rows", "removed or emptied", "deleted: entry"] {
                assert!(!told.contains(tale), "{tale:?}: {what}");
            }
            // Nothing of the right collections was touched, and none got a ledger.
            assert_eq!(day.db.find_all(QUEUE, doc! {}), queue, "{what}");
            assert_eq!(exported(), kept, "{what}");
            assert_eq!(day.live_files(), files, "{what}");
            assert_eq!(day.db.count(mistyped.value, doc! { "_id": "ledger" }), 0, "{what}");
            // The next command begins anew.
            day.db.block(day.db.collection(mistyped.value).drop()).unwrap();
            day.db.block(other.drop()).unwrap();
            day.db.delete_many(BATCHES, doc! { "_id": &next_batch });
        }
        let right = day.command("run").date(NEXT).now(EVENING).run().expect_code(0).json();
        assert_eq!(right["number"], 3, "{}", mistyped.variable);
        day.command("verify").now(EVENING).run().expect_code(0);
        day.check_converged();
    }
}

/// The names of an application that has names of its own: every command reads them.
#[test]
fn other_names_of_the_collections_are_read_by_every_command() {
    let day = Day::in_directory();
    let names = [("QUEUE", "q"), ("ENTRIES", "e"), ("LOG", "l"), ("BATCH", "b")];
    let command = |words: &[&str]| {
        let command = day.command(words[0]).args(&words[1..]).now(EVENING);
        names.iter().fold(command, |one, (name, own)| one.env(&format!("BATCH_EXPORT_{name}_COLLECTION"), own)).run()
    };
    for date in ["2026-01-18", NEXT] {
        seed_day(&day.db, date, 3);
        for (name, own) in [(QUEUE, "q"), ("journalentries", "e")] {
            day.db.insert_many(own, day.db.find_all(name, doc! {}));
            day.db.delete_many(name, doc! {});
        }
        command(&["init"]).expect_code(0);
        command(&["run", "--date", date]).expect_code(0);
    }
    for words in [&["status", "--check"][..], &["verify"], &["corrections"], &["retry"], &["init"]] {
        command(words).expect_code(0);
    }
    let doctor = command(&["doctor"]).json();
    let of_names = ["index", "collections"].map(|name| {
        let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        check["verdict"].clone()
    });
    assert_eq!(of_names, ["ok", "ok"], "{doctor}");
    let unlocked = command(&["unlock", "--date", "2026-01-10"]).expect_code(0).stdout;
    assert!(unlocked.contains("there is no batch_2026-01-10 yet"), "{unlocked}");
    day.db.delete_many("b", doc! { "_id": "batch_2026-01-18" });
    for words in [&["status", "--check"][..], &["verify"], &["corrections"]] {
        let told = command(words).expect_code(34).stdout;
        assert!(told.contains("batch_2026-01-18") && told.contains("`batch-export init --adopt`"), "{told}");
    }
    let unlocked = command(&["unlock", "--date", "2026-01-18"]).expect_code(30).stdout;
    assert!(unlocked.contains("lost: batch_2026-01-18"), "{unlocked}");
}
