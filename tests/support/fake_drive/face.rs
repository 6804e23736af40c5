//! The fake as tests see it: addresses, credentials, folders of each kind, what is stored, what was asked, and the plans.

use super::faults::{Fault, On};
use super::hold::{Gate, Hold, Point};
use super::journal::{Operation, Request};
use super::server::{Shared, accept};
use super::state::{ANY_APP, Content, File, Role, State, now};
use super::token::{SCOPE_DRIVE, SERVICE_ACCOUNT};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A running fake; dropping it ends every connection.
pub struct FakeDrive {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

/// A file that clients made, or that a test planted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    pub id: String,
    pub name: String,
    pub mime_type: String,
    pub parents: Vec<String>,
    pub bytes: Vec<u8>,
    /// Of the stored bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// In the trash, itself or through its folder.
    pub trashed: bool,
    pub app_properties: BTreeMap<String, String>,
    pub properties: BTreeMap<String, String>,
    /// Its content and name are locked.
    pub locked: bool,
}

/// A file to plant.
#[derive(Clone, Debug)]
pub struct Planted {
    pub id: String,
    pub name: String,
    pub parent: String,
    pub bytes: Vec<u8>,
    pub trashed: bool,
    /// A file that exists but that nobody may read: its id is taken, and looking at it answers 404.
    pub readable: bool,
    /// Whether the app counts as its maker, so that it sees the file's `appProperties`, and the file at all under `drive.file`.
    pub ours: bool,
    pub app_properties: BTreeMap<String, String>,
    pub properties: BTreeMap<String, String>,
}

impl FakeDrive {
    /// Starts on a free port of the loopback interface.
    pub fn start() -> Self {
        FakeDrive::known_as(|address| format!("http://{address}"))
    }

