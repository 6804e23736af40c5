//! The kinds of collections that a run cannot use: capped collections, time series and views.
//!
//! Risk: what the server says of them is no help. A capped collection has no snapshot, as if a later one would do, and a time series does not
//! know a command, as if the server were too old. So after such an error the kinds are looked up, and the collection is named.

use futures_util::future::join_all;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use mongodb::options::CursorType;

use super::Store;
use super::document::text;
use super::error::{Kind, Result, StoreError};

/// The types of a collection, as the server lists them.
const PLAIN: &str = "collection";
const TIME_SERIES: &str = "timeseries";
const VIEW: &str = "view";

impl Store {
    /// Refuses a collection whose kind forbids what a run does with it, as far as this user may know.
    ///
    /// # Errors
    /// `Kind::Unfit`, `Kind::View` or `Kind::FixedView`, with the collection's name.
    pub(super) async fn check_kinds(&self) -> Result<()> {
        let collections = [&self.entries, &self.queue, &self.log, &self.batches, &self.row_lists, &self.exported];
        let types = self.types_of(&collections).await;
        // Entries are only read: time series and views will do.
        for (collection, of_type) in collections.iter().zip(&types).skip(1) {
            self.refuse_type(collection, of_type.as_deref())?;
        }
        let plain = collections.iter().zip(&types).filter(|(_, of_type)| of_type.as_deref() == Some(PLAIN));
        let checked = join_all(plain.map(|(collection, _)| self.check_capped(collection))).await;
        checked.into_iter().collect()
    }

    /// Refuses a queue whose rows can be read, and never marked.
    pub(super) async fn check_rows_can_be_marked(&self) -> Result<()> {
        let types = self.types_of(&[&self.queue]).await;
        self.refuse_type(&self.queue, types.first().and_then(Option::as_deref))
    }

    /// The error of a collection's kind in place of the one that it causes.
    pub(super) async fn kind_behind(&self, error: StoreError) -> StoreError {
        match error.kind {
            Kind::Snapshot | Kind::Unsupported | Kind::Unfit | Kind::View | Kind::FixedView => {
                match self.check_kinds().await {
                    Err(unfit) => unfit,
                    // No kind of a collection is the reason, so the server takes this in no transaction.
                    Ok(()) if error.kind == Kind::Unfit => StoreError { kind: Kind::Unsupported, ..error },
                    Ok(()) => error,
                }
            }
            Kind::SpecialIndex => self.with_special_indexes(error).await,
            _ => error,
        }
    }

    /// The type of each collection; `None` for one that does not exist, or when the server does not say. Names and types are listed without the
    /// right to list all collections.
    async fn types_of(&self, collections: &[&Collection<Document>]) -> Vec<Option<String>> {
        let names: Vec<&str> = collections.iter().map(|collection| collection.name()).collect();
        let list = doc! {
            "listCollections": 1,
            "nameOnly": true,
            "authorizedCollections": true,
            "filter": { "name": { "$in": &names } },
        };
        // The next command reports why the server does not answer.
        let answer = self.bounded(self.db.run_command(list)).await.unwrap_or_default();
        let listed = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let listed: Vec<&Document> = listed.into_iter().flatten().filter_map(|one| one.as_document()).collect();
        let type_of = |name: &&str| {
            text(listed.iter().find(|one| one.get_str("name").is_ok_and(|found| found == *name))?, "type")
        };
        names.iter().map(type_of).collect()
    }

    /// Refuses a capped collection among those that exist: only such a one has tailable cursors. It needs no right but to read.
    async fn check_capped(&self, collection: &Collection<Document>) -> Result<()> {
        let first =
            collection.find(doc! {}).projection(doc! { "_id": 1 }).batch_size(1).cursor_type(CursorType::Tailable);
        match self.bounded(first).await {
            Ok(_) => Err(StoreError::unfit(
                Kind::Unfit,
                collection.name(),
                "a capped collection, which has neither snapshot reads nor transactions",
            )),
            Err(_) => Ok(()),
        }
    }

    fn refuse_type(&self, collection: &Collection<Document>, of_type: Option<&str>) -> Result<()> {
        let has_fixed_name = [self.row_lists.name(), self.exported.name()].contains(&collection.name());
        let (kind, what) = match of_type {
            Some(TIME_SERIES) => {
                (Kind::Unfit, "a time-series collection, whose documents cannot be updated one by one")
            }
            Some(VIEW) if has_fixed_name => (Kind::FixedView, "a view, which cannot be written"),
            Some(VIEW) => (Kind::View, "a view, which cannot be written"),
            Some(_) | None => return Ok(()),
        };
        Err(StoreError::unfit(kind, collection.name(), what))
    }
}
