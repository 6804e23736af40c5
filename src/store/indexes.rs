//! The indexes that the program needs, and no others: each further index on `status` slows the commit by a third.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Collation, IndexOptions};
use mongodb::results::CollectionSpecification;
use mongodb::{Collection, IndexModel};

use super::Store;
use super::error::{Kind, Result, StoreError, on};

/// Error code of a collection that exists already.
const NAMESPACE_EXISTS: i32 = 48;

/// The lists in a batch document. No index takes two of them, and no hashed one takes any.
const LISTS: [&str; 3] = ["history", "refused", "voided"];

/// How the query for due rows is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueIndex {
    /// By the index of this name.
    Serves(String),
    /// By the index of this name, once somebody unhides it.
    Hidden(String),
    /// By none: it reads the whole collection.
    Missing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    /// Name of the index of the queue that serves the query for due rows.
    pub queue_index: String,
    /// Whether it was created now.
    pub queue_index_created: bool,
    /// Names of the indexes of our own collection.
    pub batch_indexes: Vec<String>,
}

impl Store {
    /// Creates what is missing: our collections, their indexes, and an index on the queue when none serves the query for due rows.
    /// The entries of earlier batches are recorded before it ([`begin_filling`](Store::begin_filling)).
    pub async fn initialize(&self) -> Result<Initialized> {
        for collection in [&self.queue, &self.log, &self.batches, &self.row_lists] {
            self.create_collection(collection).await?;
        }
        self.create_log_index().await?;
        let created = self.bounded(self.batches.create_indexes(batch_indexes())).await;
        let created = created.map_err(on(&self.batches))?;
        let (queue_index, queue_index_created) = match self.queue_index().await? {
            QueueIndex::Serves(name) => (name, false),
            // The server would answer with success, and create nothing.
            QueueIndex::Hidden(name) => {
                let message = format!("the index {name} of {} is hidden, so no query uses it", self.queue.name());
                return Err(StoreError { kind: Kind::HiddenIndex, message });
            }
            QueueIndex::Missing => {
                // The usual name may be that of an index of the same fields that does not serve: a partial or a sparse one.
                let index = IndexModel::builder().keys(doc! { "status": 1, "scheduledFor": 1 });
                let taken =
                    self.indexes(&self.queue).await?.iter().any(|other| name_of(other) == "status_1_scheduledFor_1");
                let name = taken.then(|| "batch_export_due".to_owned());
                let index = index.options(IndexOptions::builder().name(name).build()).build();
                // No time limit: building the index on a large queue takes long.
                let made = self.queue.create_index(index).await;
                (made.map_err(on(&self.queue))?.index_name, true)
            }
        };
        Ok(Initialized { queue_index, queue_index_created, batch_indexes: created.index_names })
    }

    /// The index that finds a batch in the log: the application may write much else there.
    pub(super) async fn create_log_index(&self) -> Result<()> {
        let made = self.bounded(self.log.create_index(log_index())).await;
        made.map(drop).map_err(on(&self.log))
    }

    /// Whether the log has it: the first run and `init` make it.
    pub(super) async fn has_log_index(&self) -> Result<bool> {
        Ok(self.missing_of(&self.log, &[log_index()]).await?.is_empty())
    }

