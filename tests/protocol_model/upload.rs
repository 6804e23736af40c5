//! The id stored beforehand, the look, the creation, the voiding, the trashing.
//!
//! Nothing at the destination knows of fences: a creation by a holder that lost its lease does take effect. What makes it harmless is
//! that an id never changes its content, that a file becomes void only by a fenced write, and that this write comes first.

use super::state::{At, Content, File, IDS, Phase, State};
use super::turn::Turn;
use super::{Move, Protocol, Without};

/// Draws a fresh file id.
fn draw_id(state: &mut State) -> u8 {
    let id = state.next_id;
    assert!((id as usize) < IDS, "IDS is too small for these bounds");
    state.next_id += 1;
    id
}

/// Trashes a file, whoever asks.
fn discard(file: &mut File, model: &Protocol) {
    *file = if model.lacks(Without::TrashKeepsId) {
        File { content: None, trashed: false }
    } else {
        File { trashed: file.content.is_some(), ..*file }
    };
}

impl Turn<'_> {
    fn file(&self) -> File {
        self.state.files[self.me.file.expect("an id is known here") as usize]
    }

    /// A fresh id, stored before the first byte leaves.
    pub fn store_id(&mut self) {
        let batch = self.me.batch as usize;
        if self.model.lacks(Without::StoredId) {
            return self.step("draws an id", |next, me| {
                me.file = Some(draw_id(next));
                me.at = At::Create;
            });
        }
        self.write("stores an id", true, |next, me| {
            me.file = Some(draw_id(next));
            next.batches[batch].file = me.file;
            me.at = At::Create;
        });
    }

    pub fn look(&mut self) {
        let file = self.file();
        match file.content {
            None => self.step("sees no file", |_, me| me.at = At::Create),
            Some(content)
                if !file.trashed && (content == self.me.snapshot || self.model.lacks(Without::ChecksumOfAdopted)) =>
            {
                let then = self.once_stored();
                self.step("adopts the file", |_, me| {
                    me.at = then;
                    me.adopted = true;
                });
            }
            Some(_) => self.step("sees another file", |_, me| me.at = At::Void),
        }
    }

    pub fn create(&mut self) {
        let id = self.me.file.expect("an id is known here") as usize;
        let snapshot = self.me.snapshot;
        let stored = File { content: Some(snapshot), trashed: false };
        let then = self.once_stored();
        if self.file().content.is_some() {
            if self.model.lacks(Without::WriteOnce) {
                return self.step("overwrites the file", |next, me| {
                    next.files[id] = stored;
                    me.at = then;
                });
            }
            return self.step("finds the id taken", |_, me| me.at = At::Look);
        }
        self.step("uploads", |next, me| {
            next.files[id] = stored;
            me.at = then;
        });
        if self.state.trouble.delayed_creations > 0 && self.state.delayed.is_none() {
            self.step("gets no answer to its upload", |next, me| {
                next.trouble.delayed_creations -= 1;
                next.delayed = Some((id as u8, snapshot));
                me.at = At::Look;
            });
        }
        if self.state.trouble.garbled > 0 {
            let verified = !self.model.lacks(Without::VerifiedUpload);
            self.step("uploads, and it arrives damaged", |next, me| {
                next.trouble.garbled -= 1;
                next.files[id] = File { content: Some(Content::GARBLED), trashed: false };
                me.at = if verified { At::Void } else { then };
            });
        }
    }

    /// Records the id as void and, unless the day is empty, its successor, in one fenced write.
    pub fn void(&mut self) {
        let (batch, id) = (self.me.batch as usize, self.me.file.expect("an id is known here"));
        let empty = self.me.snapshot == Content::default();
        if empty && self.model.lacks(Without::EmptyVoidsUnseen) && self.file().content.is_none() {
            return self.step("sees no file to void", |_, me| me.at = At::RecordEmpty);
        }
        let model = self.model;
        let tramples_state = model.lacks(Without::SettlingWriteAndVoidState) && self.doc().fence == self.me.fence;
        let fenced = !model.lacks(Without::VoidFence) && !tramples_state;
        let trash_first = model.lacks(Without::VoidBeforeTrash);
        if trash_first && self.file().is_live() {
            return self.step("trashes the file before it voids it", |next, _| {
                discard(&mut next.files[id as usize], model);
            });
        }
        self.write("voids the file", fenced, |next, me| {
            me.file = (!empty).then(|| draw_id(next));
            me.to_trash = Some(id);
            me.at = At::Trash;
            let doc = &mut next.batches[batch];
            doc.voided |= 1 << id;
            doc.file = me.file;
        });
    }

    /// No fence: what is listed as void will never be official. A refusal is left to the sweep.
    pub fn trash(&mut self) {
        let (batch, id) = (self.me.batch, self.me.to_trash.expect("an id was voided"));
        let then = if self.me.snapshot == Content::default() { At::RecordEmpty } else { At::Create };
        let model = self.model;
        self.step("trashes the void file", |next, me| {
            trash_void(next, model, batch, id);
            me.to_trash = None;
            me.at = then;
        });
        if self.state.trouble.trash_failures > 0 {
            self.step("cannot trash the void file", |next, me| {
                next.trouble.trash_failures -= 1;
                me.to_trash = None;
                me.at = then;
            });
        }
    }

    /// Nothing was due: recorded once no earlier upload of this batch can be taken for its file.
    pub fn record_empty(&mut self) {
        let batch = self.me.batch as usize;
        self.write("records the day as empty", true, |next, me| {
            next.batches[batch].phase = Phase::Empty;
            next.batches[batch].live = false;
            *me = Default::default();
        });
    }
}

/// Trashes a void file and records it as trashed: only when a file was seen there, because a creation may still be on its way.
fn trash_void(state: &mut State, model: &Protocol, batch: u8, id: u8) {
    let file = &mut state.files[id as usize];
    let seen = file.content.is_some() || model.lacks(Without::TrashedMeansSeen);
    discard(file, model);
    if seen && !state.is_locked(batch) {
        state.batches[batch as usize].trashed |= 1 << id;
    }
}

impl Protocol {
    /// The sweep: any later invocation trashes what is void and not recorded as trashed.
    pub fn sweep(&self, state: &State, moves: &mut Vec<Move>) {
        if self.lacks(Without::Sweep) {
            return;
        }
        for (batch, doc) in state.batches.iter().enumerate() {
            for id in (0..state.next_id).filter(|id| (doc.voided & !doc.trashed) >> id & 1 == 1) {
                let mut next = *state;
                trash_void(&mut next, self, batch as u8, id);
                if next != *state {
                    moves.push(Move {
                        who: None,
                        what: "the sweep trashes a void file of batch",
                        on: Some(batch as u8),
                        next,
                    });
                }
            }
        }
    }
}
