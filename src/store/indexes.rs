//! The indexes that the program needs, and no others: each further index on `status` slows the commit by a third.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Collation, IndexOptions};
use mongodb::results::CollectionSpecification;
use mongodb::{Collection, IndexModel};

use super::Store;
use super::error::{Kind, StoreError};

/// Error code of a collection that exists already.
const NAMESPACE_EXISTS: i32 = 48;

/// The result of `init`.
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
    /// Creates what is missing: our collections, their indexes, the ledger, and an index on the queue when none serves the query for due rows.
    /// The entries of earlier batches are recorded before it ([`begin_filling`](Store::begin_filling)).
    pub async fn initialize(&self) -> Result<Initialized, StoreError> {
        for collection in [&self.queue, &self.log, &self.batches, &self.row_lists] {
            self.create_collection(collection).await?;
        }
        self.create_log_index().await?;
        self.begin().await?;
        let partial = IndexOptions::builder()
            .name("voided_to_trash".to_owned())
            .partial_filter_expression(doc! { "voided.trashed": false })
            .build();
        let indexes = [
            IndexModel::builder()
                .keys(doc! { "state": 1, "_id": 1 })
                .options(IndexOptions::builder().name("state".to_owned()).build())
                .build(),
            IndexModel::builder().keys(doc! { "voided.trashed": 1 }).options(partial).build(),
        ];
        let created = self.bounded(self.batches.create_indexes(indexes).into_future()).await?;
        let (queue_index, queue_index_created) = match self.serving_index().await? {
            Some(name) => (name, false),
            None => {
                let index = IndexModel::builder().keys(doc! { "status": 1, "scheduledFor": 1 }).build();
                // No time limit: building the index on a large queue takes long.
                let name = self.queue.create_index(index).await?.index_name;
                // When a hidden index with these keys exists, the server answers with success and creates nothing.
                if self.serving_index().await?.is_none() {
                    let message =
                        format!("the index {name} is hidden, or has a collation of its own, so no query uses it");
                    return Err(StoreError { kind: Kind::IndexConflict, message });
                }
                (name, true)
            }
        };
        Ok(Initialized { queue_index, queue_index_created, batch_indexes: created.index_names })
    }

    /// Name of an index of the queue that serves the query for due rows.
    pub async fn serving_index(&self) -> Result<Option<String>, StoreError> {
        let indexes = self.indexes(&self.queue).await?;
        let has_collation =
            indexes.iter().any(|index| index.options.as_ref().is_some_and(|one| one.collation.is_some()));
        let inherited = if has_collation { self.collation_of_queue().await } else { None };
        Ok(indexes.iter().find(|index| serves(index, inherited.as_ref())).map(name_of))
    }

    /// The collation that queries of the queue have without asking for one. A user who may not list collections is told none.
    async fn collation_of_queue(&self) -> Option<Collation> {
        let list = self.db.list_collections().filter(doc! { "name": self.queue.name() });
        let cursor = self.bounded(list.into_future()).await.ok()?;
        let found: Vec<CollectionSpecification> = self.bounded(cursor.try_collect()).await.ok()?;
        found.into_iter().next()?.options.collation
    }

    /// The TTL indexes that delete what a run needs, each as `index of collection`: rows before their export, entries, and our own records.
    pub async fn expiring_indexes(&self) -> Result<Vec<String>, StoreError> {
        let needed = [
            (&self.queue, doc! { "exportPath": "scheduled", "status": "queued", "completedAt": null }),
            (&self.entries, doc! { "status": "approved" }),
            (&self.log, doc! { "action": "csv_generated" }),
            (&self.batches, doc! {}),
            (&self.row_lists, doc! {}),
            (&self.exported, doc! {}),
        ];
        let mut found = Vec::new();
        for (collection, needed) in &needed {
            let indexes = match self.indexes(collection).await {
                // A view deletes nothing.
                Err(error) if error.kind == Kind::Unfit => continue,
                indexes => indexes?,
            };
            let expiring = indexes.iter().filter(|index| expires(index, needed));
            found.extend(expiring.map(|index| format!("{} of {}", name_of(index), collection.name())));
        }
        Ok(found)
    }

    async fn indexes(&self, collection: &Collection<Document>) -> Result<Vec<IndexModel>, StoreError> {
        let cursor = match self.bounded(collection.list_indexes().into_future()).await {
            Ok(cursor) => cursor,
            // The collection does not exist yet.
            Err(_) if !self.has_collection(collection).await? => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        self.bounded(cursor.try_collect()).await
    }

    /// Whether there is such a collection. It needs no right to list all of them.
    pub(super) async fn has_collection(&self, collection: &Collection<Document>) -> Result<bool, StoreError> {
        let list = self.db.list_collection_names().authorized_collections(true);
        let names = list.filter(doc! { "name": collection.name() });
        Ok(!self.bounded(names.into_future()).await?.is_empty())
    }

    pub(super) async fn create_collection(&self, collection: &Collection<Document>) -> Result<(), StoreError> {
        match self.db.create_collection(collection.name()).await {
            Err(error) if super::error::code(&error) != Some(NAMESPACE_EXISTS) => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn name_of(index: &IndexModel) -> String {
    let name = index.options.as_ref().and_then(|options| options.name.clone());
    name.unwrap_or_else(|| index.keys.to_string())
}

/// Whether the index deletes documents with these values after a time. A missing value (null) is one that the index cannot count from.
fn expires(index: &IndexModel, needed: &Document) -> bool {
    let Some(options) = index.options.as_ref().filter(|options| options.expire_after.is_some()) else { return false };
    let is_absent = |key: &String| needed.get(key) == Some(&Bson::Null);
    let filter = options.partial_filter_expression.as_ref();
    let excluded = needed
        .iter()
        .any(|(field, value)| filter.and_then(|filter| filter.get(field)).is_some_and(|rule| excludes(rule, value)));
    !excluded && !index.keys.keys().any(is_absent)
}

/// Whether a document with this value is outside of a partial index with this rule, as far as the rule is a plain one.
fn excludes(rule: &Bson, value: &Bson) -> bool {
    let Bson::Document(rule) = rule else { return rule != value };
    match (rule.get("$eq"), rule.get_array("$in"), rule.get("$exists")) {
        (Some(other), _, _) => other != value,
        (None, Ok(others), _) => !others.contains(value),
        (None, Err(_), Some(exists)) => *value == Bson::Null && *exists != Bson::Boolean(false),
        (None, Err(_), None) => false,
    }
}

/// Whether the index serves the query for due rows: its keys begin with `status` (and `exportPath`, in any order) and
/// continue with `scheduledFor`; it is neither partial nor sparse; and its collation is the one that the query inherits from its collection.
fn serves(index: &IndexModel, inherited: Option<&Collation>) -> bool {
    let partial = index.options.as_ref().is_some_and(|options| {
        options.partial_filter_expression.is_some() || options.sparse == Some(true) || options.hidden == Some(true)
    });
    let collation = index.options.as_ref().and_then(|options| options.collation.as_ref());
    let mut keys = index.keys.keys().map(String::as_str).skip_while(|key| matches!(*key, "status" | "exportPath"));
    let begins = index.keys.keys().next().is_some_and(|key| matches!(key.as_str(), "status" | "exportPath"));
    let on_status = index.keys.contains_key("status");
    !partial && spelt(collation) == spelt(inherited) && begins && on_status && keys.next() == Some("scheduledFor")
}

/// A collation in the form in which the server lists it, to be compared.
fn spelt(collation: Option<&Collation>) -> Option<Document> {
    collation.and_then(|collation| mongodb::bson::serialize_to_document(collation).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_index_that_leads_to_the_due_rows_serves() {
        let index = |keys: Document| IndexModel::builder().keys(keys).build();
        let serves = |index: &IndexModel| super::serves(index, None);
        assert!(serves(&index(doc! { "status": 1, "scheduledFor": 1 })));
        assert!(serves(&index(doc! { "status": 1, "exportPath": 1, "scheduledFor": 1 })));
        assert!(serves(&index(doc! { "exportPath": 1, "status": 1, "scheduledFor": 1, "_id": 1 })));
        assert!(!serves(&index(doc! { "status": 1 })));
        assert!(!serves(&index(doc! { "scheduledFor": 1, "status": 1 })));
        assert!(!serves(&index(doc! { "exportPath": 1, "scheduledFor": 1 })));
        assert!(!serves(&index(doc! { "status": 1, "clientId": 1, "scheduledFor": 1 })));
        let partial = IndexOptions::builder().partial_filter_expression(doc! { "status": "queued" }).build();
        let keys = doc! { "status": 1, "scheduledFor": 1 };
        assert!(!serves(&IndexModel::builder().keys(keys.clone()).options(partial).build()));
        let collation = Collation::builder().locale("th").build();
        let collated = IndexOptions::builder().collation(collation.clone()).build();
        let collated = IndexModel::builder().keys(keys.clone()).options(collated).build();
        assert!(!serves(&collated) && super::serves(&collated, Some(&collation)));
        assert!(!super::serves(&index(keys), Some(&collation)));
    }
}
