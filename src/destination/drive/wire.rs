//! The wire: bodies streamed from the spool file, and the limits that end a stalled connection.
//!
//! Risk: a server that goes silent while the connection stays open would hold the run until its lease ends. So silence
//! has a limit, while sending and while waiting. The HTTP library also gives the connection to a task of its own, which
//! may outlive the request. So a body stops when its request is dropped, and nothing more is sent.

use std::io::{self, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use reqwest::{Body, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::{Instant, timeout_at};
use tokio_util::bytes::Bytes;
use tokio_util::io::ReaderStream;

/// Bytes read from the spool file, and handed to the connection, at a time.
const PART_BYTES: usize = 64 * 1024;

/// How much of an answer is read at most: metadata takes some hundred bytes, a list of files some thousand.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The body of an answer, cut at a limit that no expected answer reaches.
pub(super) async fn read_body(answer: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await? {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&part[..part.len().min(room)]);
        if body.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(body)
}

/// The flow of one request's body: when a part was last sent, and whether it may continue. Dropping it stops the body.
pub(super) struct Flow(Arc<Shared>);

struct Shared {
    moved: Mutex<Instant>,
    stopped: AtomicBool,
}

impl Flow {
    pub(super) fn new() -> Flow {
        Flow(Arc::new(Shared { moved: Mutex::new(Instant::now()), stopped: AtomicBool::new(false) }))
    }

    /// A body of `length` bytes of the file from `first` on, read while it is sent. A file that ends early fails the request.
    pub(super) async fn body(&self, file: std::fs::File, first: u64, length: u64) -> io::Result<Body> {
        Ok(Body::wrap_stream(self.parts(file, first, length).await?))
    }

    async fn parts(
        &self,
        file: std::fs::File,
        first: u64,
        length: u64,
    ) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        let mut file = File::from_std(file);
        file.seek(SeekFrom::Start(first)).await?;
        let flow = Arc::clone(&self.0);
        Ok(ReaderStream::with_capacity(file.take(length), PART_BYTES).map(move |part| {
            if flow.stopped.load(Ordering::Acquire) {
                return Err(io::Error::other("the upload was stopped"));
            }
            *flow.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            part
        }))
    }

    /// Waits for `done`; `None` after a silence longer than `idle`.
    pub(super) async fn watch<T>(&self, idle: Duration, done: impl Future<Output = T>) -> Option<T> {
        let mut done = std::pin::pin!(done);
        loop {
            let end = *self.0.moved.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            if let Ok(done) = timeout_at(end, done.as_mut()).await {
                return Some(done);
            }
            if *self.0.moved.lock().unwrap_or_else(PoisonError::into_inner) + idle <= Instant::now() {
                return None;
            }
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn silence_ends_the_wait_and_movement_prolongs_it() {
        let flow = Flow::new();
        assert_eq!(flow.watch(Duration::from_millis(50), std::future::pending::<()>()).await, None);
        // In all longer than the limit on silence, with a pause far below it each time.
        let flow = Flow::new();
        let mover = async {
            for _ in 0..25 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                *flow.0.moved.lock().unwrap() = Instant::now();
            }
        };
        assert_eq!(flow.watch(Duration::from_secs(2), mover).await, Some(()));
    }

    #[tokio::test]
    async fn nothing_leaves_after_the_request_is_dropped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 3 * PART_BYTES]).unwrap();
        let flow = Flow::new();
        let mut parts = std::pin::pin!(flow.parts(file, 0, 3 * PART_BYTES as u64).await.unwrap());
        assert_eq!(parts.next().await.unwrap().unwrap().len(), PART_BYTES);
        drop(flow);
        assert!(parts.next().await.unwrap().is_err());
    }
}