    /// What `init` makes besides indexes, and this database lacks.
    pub async fn missing_collections(&self) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for collection in [&self.queue, &self.log, &self.batches, &self.row_lists, &self.exported] {
            if !self.has_collection(collection).await? {
                missing.push(format!("the collection {}", collection.name()));
            }
        }
        if !self.has_begun().await? {
            missing.push(format!("the ledger in {}", self.batches.name()));
        }
        Ok(missing)
    }

    /// The indexes that `init` makes, and this database lacks, without that of the queue.
    pub async fn missing_indexes(&self) -> Result<Vec<String>> {
        let mut missing = self.missing_of(&self.log, &[log_index()]).await?;
        missing.extend(self.missing_batch_indexes().await?);
        Ok(missing)
    }

    /// Those of the batches among them, which a first run does not make.
    pub(super) async fn missing_batch_indexes(&self) -> Result<Vec<String>> {
        self.missing_of(&self.batches, &batch_indexes()).await
    }

    async fn missing_of(&self, collection: &Collection<Document>, wanted: &[IndexModel]) -> Result<Vec<String>> {
        let found = self.indexes(collection).await?;
        let absent = wanted.iter().filter(|index| !found.iter().any(|other| other.keys == index.keys));
        Ok(absent.map(|index| format!("the index {} of {}", name_of(index), collection.name())).collect())
    }

    /// Which index of the queue serves the query for due rows.
    pub async fn queue_index(&self) -> Result<QueueIndex> {
        let indexes = self.indexes(&self.queue).await?;
        let has_collation =
            indexes.iter().any(|index| index.options.as_ref().is_some_and(|one| one.collation.is_some()));
        let inherited = if has_collation { self.collation_of_queue().await } else { None };
        let (hidden, shown): (Vec<&IndexModel>, Vec<&IndexModel>) =
            indexes.iter().filter(|index| serves(index, inherited.as_ref())).partition(|index| is_hidden(index));
        Ok(match (shown.first(), hidden.first()) {
            (Some(index), _) => QueueIndex::Serves(name_of(index)),
            (None, Some(index)) => QueueIndex::Hidden(name_of(index)),
            (None, None) => QueueIndex::Missing,
        })
    }

    /// The collation that queries of the queue have without asking for one. A user who may not list collections gets none.
    async fn collation_of_queue(&self) -> Option<Collation> {
        let list = self.db.list_collections().filter(doc! { "name": self.queue.name() });
        let found: Vec<CollectionSpecification> = self.all(list).await.ok()?;
        found.into_iter().next()?.options.collation
    }

    /// The TTL indexes that delete what a run needs, each as `index of collection`: rows before their export, entries, and our own records;
    /// and whether one of them is an index of the queue.
    pub async fn expiring_indexes(&self) -> Result<(Vec<String>, bool)> {
        let needed = [
            (&self.queue, doc! { "exportPath": "scheduled", "status": "queued", "completedAt": null }),
            (&self.entries, doc! { "status": "approved" }),
            (&self.log, doc! { "action": "csv_generated" }),
            (&self.batches, doc! {}),
            (&self.row_lists, doc! {}),
            (&self.exported, doc! {}),
        ];
        let (mut found, mut of_queue) = (Vec::new(), false);
        for (collection, needed) in &needed {
            let indexes = match self.indexes(collection).await {
                // A view deletes nothing.
                Err(error) if matches!(error.kind, Kind::Unfit | Kind::View | Kind::FixedView) => continue,
                indexes => indexes?,
            };
            let expiring = indexes.iter().filter(|index| expires(index, needed));
            found.extend(expiring.map(|index| format!("{} of {}", name_of(index), collection.name())));
            of_queue |= collection.name() == self.queue.name() && !found.is_empty();
        }
        Ok((found, of_queue))
    }

    /// The error of an index that cannot take a document, with the names of such indexes: the server names none, and quotes the whole document.
    pub(super) async fn with_special_indexes(&self, error: StoreError) -> StoreError {
        let is_list = |key: &&String| LISTS.iter().any(|list| key.split('.').next() == Some(list));
        let may_refuse = |index: &IndexModel| {
            let of_lists = index.keys.keys().filter(is_list).count();
            of_lists > 1
                || index.keys.iter().any(|(key, kind)| match kind.as_str() {
                    Some("hashed") => is_list(&key),
                    kind => kind.is_some(),
                })
        };
        for collection in [&self.log, &self.queue, &self.batches, &self.row_lists, &self.exported] {
            let Some(said) = error.message.strip_prefix(&format!("{}: ", collection.name())) else { continue };
            let indexes = self.indexes(collection).await.unwrap_or_default();
            let names: Vec<String> = indexes.iter().filter(|index| may_refuse(index)).map(name_of).collect();
            let said = said.split(": {").next().unwrap_or(said);
            let message = format!("{}: its index {} refuses a document: {said}", collection.name(), names.join(" or "));
            return StoreError { message, ..error };
        }
        error
    }

    pub(super) async fn indexes(&self, collection: &Collection<Document>) -> Result<Vec<IndexModel>> {
        let cursor = match self.bounded(collection.list_indexes()).await {
            Ok(cursor) => cursor,
            // The collection does not exist yet.
            Err(_) if !self.has_collection(collection).await? => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        self.bounded(cursor.try_collect()).await
    }

    /// Whether there is such a collection. It needs no right to list all of them.
    pub(super) async fn has_collection(&self, collection: &Collection<Document>) -> Result<bool> {
        let list = self.db.list_collection_names().authorized_collections(true);
        let names = list.filter(doc! { "name": collection.name() });
        Ok(!self.bounded(names).await?.is_empty())
    }

    pub(super) async fn create_collection(&self, collection: &Collection<Document>) -> Result<()> {
        match self.db.create_collection(collection.name()).await {
            Err(error) if super::error::code(&error) != Some(NAMESPACE_EXISTS) => Err(on(collection)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn log_index() -> IndexModel {
    named("batch_export", doc! { "metadata.batchId": 1 }, Some(doc! { "action": "csv_generated" }))
}

fn batch_indexes() -> [IndexModel; 2] {
    [
        named("state", doc! { "state": 1, "_id": 1 }, None),
        named("voided_to_trash", doc! { "voided.trashed": 1 }, Some(doc! { "voided.trashed": false })),
    ]
}

fn named(name: &str, keys: Document, only: Option<Document>) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).partial_filter_expression(only).build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn is_hidden(index: &IndexModel) -> bool {
    index.options.as_ref().is_some_and(|options| options.hidden == Some(true))
}

pub(super) fn name_of(index: &IndexModel) -> String {
    let name = index.options.as_ref().and_then(|options| options.name.clone());
    name.unwrap_or_else(|| index.keys.to_string())
}

/// Whether the index deletes documents with these values after a time. A missing value (null) is one that the index cannot count from.
fn expires(index: &IndexModel, needed: &Document) -> bool {
    let Some(options) = index.options.as_ref().filter(|options| options.expire_after.is_some()) else { return false };
    let is_absent = |key: &String| needed.get(key) == Some(&Bson::Null);
    let filter = options.partial_filter_expression.as_ref();
    !filter.is_some_and(|filter| excludes(filter, needed)) && !index.keys.keys().any(is_absent)
}

/// Whether documents with these values are outside of a partial index with this filter, as far as the filter shows it.
fn excludes(filter: &Document, needed: &Document) -> bool {
    filter.iter().any(|(field, rule)| match (field.as_str(), needed.get(field)) {
        ("$and", _) => branches(rule).any(|branch| excludes(branch, needed)),
        ("$or", _) => branches(rule).all(|branch| excludes(branch, needed)),
        (_, Some(value)) => refuses(rule, value),
        (_, None) => false,
    })
}

fn branches(rule: &Bson) -> impl Iterator<Item = &Document> {
    rule.as_array().into_iter().flatten().filter_map(Bson::as_document)
}

/// Whether a value breaks a rule of a filter. A missing value is null.
fn refuses(rule: &Bson, value: &Bson) -> bool {
    let Bson::Document(rule) = rule else { return rule != value };
    rule.iter().any(|(operator, other)| match (operator.as_str(), other, value.as_str()) {
        ("$eq", _, _) => other != value,
        ("$in", Bson::Array(others), _) => !others.contains(value),
        ("$exists", _, None) => !matches!(other, Bson::Boolean(false) | Bson::Int32(0)),
        // A missing value has no type, and is neither larger nor smaller than another one.
        ("$type", _, None) => true,
        ("$type", Bson::String(name), Some(_)) => name != "string",
        ("$gt", Bson::String(other), Some(value)) => value <= other.as_str(),
        ("$gte", Bson::String(other), Some(value)) => value < other.as_str(),
        ("$lt", Bson::String(other), Some(value)) => value >= other.as_str(),
        ("$lte", Bson::String(other), Some(value)) => value > other.as_str(),
        ("$gt" | "$gte" | "$lt" | "$lte", _, _) => *other != Bson::Null || value.as_str().is_some(),
        _ => false,
    })
}

/// Whether the index serves the query for due rows: its keys begin with `status` (and `exportPath`, in any order) and
/// continue with `scheduledFor`; it is neither partial nor sparse, nor one of places, texts or hashes, which no search by order can use; and its
/// collation is the one that the query inherits from its collection. It may be hidden.
fn serves(index: &IndexModel, inherited: Option<&Collation>) -> bool {
    let partial = index
        .options
        .as_ref()
        .is_some_and(|options| options.partial_filter_expression.is_some() || options.sparse == Some(true));
    let collation = index.options.as_ref().and_then(|options| options.collation.as_ref());
    let mut keys = index.keys.keys().map(String::as_str).skip_while(|key| matches!(*key, "status" | "exportPath"));
    let begins = index.keys.keys().next().is_some_and(|key| matches!(key.as_str(), "status" | "exportPath"));
    let on_status = index.keys.contains_key("status");
    let is_ordered = index.keys.values().all(|order| order.as_str().is_none());
    !partial
        && is_ordered
        && spelt(collation) == spelt(inherited)
        && begins
        && on_status
        && keys.next() == Some("scheduledFor")
}

/// A collation in the form in which the server lists it, to be compared.
fn spelt(collation: Option<&Collation>) -> Option<Document> {
    collation.and_then(|collation| mongodb::bson::serialize_to_document(collation).ok())
}
