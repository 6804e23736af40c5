//! The owner of a name: the folder is searched before anything is stored or adopted.
//!
//! The database cannot tell what another state of it, or another installation, put into the folder. The file's properties can. A file
//! that is ours to the byte is adopted; before any other one the pass stops, and decides nothing.

use super::Without;
use super::state::{At, File};
use super::turn::Turn;

impl Turn<'_> {
    /// Asks the folder for live files of this name that the batch document does not know, and for files of this installation with a number
    /// that the ledger has not allotted yet. One that the document lists as void and that is sealed by now counts too: another state of the
    /// database made it official.
    pub fn look_for_name(&mut self) {
        let (me, doc, state) = (self.me, self.doc(), self.state);
        let is_void = |id: u8| doc.voided >> id & 1 == 1;
        let counts = !self.model.lacks(Without::SealedVoidCounts);
        let known = |id: u8| Some(id) == me.file || is_void(id) && !(counts && state.files[id as usize].is_sealed());
        let looks_ahead = !self.model.lacks(Without::AheadLookedFor) && !self.model.lacks(Without::NumberCompared);
        let (installation, number) = (self.db().installation, self.db().number);
        let is_ahead = |file: &File| looks_ahead && file.installation == installation && file.number > number;
        let named = |file: &File| file.place == me.place && (file.name == me.batch || is_ahead(file));
        let strangers: Vec<u8> = (0..state.next_id)
            .filter(|&id| !known(id) && named(&state.files[id as usize]) && state.files[id as usize].is_live())
            .collect();
        let then = if me.file.is_some() { At::Look } else { At::StoreId };
        match *strangers {
            _ if self.model.lacks(Without::NameLookedFor) => self.step("looks for nothing", |_, me| me.at = then),
            [] => self.step("finds the name free", |_, me| me.at = then),
            [id] if !is_void(id) && self.is_ours(state.files[id as usize]) => {
                self.step("finds its own file under the name", |_, me| (me.other, me.at) = (Some(id), At::AdoptName));
            }
            _ => self.fail("finds the name taken, and refuses", |_| ()),
        }
    }

    /// Same bytes, same installation, and not sealed, or sealed with the very number that this commit will allot.
    fn is_ours(&self, file: File) -> bool {
        let model = self.model;
        let same = file.content == Some(self.me.snapshot.bytes()) || model.lacks(Without::ChecksumOfAdopted);
        let installed = file.installation == self.db().installation || model.lacks(Without::InstallationCompared);
        let numbered = [0, self.me.number + 1].contains(&file.number) || model.lacks(Without::NumberCompared);
        same && installed && numbered && file.name == self.me.batch
    }

    /// The found file takes the place of an id that was stored before, under which a creation may still be on its way: so that id is void
    /// from now on.
    pub fn adopt_name(&mut self) {
        let then = self.once_stored();
        let forgets = self.model.lacks(Without::ReplacedIdVoided);
        self.write("stores the id of the file that it found", true, |next, me| {
            let replaced = std::mem::replace(&mut me.file, me.other.take());
            (me.adopted, me.at) = (true, then);
            let doc = me.doc_in(next);
            if let Some(id) = replaced.filter(|_| !forgets) {
                doc.void(id);
            }
            (doc.file, doc.unsent) = (me.file, false);
        });
    }
}
