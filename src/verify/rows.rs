//! The marked rows, and the entries behind them: does what they say now still give the committed file?
//!
//! The rows are written again, as the export wrote them, and compared line by line: an edit that does not touch the file does not
//! matter, and one that does is found whatever the application does with `updatedAt`. An entry that can no longer be written keeps its
//! place by a stand-in, because running numbers count places.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;

use super::{Findings, Kind, Verification};
use crate::batch::{Batch, FileFacts};
use crate::csv::{Sheet, differing_entries, entry_ids};
use crate::entry::{EntryFields, FieldList, NO_SUCH_ENTRY};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::spool::{Spool, SpoolWriter};
use crate::store::{DueRow, MarkedRows, Snapshot, in_chunks};

/// What has to be done about an entry that the accountant's books have otherwise.
const REVERSAL: &str = "the exported line no longer stands: a reversal is needed in the accounting package";

impl Verification<'_> {
    pub(super) async fn check_rows(
        &self,
        snapshot: &Snapshot,
        batch: &Batch,
        file: &FileFacts,
        marked: &MarkedRows,
        content: Option<&Spool>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        for (row, reason) in &marked.odd {
            findings.add(batch.id, Kind::Rows, format!("queue row {row}: {reason}"));
        }
        let all_there = marked.rows.len() as u64 == file.entries;
        if !all_there {
            let message = format!("{} rows are marked, {} entries are in the file", marked.rows.len(), file.entries);
            findings.add(batch.id, Kind::Rows, message);
        }
        if batch.marked as u64 != file.entries {
            let message = format!("the batch document counts {} marked rows, not {}", batch.marked, file.entries);
            findings.add(batch.id, Kind::Rows, message);
        }
        if let Some(content) = content {
            self.check_ids(batch, marked, content, findings)?;
        }
        let mut told = BTreeSet::new();
        let again = self.write_again(snapshot, batch, &marked.rows, &mut told, findings).await?;
        if again.digests().sha256 == file.sha256 || !all_there {
            return Ok(());
        }
        let Some(content) = content else {
            if told.is_empty() {
                // Not a word of an edit: settings of another format would be reversed in somebody's books.
                let message = "the entries as they are now do not give the committed file: either some were edited, or --format, \
                               --encoding or --contra-account is not that of the export";
                findings.add(batch.id, Kind::Content, message);
            }
            return Ok(());
        };
        let differing = differing_entries(self.open(content)?, self.open(&again)?, &self.options(batch).layout)
            .map_err(|reason| Failure::new(Exit::Unexpected, reason))?;
        if differing.is_empty() && told.is_empty() {
            let message = "the same cells give other bytes: the settings (encoding) are not those of the export";
            findings.add(batch.id, Kind::Content, message);
        }
        for position in differing.into_iter().filter(|position| !told.contains(position)) {
            let Some(DueRow { key, .. }) = marked.rows.get(position) else { continue };
            findings.add(batch.id, Kind::Edited, format!("entry {} was edited; {REVERSAL}", key.entry));
        }
        Ok(())
    }

    /// The entries that the file names are those of the rows.
    fn check_ids(
        &self,
        batch: &Batch,
        marked: &MarkedRows,
        content: &Spool,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let ids = entry_ids(self.open(content)?, &self.options(batch).layout);
        let Some(ids) = ids.map_err(|reason| Failure::new(Exit::Unexpected, reason))? else { return Ok(()) };
        let in_file: BTreeSet<String> = ids.into_iter().collect();
        let in_rows: BTreeSet<String> = marked.rows.iter().map(|row| row.key.entry.to_string()).collect();
        for id in in_file.difference(&in_rows) {
            findings.add(batch.id, Kind::Rows, format!("entry {id} is in the file and no row is marked for it"));
        }
        for id in in_rows.difference(&in_file) {
            findings.add(batch.id, Kind::Rows, format!("entry {id} is marked as exported and not in the file"));
        }
        Ok(())
    }

    /// The file as the rows give it now. Notes what can be told of an entry by itself, with its position.
    async fn write_again(
        &self,
        snapshot: &Snapshot,
        batch: &Batch,
        rows: &[DueRow],
        told: &mut BTreeSet<usize>,
        findings: &mut Findings,
    ) -> Result<Spool, Failure> {
        let failed = |error| self.spool_failed(&error);
        let options = self.options(batch);
        let list = FieldList::of(&options.layout);
        let mut sheet = Sheet::new(self.spool()?, &options, &list).map_err(failed)?;
        let mut chunks = std::pin::pin!(snapshot.join(in_chunks(rows), &list));
        let mut position = 0;
        while let Some((rows, chunk)) = chunks.try_next().await? {
            let mut fields = EntryFields::default();
            for DueRow { key, .. } in rows {
                let entry = chunk.read(key.entry, &list, &mut fields)?.then_some(&mut fields);
                if let Some((kind, reason)) = push(&mut sheet, entry).map_err(failed)? {
                    let message = format!("entry {}: {reason}; {REVERSAL}", key.entry);
                    findings.add(batch.id, kind, message);
                    told.insert(position);
                }
                position += 1;
            }
        }
        let (spool, _) = sheet.finish().map_err(failed)?;
        spool.into_spool().map_err(failed)
    }

    fn open(&self, spool: &Spool) -> Result<std::fs::File, Failure> {
        spool.open().map_err(|error| self.spool_failed(&error))
    }
}

/// Writes an entry, or a stand-in; what is wrong with it, if it is not merely edited.
fn push(
    sheet: &mut Sheet<SpoolWriter>,
    entry: Option<&mut EntryFields<'_>>,
) -> std::io::Result<Option<(Kind, String)>> {
    let Some(fields) = entry else {
        sheet.push_stand_in()?;
        return Ok(Some((Kind::Deleted, NO_SUCH_ENTRY.to_owned())));
    };
    let cancelled = fields.cancellation();
    fields.approve();
    let unwritable = sheet.push(fields)?.err();
    if unwritable.is_some() {
        sheet.push_stand_in()?;
    }
    Ok(match (cancelled, unwritable) {
        (None, None) => None,
        // The line may be written; it only no longer stands.
        (Some(status), _) => Some((Kind::Cancelled, format!("its {status}, no longer approved"))),
        (None, Some(reason)) => Some((Kind::Edited, format!("it was edited: {reason}"))),
    })
}