    /// Starts behind something else, by whose address it is known: in its own links, and in the credentials.
    pub fn known_as(url: impl FnOnce(SocketAddr) -> String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port for the fake Drive");
        let address = listener.local_addr().expect("the port of the fake Drive");
        let shared = Arc::new(Shared::new(url(address)));
        let acceptor = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept(&shared, &listener))
        };
        FakeDrive { shared, address, acceptor: Some(acceptor) }
    }

    /// For `--drive-url`: no slash at the end.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    fn token_uri(&self) -> String {
        format!("{}/token", self.shared.url)
    }

    /// Credentials of a service account, as its key file holds them.
    pub fn service_account(&self) -> String {
        self.shared.state().tokens.service_account_json(&self.token_uri())
    }

    /// Credentials of a person who consented to the whole of Drive.
    pub fn authorized_user(&self) -> String {
        self.authorized_user_for(SCOPE_DRIVE)
    }

    /// Credentials of a person who consented to `scope` (separated by blanks).
    pub fn authorized_user_for(&self, scope: &str) -> String {
        self.shared.state().tokens.authorized_user_json(&self.token_uri(), scope)
    }

    /// The OAuth client that persons consent to, as its `client.json` holds it.
    pub fn oauth_client(&self) -> String {
        self.shared.state().tokens.client_json(&self.token_uri())
    }

    /// A person consents: the code that the browser brings back, good for one exchange.
    pub fn consent_code(&self) -> String {
        self.shared.state().tokens.consent_code()
    }

    /// The folder for exports, in a shared drive.
    pub fn folder(&self) -> String {
        self.shared.state().folder.clone()
    }

    /// The shared drive.
    pub fn drive_id(&self) -> String {
        self.shared.state().drive_id.clone()
    }

    /// One more folder for exports, in the same shared drive.
    pub fn another_folder(&self) -> String {
        self.shared.state().add_folder("Exports of another year")
    }

    /// A folder in a person's My Drive, shared with the service account: which may make folders in it, but store nothing.
    pub fn my_drive_folder(&self) -> String {
        self.shared.state().my_drive_folder.clone()
    }

    /// A folder in the shared drive in which nobody may add anything.
    pub fn read_only_folder(&self) -> String {
        self.shared.state().read_only_folder.clone()
    }

    /// A folder in the trash. Drive accepts uploads into it: the files are in the trash from the start.
    pub fn trashed_folder(&self) -> String {
        self.shared.state().trashed_folder.clone()
    }

    /// An id under which there is nothing.
    pub fn missing_folder(&self) -> String {
        "1nothing-was-ever-stored-under-this".to_owned()
    }

    /// Everything stored apart from the folders of the model, oldest first.
    pub fn files(&self) -> Vec<StoredFile> {
        let state = self.shared.state();
        state.files.iter().filter(|file| !file.fixture).map(|file| stored(&state, file)).collect()
    }

    /// The files of this name that are not in the trash.
    pub fn live(&self, name: &str) -> Vec<StoredFile> {
        self.files().into_iter().filter(|file| file.name == name && !file.trashed).collect()
    }

    /// An id that the service account may create a file under.
    pub fn issue_id(&self) -> String {
        self.shared.state().issue_id(SERVICE_ACCOUNT)
    }

    /// A planted file in the export folder, as the client itself might have left it.
    pub fn planted(&self, id: &str, name: &str, bytes: &[u8]) -> Planted {
        Planted {
            id: id.to_owned(),
            name: name.to_owned(),
            parent: self.folder(),
            bytes: bytes.to_vec(),
            trashed: false,
            readable: true,
            ours: true,
            app_properties: BTreeMap::new(),
            properties: BTreeMap::new(),
        }
    }

    /// Plants a file, in place of the one that has its id.
    pub fn put_file(&self, planted: Planted) {
        let mut state = self.shared.state();
        let drive_id = state.file(&planted.parent).and_then(|parent| parent.drive_id.clone());
        state.files.retain(|file| file.id != planted.id);
        state.spent_ids.insert(planted.id.clone());
        state.files.push(File {
            id: planted.id,
            name: planted.name,
            mime_type: "text/csv".to_owned(),
            parents: vec![planted.parent],
            drive_id,
            app: planted.ours.then(|| ANY_APP.to_owned()),
            app_properties: planted.app_properties,
            properties: planted.properties,
            locked: None,
            content: Content::of(planted.bytes),
            trashed: planted.trashed,
            readable: planted.readable,
            can_add_children: false,
            fixture: false,
            created_at: now(),
        });
    }

    /// Makes a file older than it is.
    pub fn make_older(&self, id: &str, by: std::time::Duration) {
        let mut state = self.shared.state();
        let file = state.files.iter_mut().find(|file| file.id == id).expect("the file that is to be older");
        let created: chrono::DateTime<chrono::Utc> = file.created_at.parse().expect("the fake's own time");
        file.created_at = (created - by).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    }

    /// A person puts a file or folder into the trash.
    pub fn trash(&self, id: &str) {
        let mut state = self.shared.state();
        let file = state.files.iter_mut().find(|file| file.id == id);
        file.expect("the file that is to be trashed").trashed = true;
    }

    /// A person gives a file another name.
    pub fn rename(&self, id: &str, name: &str) {
        let mut state = self.shared.state();
        let file = state.files.iter_mut().find(|file| file.id == id);
        name.clone_into(&mut file.expect("the file that is to be renamed").name);
    }

    /// A person moves a file to another folder.
    pub fn move_to(&self, id: &str, folder: &str) {
        let mut state = self.shared.state();
        let file = state.files.iter_mut().find(|file| file.id == id);
        file.expect("the file that is to be moved").parents = vec![folder.to_owned()];
    }

    /// A person removes a file for good. Its id stays taken.
    pub fn remove(&self, id: &str) {
        self.shared.state().files.retain(|file| file.id != id);
    }

    /// What the account may do in the shared drive; a content manager if not set.
    pub fn set_role(&self, role: Role) {
        self.shared.state().role = role;
    }

    /// The person's storage is full (a shared drive's is not).
    pub fn fill_quota(&self) {
        self.shared.state().quota_full = true;
    }

    /// The account may not lock the content of files.
    pub fn refuse_locks(&self) {
        self.shared.state().locks_refused = true;
    }

    /// `files.list` does not find new files yet.
    pub fn let_lists_lag(&self) {
        self.shared.state().lists_lag = true;
    }

    /// An id that is taken is refused at the last chunk, not when the session starts.
    pub fn refuse_taken_ids_late(&self) {
        self.shared.state().late_conflicts = true;
    }

    /// Every access token is dead from now on.
    pub fn expire_tokens(&self) {
        self.shared.state().tokens.expire_all();
    }

    /// The service account's key is deleted: no new token.
    pub fn revoke_key(&self) {
        self.shared.state().tokens.revoke_key();
    }

    /// The person's consent has ended: no new token.
    pub fn revoke_consent(&self) {
        self.shared.state().tokens.revoke_consent();
    }

    /// Every upload session is gone, and answers `status` (404 or 410), as do those that planned faults end later.
    pub fn expire_sessions(&self, status: u16) {
        let mut state = self.shared.state();
        state.sessions.clear();
        state.gone_status = status;
    }

    /// Every secret handed out so far: keys, tokens, client secrets, session ids. None may appear in a log or a document.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.state().tokens.secrets.clone()
    }

    /// Every request so far, in the order of arrival.
    pub fn journal(&self) -> Vec<Request> {
        self.shared.log().journal.clone()
    }

    /// The requests of one operation, in the order of arrival.
    pub fn requests(&self, operation: Operation) -> Vec<Request> {
        self.journal().into_iter().filter(|request| request.operation == operation).collect()
    }

    /// How many requests of the operation arrived.
    pub fn count(&self, operation: Operation) -> usize {
        self.requests(operation).len()
    }

    /// The next request of the operation, whatever its number.
    pub fn next(&self, operation: Operation) -> On {
        On::nth(operation, self.count(operation) + 1)
    }

    /// Plans a fault. Of two that match the same request, the one planned first strikes.
    pub fn plan(&self, on: On, fault: Fault) {
        self.shared.log().plan.add_fault(on, fault);
    }

    /// The trouble is over: no planned fault strikes any more.
    pub fn cure(&self) {
        self.shared.log().plan.cure();
    }

    /// Holds requests at a point, until the hold is released or dropped.
    #[must_use = "a dropped hold holds nothing"]
    pub fn hold(&self, on: On, point: Point) -> Hold {
        let gate = Arc::new(Gate::default());
        let what = format!("{point:?} of {on:?}");
        self.shared.log().plan.add_hold(on, point, Arc::clone(&gate));
        Hold { gate, what }
    }

    /// Lets go on what planned stalls have stopped so far.
    pub fn release_stalls(&self) {
        self.shared.release_stalls();
    }

    /// Panics if a planned fault has not struck as often as planned, or struck a request that it could not change: the test then
    /// tested something else.
    pub fn assert_all_faults_fired(&self) {
        let unfired = self.shared.log().plan.unfired();
        assert!(unfired.is_empty(), "planned, but never happened: {unfired:#?}");
    }
}

impl Drop for FakeDrive {
    fn drop(&mut self) {
        self.shared.stop();
        // The acceptor looks at the flag only when somebody knocks.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        // Again, for a connection that was accepted between the first stop and the knock.
        self.shared.stop();
    }
}

fn stored(state: &State, file: &File) -> StoredFile {
    StoredFile {
        id: file.id.clone(),
        name: file.name.clone(),
        mime_type: file.mime_type.clone(),
        parents: file.parents.clone(),
        bytes: file.content.bytes.clone(),
        sha256: file.content.sha256.clone(),
        trashed: state.is_trashed(file),
        app_properties: file.app_properties.clone(),
        properties: file.properties.clone(),
        locked: file.locked.is_some(),
    }
}
