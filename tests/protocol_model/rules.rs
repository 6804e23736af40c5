//! The rules of the protocol that can be taken out, one at a time.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The commit is not filtered by fence and file id.
    CommitFence,
    /// A failure is recorded without a fence.
    FailureFence,
    /// The commit neither compares the ledger's number nor looks at `marking`, nor does the generator.
    Ledger,
    /// As before, and entries are not recorded either.
    LedgerAndEntries,
    /// The ledger's number is compared, but nobody looks at `marking`.
    Marking,
    /// There is no `exportbatchentries`: nobody looks entries up, and there is no unique key.
    Entries,
    /// The generator does not look entries up in `exportbatchentries`; the unique key is still there.
    EntriesLookedUp,
    /// The commit does not look whether an entry of its file is on record by now; the look-up of the generator is still there.
    UniqueKey,
    /// The marking of a piece does not record its entries.
    EntriesOfPieces,
    /// The marking of a piece records only the entries of rows that it completes.
    EntriesOfChangedRows,
    /// The commit does not compare `entryId` and `scheduledFor` of the rows with what was read.
    RowsCompared,
    /// The commit does not look for an ExportLog of this batch.
    LogLookedFor,
    /// An existing id is overwritten.
    WriteOnce,
    /// A file is voided without a fence.
    VoidFence,
    /// A file is trashed before it is recorded as voided.
    VoidBeforeTrash,
    /// The id is stored only with the commit.
    StoredId,
    /// An unknown commit is settled by reading the batch document.
    SettlingWrite,
    /// As before, and the voiding does not look at the state either.
    SettlingWriteAndVoidState,
    /// An empty day is recorded while an earlier upload is live.
    EmptyVoids,
    /// An empty day voids the stored id only when a file is seen under it.
    EmptyVoidsUnseen,
    /// A voided id under which nothing is found counts as trashed.
    TrashedMeansSeen,
    /// Trashing frees the id for another creation (a folder of plain names).
    TrashKeepsId,
    /// The commit does not compare the entries with what was read.
    EditDetection,
    /// The commit of a large batch does not look at its rows and entries, because it marks none of them.
    WholeListChecked,
    /// The row list is stored without a fence.
    ListFence,
    /// A piece is deleted after the transaction that marks it.
    DeletionInTransaction,
    /// A piece is deleted before the transaction that marks it.
    NoDeletionBefore,
    /// A piece is marked without a look whether it is still there.
    PieceLookedAt,
    /// The final transaction does not look for pieces that are left.
    FinalLook,
    /// A batch without pieces is completed without a look whether all its entries are on record.
    RecordsCounted,
    /// Whoever finds records missing does not look again whether the list has pieces by now.
    PiecesReadAgain,
    /// A row list is made again although the batch document was written since it was read.
    UnchangedBatch,
    /// The marking leaves a row alone whose entry was edited after the commit point, though it is still queued.
    MarkingOfEdited,
    /// The marking completes a row that names another entry by then.
    EntryOfMarkedRow,
    /// A row that was changed after the commit point does not get `metadata.batchId`.
    MarkOfChangedRow,
    /// The upload's checksum is not verified.
    VerifiedUpload,
    /// Whatever lies under the id is adopted.
    ChecksumOfAdopted,
    /// An exhausted batch keeps the file that it uploaded.
    ExhaustionVoids,
    /// A take-over does not count the attempt that crashed.
    CountedCrash,
    /// An interruption costs an attempt.
    FreeInterruption,
    /// Voided files are trashed by the pass that voided them or never.
    Sweep,
    /// A marking is rolled forward by its own date only; the others neither do it nor wait, but fail.
    RollForward,
    /// Nobody looks for files of the name before the first byte.
    NameLookedFor,
    /// A file of the name is adopted for its bytes, whichever installation made it.
    InstallationCompared,
    /// A sealed file of the name is adopted for its bytes, whatever its number, and none is looked for by its number.
    NumberCompared,
    /// The id that a found file replaces is forgotten, not voided.
    ReplacedIdVoided,
    /// The folder is not asked for files of this installation with a number that the ledger has not allotted yet.
    AheadLookedFor,
    /// A sealed file of the name does not count when the batch document lists it as void.
    SealedVoidCounts,
    /// A sealed file is voided like any other.
    SealStopsVoid,
    /// A sealed file is trashed like any other.
    SealStopsTrash,
    /// A committed file is not sealed.
    Seal,
    /// The generator does not compare the number of recorded entries with the ledger's count.
    Recorded,
    /// A refused creation counts as the first one under its id, whatever was sent under it before.
    UnsentOfFreshIds,
    /// An id stays recorded as unsent while something is sent under it.
    UnsentTakenBack,
    /// After a change of destination, the old id is forgotten.
    OldPlaceVoided,
    /// After a change of destination, the file under the old id counts.
    PlaceCompared,
}
