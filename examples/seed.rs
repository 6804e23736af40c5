//! The database commands of a trial on one machine without the MongoDB shell: start the replica set, load a day, show
//! documents.
//!
//!     seed URI initiate HOST:PORT       make the server a replica set of one node, and wait until it can be written to
//!     seed URI load FILE DATE           store the entries of a file such as day.json, with their rows in the queue, for that date
//!     seed URI show COLLECTION          print a collection's documents
//!
//! The danger is data that looks unlike the application's: so names and types are those that Mongoose writes, whole numbers as Int32
//! and larger ones as Double. The ids follow from the date and the place in the file: the same day is the same bytes everywhere.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::{Client, Database};
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: seed URI initiate HOST:PORT | load FILE DATE | show COLLECTION";

/// How long a server may take until it can be written to.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A line of the day's file: an approved journal entry.
#[derive(Deserialize)]
struct Line {
    /// Local time of approval in Bangkok, `HH:MM`; it is also when the row is due.
    approved: String,
    /// Days before the date of the file: what an earlier day left behind.
    #[serde(default)]
    days_before: i64,
    account: String,
    contra: String,
    #[serde(rename = "type")]
    side: String,
    /// In satang.
    amount: i64,
    /// In satang.
    #[serde(default)]
    vat: i64,
    category: String,
    voucher: String,
    description: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [uri, command @ ..] = &words[..] else { return Err(USAGE.into()) };
    let client = Client::with_uri_str(uri).await?;
    let database = client.default_database().unwrap_or_else(|| client.database("auto_acct"));
    match command {
        ["initiate", member] => initiate(&client, member).await,
        ["load", file, date] => load(&database, file, date).await,
        ["show", collection] => show(&database, collection).await,
        _ => Err(USAGE.into()),
    }
}

async fn initiate(client: &Client, member: &str) -> Result<()> {
    let admin = client.database("admin");
    let set = doc! {"_id": "trial", "members": [{"_id": 0, "host": member}]};
    let end = Instant::now() + START_TIMEOUT;
    admin.run_command(doc! {"replSetInitiate": set}).await?;
    loop {
        let hello = admin.run_command(doc! {"hello": 1}).await?;
        if hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err("the replica set has no primary after a minute".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn load(database: &Database, file: &str, date: &str) -> Result<()> {
    let lines: Vec<Line> = serde_json::from_slice(&std::fs::read(file)?)?;
    let mut entries = Vec::new();
    let mut rows = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let (entry, row) = documents(line, date, u32::try_from(number)?)?;
        entries.push(entry);
        rows.push(row);
    }
    let index = doc! {"key": {"status": 1, "scheduledFor": 1}, "name": "status_1_scheduledFor_1"};
    database.run_command(doc! {"createIndexes": "exportqueues", "indexes": [index]}).await?;
    database.collection::<Document>("journalentries").insert_many(entries).await?;
    database.collection::<Document>("exportqueues").insert_many(rows).await?;
    println!("{} approved entries are queued for {date}", lines.len());
    Ok(())
}

/// The entry and its row in the queue.
fn documents(line: &Line, date: &str, number: u32) -> Result<(Document, Document)> {
    let midnight = DateTime::parse_rfc3339_str(format!("{date}T00:00:00+07:00"))?;
    let approved = DateTime::parse_rfc3339_str(format!("{date}T{}:00+07:00", line.approved))?;
    let earlier_ms = line.days_before * 86_400_000;
    let dated = DateTime::from_millis(midnight.timestamp_millis() - earlier_ms);
    let approved = DateTime::from_millis(approved.timestamp_millis() - earlier_ms);
    let id = |what: u8| id(midnight, what, number);
    let entry = doc! {
        "_id": id(1)?, "clientId": id(3)?, "date": dated, "accountCode": &line.account, "description": &line.description,
        "amount": number_of_javascript(line.amount), "type": &line.side, "category": &line.category,
        "vatAmount": number_of_javascript(line.vat),
        "metadata": {"crAccount": &line.contra, "drAccount": &line.contra, "voucherNo": &line.voucher},
        "createdBy": "staff@example.com", "approvedBy": "owner@example.com", "status": "approved",
        "createdAt": approved, "updatedAt": approved,
    };
    let row = doc! {
        "_id": id(2)?, "entryId": id(1)?, "exportPath": "scheduled", "status": "queued", "scheduledFor": approved, "attempts": 0,
        "metadata": {"requestedBy": "owner@example.com"}, "createdAt": approved, "updatedAt": approved,
    };
    Ok((entry, row))
}

/// As the application's driver writes a whole number.
fn number_of_javascript(value: i64) -> Bson {
    i32::try_from(value).map_or(Bson::Double(value as f64), Bson::Int32)
}

fn id(midnight: DateTime, what: u8, number: u32) -> Result<ObjectId> {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&u32::try_from(midnight.timestamp_millis() / 1_000)?.to_be_bytes());
    bytes[4] = what;
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Ok(ObjectId::from_bytes(bytes))
}

async fn show(database: &Database, collection: &str) -> Result<()> {
    let mut documents = database.collection::<Document>(collection).find(doc! {}).sort(doc! {"_id": 1}).await?;
    while let Some(document) = documents.try_next().await? {
        // A reader that has seen enough, such as `head`, is no panic.
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&plain(&Bson::Document(document)))?)?;
    }
    Ok(())
}

/// For the eye: dates and ids as text, numbers as numbers.
fn plain(value: &Bson) -> serde_json::Value {
    match value {
        Bson::Document(document) => document.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Bson::Array(values) => values.iter().map(plain).collect(),
        Bson::DateTime(instant) => instant.try_to_rfc3339_string().unwrap_or_default().into(),
        Bson::ObjectId(id) => id.to_hex().into(),
        Bson::String(text) => text.clone().into(),
        Bson::Boolean(value) => (*value).into(),
        Bson::Int32(number) => (*number).into(),
        Bson::Int64(number) => (*number).into(),
        Bson::Double(number) => (*number).into(),
        Bson::Null => serde_json::Value::Null,
        other => other.to_string().into(),
    }
}
