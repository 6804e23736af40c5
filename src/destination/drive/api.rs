//! Builds every request to Drive, and knows which answers are successes.
//!
//! Every request on files sets `supportsAllDrives`: without it Drive answers 404 for files in shared drives. Small
//! requests can be repeated without harm and are repeated here. Requests of an upload session are sent once, because
//! the session decides what follows.

use std::time::Duration;

use humantime::format_duration;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, LOCATION, RANGE};
use reqwest::{Body, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use super::auth::Auth;
use super::fault::{Answer, Fault, if_there, judge};
use super::metadata::{FIELDS, Metadata, Page};
use super::patience::Patience;
use super::session::{Heard, SessionUri};
use super::wire::{Flow, read_body};
use crate::destination::NewFile;
use crate::http::{Http, retry_after};
use crate::secret::{Secret, conceal};

/// Drive's API as one identity sees it.
pub(super) struct Api {
    pub(super) http: Http,
    pub(super) base: Url,
    pub(super) auth: Auth,
    /// The longest silence, and the longest time that a small request may take in all.
    pub(super) idle: Duration,
    /// The first wait after a failure.
    pub(super) unit: Duration,
}

const ALL_DRIVES: (&str, &str) = ("supportsAllDrives", "true");

/// Without it an administrator's default could show a new file to the whole domain, which an accounting file must not be.
const NOT_PUBLISHED: (&str, &str) = ("ignoreDefaultVisibility", "true");

impl Api {
    /// An address below the base. Segments are encoded, so an id cannot become a path.
    pub(super) fn address(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // `Drive::new` refuses a base that cannot have a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    /// The address of a file or a folder.
    pub(super) fn file(&self, id: &str, query: &[(&str, &str)]) -> Url {
        self.address(&["drive", "v3", "files", id], &[&[ALL_DRIVES], query].concat())
    }

    /// The retries and waits that one operation may use.
    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.unit, rand::random())
    }

    /// A new id for a file, good for one create.
    pub(super) async fn generate_id(&self) -> Result<String, Fault> {
        let query = [("count", "1"), ("space", "drive"), ("type", "files")];
        let url = self.address(&["drive", "v3", "files", "generateIds"], &query);
        self.repeat(|| async {
            let answer = self.shot("asking for a file id", self.http.client.get(url.clone())).await?;
            let ids: Value = parse(&answer)?;
            let id = ids["ids"][0].as_str().filter(|id| !id.is_empty());
            id.map(str::to_owned).ok_or_else(|| Fault::passing("Drive gave no file id"))
        })
        .await
    }

    /// A file's metadata; `None` when no file has this id, or these credentials may not see it.
    pub(super) async fn metadata(&self, id: &str) -> Result<Option<Metadata>, Fault> {
        self.get("looking at the file", self.file(id, &[("fields", FIELDS)])).await
    }

    /// Any GET that answers JSON; `None` after a 404.
    pub(super) async fn get<T: DeserializeOwned>(&self, doing: &str, url: Url) -> Result<Option<T>, Fault> {
        let once = || async { parse(&self.shot(doing, self.http.client.get(url.clone())).await?) };
        if_there(self.repeat(once).await)
    }

    /// The address of a page of the files that a query finds, the trash included. `how` says where it searches, and which page it is.
    fn listing(&self, query: &str, how: &[(&str, &str)]) -> Url {
        let fields = format!("nextPageToken,incompleteSearch,files({FIELDS})");
        let all = [ALL_DRIVES, ("includeItemsFromAllDrives", "true"), ("q", query), ("fields", &fields)];
        self.address(&["drive", "v3", "files"], &[&all, how].concat())
    }

    /// The first page of what all drives have, whatever part of them Drive has searched; `None` after a 404.
    pub(super) async fn first_page(&self, query: &str, how: &[(&str, &str)]) -> Result<Option<Page>, Fault> {
        self.get("listing the folder", self.listing(query, &[&[("corpora", "allDrives")], how].concat())).await
    }

    /// One page, in one shared drive, or among all files that this account sees.
    pub(super) async fn list(&self, query: &str, shared_drive: Option<&str>, page: &str) -> Result<Page, Fault> {
        let corpora = if shared_drive.is_some() { "drive" } else { "user" };
        let mut how = vec![("corpora", corpora), ("pageSize", "100")];
        how.extend(shared_drive.map(|id| ("driveId", id)));
        how.extend((!page.is_empty()).then_some(("pageToken", page)));
        let url = self.listing(query, &how);
        self.repeat(|| async {
            match parse::<Page>(&self.shot("listing the folder", self.http.client.get(url.clone())).await?)? {
                page if page.incomplete_search => Err(Fault::passing("Drive searched only a part of the folder")),
                page => Ok(page),
            }
        })
        .await
    }

    /// Puts a file into the trash. When there is no file yet, a paused run may still create it: then an empty file
    /// takes the id first, so that this creation can never succeed.
    pub(super) async fn trash(&self, folder: &str, id: &str) -> Result<(), Fault> {
        let url = self.file(id, &[("fields", "id,trashed")]);
        let once = || async {
            let request = self.http.client.patch(url.clone()).json(&json!({"trashed": true}));
            self.shot("putting a void file into the trash", request).await
        };
        if if_there(self.repeat(once).await)?.is_some() {
            return Ok(());
        }
        self.take(folder, id).await?;
        // The file is still not there: it was deleted for good, and its id with it.
        if_there(self.repeat(once).await).map(drop)
    }

    /// Creates an empty file under an id, unless the id is taken or was issued to other credentials; in both cases
    /// these credentials can do nothing.
    async fn take(&self, folder: &str, id: &str) -> Result<(), Fault> {
        let url = self.address(&["drive", "v3", "files"], &[ALL_DRIVES, NOT_PUBLISHED, ("fields", "id")]);
        let metadata = json!({"id": id, "name": "void", "parents": [folder], "mimeType": "text/plain"});
        let once = || async { self.shot("taking a void id", self.http.client.post(url.clone()).json(&metadata)).await };
        match self.repeat(once).await {
            Ok(_) | Err(Fault::Taken | Fault::IdUnusable { .. } | Fault::Unexplained { status: 400, .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Changes a file's metadata and returns it; `None` when there is no such file, or these credentials may not see
    /// it.
    pub(super) async fn patch(&self, doing: &str, id: &str, changes: &Value) -> Result<Option<Metadata>, Fault> {
        let url = self.file(id, &[("fields", FIELDS)]);
        let once = || async { parse(&self.shot(doing, self.http.client.patch(url.clone()).json(changes)).await?) };
        if_there(self.repeat(once).await)
    }

    /// Opens the content of a file, for the caller to read.
    pub(super) async fn content(&self, id: &str) -> Result<Option<Response>, Fault> {
        let url = self.file(id, &[("alt", "media")]);
        let once = || async { self.open("reading the file", self.http.client.get(url.clone())).await };
        if_there(self.repeat(once).await)
    }

    /// Opens an upload session for a file.
    pub(super) async fn start(&self, folder: &str, file: &NewFile<'_>) -> Result<SessionUri, Fault> {
        let digests = file.spool.digests();
        let query = [("uploadType", "resumable"), ALL_DRIVES, NOT_PUBLISHED, ("fields", FIELDS)];
        let mut metadata = json!({
            "id": file.id,
            "name": file.name,
            "parents": [folder],
            "mimeType": file.mime_type,
            "appProperties": {"batchId": file.mark.batch_name(), "sha256": digests.sha256},
        });
        if let Some(installation) = file.mark.installation {
            metadata["properties"] = json!({"installation": installation});
        }
        let request = self
            .http
            .client
            .post(self.address(&["upload", "drive", "v3", "files"], &query))
            .header("X-Upload-Content-Type", file.mime_type)
            .header("X-Upload-Content-Length", digests.bytes)
            .json(&metadata);
        let answer = self.shot("opening the upload", request).await?;
        let location = answer.location.and_then(|location| self.base.join(&location).ok());
        let location = location.ok_or_else(|| Fault::passing("Drive opened an upload without a session address"))?;
        if self.base.scheme() == "https" && location.scheme() != "https" {
            return Err(Fault::passing("Drive opened an upload at an unencrypted address"));
        }
        location.query_pairs().filter(|(name, _)| name == "upload_id").for_each(|(_, id)| conceal(&id));
        Ok(SessionUri::new(Secret::new(location)))
    }

    /// Sends the bytes from `first` up to, but not including, `end`.
    pub(super) async fn send(&self, uri: &Secret, file: &NewFile<'_>, first: u64, end: u64) -> Heard {
        let total = file.spool.digests().bytes;
        let range = match end.checked_sub(first + 1) {
            Some(_) => format!("bytes {first}-{}/{total}", end - 1),
            None => format!("bytes */{total}"),
        };
        let flow = Flow::new();
        let body = match file.spool.open() {
            Ok(spool) => flow.body(spool, first, end - first).await,
            Err(error) => Err(error),
        };
        match body {
            Ok(body) => self.put(&flow, uri, range, end - first, body).await,
            Err(error) => Heard::Fault(Fault::failed(format!(
                "cannot read the spool file {}: {error}",
                file.spool.path().display()
            ))),
        }
    }

    pub(super) async fn ask(&self, uri: &Secret, total: u64) -> Heard {
        self.put(&Flow::new(), uri, format!("bytes */{total}"), 0, Body::default()).await
    }

    /// One PUT to a session. The length is always stated: without one, Google answers 411 to an empty body.
    async fn put(&self, flow: &Flow, uri: &Secret, range: String, length: u64, body: Body) -> Heard {
        let request =
            self.http.client.put(uri.expose()).header(CONTENT_RANGE, range).header(CONTENT_LENGTH, length).body(body);
        let doing = "uploading";
        let sent = async {
            let token = self.auth.bearer().await?;
            let sent = flow.watch(self.idle, self.sent(doing, &token, request)).await;
            self.answer(doing, &token, sent.ok_or_else(|| self.silent(doing))??).await
        };
        match sent.await {
            Ok(answer) if answer.status == 308 => stored(answer.range.as_deref()),
            Ok(answer) if (200..=299).contains(&answer.status) => {
                Heard::Complete(serde_json::from_slice(&answer.body).ok())
            }
            Ok(answer) => Heard::Fault(judge(doing, &answer, self.auth.identity())),
            Err(fault) => Heard::Fault(fault),
        }
    }

    /// Repeats a request until it succeeds, is refused, or patience ends.
    async fn repeat<T, F: Future<Output = Result<T, Fault>>>(&self, once: impl Fn() -> F) -> Result<T, Fault> {
        let mut patience = self.patience();
        let mut renewed = false;
        loop {
            let fault = match once().await {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            match &fault {
                Fault::Unauthorized { .. } if !renewed => renewed = true,
                Fault::Passing { why, retry_after } => match patience.strike(*retry_after) {
                    Some(delay) => pause(delay, &why.message).await,
                    None => return Err(fault.after_tries(patience.tries())),
                },
                _ => return Err(fault),
            }
        }
    }

    /// Sends one small request within the time limit; any answer but 2xx is a fault.
    async fn shot(&self, doing: &str, request: RequestBuilder) -> Result<Answer, Fault> {
        let token = self.auth.bearer().await?;
        let exchange = async { self.answer(doing, &token, self.sent(doing, &token, request).await?).await };
        let answer = timeout(self.idle, exchange).await.unwrap_or_else(|_| Err(self.silent(doing)))?;
        if (200..=299).contains(&answer.status) { Ok(answer) } else { Err(judge(doing, &answer, self.auth.identity())) }
    }

    /// Sends one request; the caller reads the content.
    async fn open(&self, doing: &str, request: RequestBuilder) -> Result<Response, Fault> {
        let token = self.auth.bearer().await?;
        let sent = timeout(self.idle, self.sent(doing, &token, request)).await;
        let response = sent.unwrap_or_else(|_| Err(self.silent(doing)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = self.answer(doing, &token, response).await?;
        Err(judge(doing, &answer, self.auth.identity()))
    }

    async fn sent(&self, doing: &str, token: &Secret, request: RequestBuilder) -> Result<Response, Fault> {
        request.bearer_auth(token.expose()).send().await.map_err(|error| self.failed(doing, error))
    }

    /// Reads an answer to its end, and drops a token that was refused.
    async fn answer(&self, doing: &str, token: &Secret, mut response: Response) -> Result<Answer, Fault> {
        let status = response.status().as_u16();
        if status == 401 {
            self.auth.refused(token).await;
        }
        let headers = response.headers();
        let mut answer = Answer {
            status,
            location: header(headers, LOCATION).map(str::to_owned),
            range: header(headers, RANGE).map(str::to_owned),
            retry_after: requested_wait(headers),
            body: Vec::new(),
        };
        answer.body = match timeout(self.idle, read_body(&mut response)).await {
            Ok(body) => body.map_err(|error| self.failed(doing, error))?,
            Err(_) => return Err(self.silent(doing)),
        };
        Ok(answer)
    }

    fn failed(&self, doing: &str, error: reqwest::Error) -> Fault {
        Fault::passing(self.http.failed(&format!("no answer from Drive while {doing}: "), error))
    }

    fn silent(&self, doing: &str) -> Fault {
        Fault::passing(format!("Drive was silent for {} while {doing}", format_duration(self.idle)))
    }
}

/// Waits before the next try and logs why, so that a long upload does not look as if it hung.
pub(super) async fn pause(delay: Duration, reason: &str) {
    tracing::warn!(wait_ms = delay.as_millis() as u64, "{reason}; trying again");
    tokio::time::sleep(delay).await;
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    serde_json::from_slice(&answer.body)
        .map_err(|_| Fault::passing(format!("Drive answered {} with content that cannot be read", answer.status)))
}

/// How long Drive asks to wait. More seconds than a duration holds are the longest wait; a moment of the past is none.
fn requested_wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = retry_after(headers).filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(u64::MAX)))
}

/// The number of stored bytes, from the `Range` of a 308; zero without the header.
fn stored(range: Option<&str>) -> Heard {
    let Some(range) = range else { return Heard::Stored(0) };
    let last = range.trim().strip_prefix("bytes=0-").and_then(|last| last.parse::<u64>().ok());
    match last.and_then(|last| last.checked_add(1)) {
        Some(stored) => Heard::Stored(stored),
        None => Heard::Unclear(format!("Drive answered 308 with the range {range:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_from_the_beginning_counts() {
        assert!(matches!(stored(None), Heard::Stored(0)));
        assert!(matches!(stored(Some("bytes=0-42")), Heard::Stored(43)));
        for nonsense in ["bytes=5-42", "bytes=0-", "0-42", "bytes=0-18446744073709551615", "bytes=0-x", ""] {
            assert!(matches!(stored(Some(nonsense)), Heard::Unclear(_)), "{nonsense}");
        }
    }
}
