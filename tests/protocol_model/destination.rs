//! The id stored beforehand, the look, the creation, the voiding, the trashing, the seal.
//!
//! Nothing at the destination knows of fences: a creation by a holder that lost its lease does take effect. What makes it harmless is
//! that an id never changes its content, that a file becomes void only by a fenced write, and that this write comes first. Nor does the
//! destination know which database is the true one. There the seal helps: whoever would void a sealed file stops.

use super::state::{At, Batch, File, Holder, IDS, Phase, State};
use super::turn::Turn;
use super::{Move, Protocol, Without};

/// Draws a fresh file id for a holder's batch, database and destination.
pub fn draw_id(state: &mut State, holder: &Holder) -> u8 {
    let id = state.next_id;
    assert!((id as usize) < IDS, "IDS is too small for these bounds");
    state.next_id += 1;
    let installation = state.dbs[holder.db as usize].installation;
    state.files[id as usize] = File { name: holder.batch, place: holder.place, installation, ..File::ABSENT };
    id
}

/// Trashes a file, whoever asks.
fn discard(file: &mut File, model: &Protocol) {
    if model.lacks(Without::TrashKeepsId) {
        file.content = None;
    }
    file.trashed = file.content.is_some();
}

impl Turn<'_> {
    pub fn file(&self) -> File {
        self.state.files[self.me.file.expect("an id is known here") as usize]
    }

    /// A fresh id, stored before the first byte leaves.
    pub fn store_id(&mut self) {
        if self.model.lacks(Without::StoredId) {
            return self.step("draws an id", |next, me| {
                me.file = Some(draw_id(next, me));
                me.at = At::Create;
            });
        }
        self.write("stores an id", true, |next, me| {
            me.file = Some(draw_id(next, me));
            let doc = me.doc_in(next);
            (doc.file, doc.unsent) = (me.file, false);
            (me.unsent, me.at) = (true, At::Create);
        });
    }

    /// What lies under the id of an earlier attempt.
    pub fn look(&mut self) {
        let (file, model) = (self.file(), self.model);
        let stays = file.is_sealed() && !model.lacks(Without::SealStopsVoid);
        if file.place != self.me.place && !stays && !model.lacks(Without::PlaceCompared) {
            return self.step("finds that the destination changed", |_, me| me.at = At::Void);
        }
        let then = self.once_stored();
        let same = file.content == Some(self.me.snapshot.bytes()) || model.lacks(Without::ChecksumOfAdopted);
        let numbered = [0, self.me.number + 1].contains(&file.number);
        match file.content {
            _ if self.me.snapshot.is_empty() && !file.is_sealed() => {
                self.step("looks at the file that an empty day leaves", |_, me| me.at = At::Void);
            }
            None => self.step("sees no file", |_, me| me.at = At::Create),
            Some(_) if !file.trashed && same && numbered && !self.me.snapshot.is_empty() => {
                self.step("adopts the file", |_, me| (me.at, me.adopted) = (then, true));
            }
            Some(_) if stays => {
                self.fail("sees a sealed file, and refuses", |_| ());
            }
            Some(_) => self.step("sees another file", |_, me| me.at = At::Void),
        }
    }

    pub fn create(&mut self) {
        if self.doc().unsent && self.holds() && !self.model.lacks(Without::UnsentTakenBack) {
            return self.write("records that it is about to send", true, |next, me| me.doc_in(next).unsent = false);
        }
        let id = self.me.file.expect("an id is known here") as usize;
        let bytes = self.me.snapshot.bytes();
        let then = self.once_stored();
        if self.file().content.is_some() {
            if self.model.lacks(Without::WriteOnce) {
                return self.step("overwrites the file", |next, me| {
                    next.files[id].content = Some(bytes);
                    me.at = then;
                });
            }
            return self.step("finds the id taken", |_, me| (me.unsent, me.at) = (false, At::Look));
        }
        if self.state.trouble.refusals > 0 {
            let is_unsent = self.me.unsent || self.model.lacks(Without::UnsentOfFreshIds);
            let me = self.me;
            self.fail("is refused before the first byte", |next| {
                next.trouble.refusals -= 1;
                me.doc_in(next).unsent = is_unsent;
            });
        }
        self.step("uploads", |next, me| {
            next.files[id].content = Some(bytes);
            next.files[id].trashed = false;
            me.at = then;
        });
        if self.state.trouble.delayed_creations > 0 && self.state.delayed.is_none() {
            self.step("gets no answer to its upload", |next, me| {
                next.trouble.delayed_creations -= 1;
                next.delayed = Some((id as u8, bytes));
                (me.unsent, me.at) = (false, At::Look);
            });
        }
        if self.state.trouble.garbled > 0 {
            let verified = !self.model.lacks(Without::VerifiedUpload);
            self.step("uploads, and it arrives damaged", |next, me| {
                next.trouble.garbled -= 1;
                next.files[id].content = Some(super::content::Content::GARBLED);
                me.at = if verified { At::Void } else { then };
            });
        }
    }

    /// Records the id as void and, unless the day is empty, its successor, in one fenced write.
    pub fn void(&mut self) {
        let id = self.me.file.expect("an id is known here");
        let empty = self.me.snapshot.is_empty();
        if empty && self.model.lacks(Without::EmptyVoidsUnseen) && self.file().content.is_none() {
            return self.step("sees no file to void", |_, me| me.at = At::RecordEmpty);
        }
        let model = self.model;
        let elsewhere = self.file().place != self.me.place;
        let forgets = elsewhere && model.lacks(Without::OldPlaceVoided);
        let tramples_state = model.lacks(Without::SettlingWriteAndVoidState) && self.doc().fence == self.me.fence;
        let fenced = !model.lacks(Without::VoidFence) && !tramples_state;
        if model.lacks(Without::VoidBeforeTrash) && self.file().is_live() {
            return self.step("trashes the file before it voids it", |next, _| {
                discard(&mut next.files[id as usize], model);
            });
        }
        self.write("voids the file", fenced, |next, me| {
            me.file = (!empty).then(|| draw_id(next, me));
            me.other = Some(id);
            me.at = match (elsewhere, empty) {
                (false, _) => At::Trash,
                (true, true) => At::RecordEmpty,
                (true, false) => At::Create,
            };
            let doc = me.doc_in(next);
            if !forgets {
                doc.void(id);
            }
            (doc.file, doc.unsent, me.unsent) = (me.file, false, true);
        });
    }

    /// No fence: what is listed as void will never be official. A refusal is left to the sweep.
    pub fn trash(&mut self) {
        let id = self.me.other.expect("an id was voided");
        let then = if self.me.snapshot.is_empty() { At::RecordEmpty } else { At::Create };
        let model = self.model;
        self.step("trashes the void file", |next, me| {
            trash_void(next, model, (me.db, me.batch), id);
            (me.other, me.at) = (None, then);
        });
        if self.state.trouble.trash_failures > 0 {
            self.step("cannot trash the void file", |next, me| {
                next.trouble.trash_failures -= 1;
                (me.other, me.at) = (None, then);
            });
        }
    }

    /// Nothing was due: recorded once no earlier upload of this batch can be taken for its file.
    pub fn record_empty(&mut self) {
        self.write("records the day as empty", true, |next, me| {
            let doc = me.doc_in(next);
            doc.phase = Phase::Empty;
            doc.live = false;
            *me = Holder::default();
        });
    }
}

/// Trashes a void file and records it as trashed: only when a file was seen there, because a creation may still be on its way. A sealed
/// one stays: this database does not know what became of it.
fn trash_void(state: &mut State, model: &Protocol, (db, batch): (u8, u8), id: u8) {
    let file = &mut state.files[id as usize];
    if file.is_sealed() && !model.lacks(Without::SealStopsTrash) {
        return;
    }
    let seen = file.content.is_some() || model.lacks(Without::TrashedMeansSeen);
    discard(file, model);
    let database = &mut state.dbs[db as usize];
    if seen && !database.is_locked(batch) {
        database.batches[batch as usize].trashed |= 1 << id;
    }
}

impl Protocol {
    /// What any later invocation does for every batch: it trashes what is void at its own destination and not recorded as trashed, and
    /// seals what is committed.
    pub fn later_invocations(&self, state: &State, moves: &mut Vec<Move>) {
        for db in (0..2).filter(|&db| state.is_used(db)) {
            for (batch, doc) in state.dbs[db].batches.iter().enumerate() {
                let mut push = |what, next: State| {
                    if next != *state {
                        moves.push(Move { who: None, what, on: Some(batch as u8), next });
                    }
                };
                for id in (0..state.next_id).filter(|id| (doc.voided & !doc.trashed) >> id & 1 == 1) {
                    let mut next = *state;
                    let reached = state.files[id as usize].place == state.place;
                    if reached && self.may_begin(state, db) && !self.lacks(Without::Sweep) {
                        trash_void(&mut next, self, (db as u8, batch as u8), id);
                        push("the sweep trashes a void file of batch", next);
                    }
                }
                if self.bounds.seals && !self.lacks(Without::Seal) && doc.is_committed() && !doc.sealed {
                    push("the file is sealed of batch", seal(*state, db, batch, doc));
                }
            }
        }
    }
}

/// The number goes onto the file, then the batch document is told so; the very same step again does what is missing. A file that is not
/// live, or that has another number, is left to people.
fn seal(mut state: State, db: usize, batch: usize, doc: &Batch) -> State {
    let file = &mut state.files[doc.file.expect("a committed file") as usize];
    if file.is_live() && file.number == 0 {
        file.number = doc.number;
    } else if file.is_live() && file.number == doc.number {
        state.dbs[db].batches[batch].sealed = true;
    }
    state
}
