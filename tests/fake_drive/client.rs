//! A client that does what a test says, however wrong: one raw request per connection.

use crate::support::fake_drive::{FakeDrive, SCOPE_DRIVE, SERVICE_ACCOUNT};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const KIB_256: usize = 262_144;
/// A fake that does not answer at all must fail the test, not hang it.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn reason(&self) -> String {
        self.json()["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// A client with a bearer.
pub struct Client<'a> {
    pub drive: &'a FakeDrive,
    pub bearer: String,
}

impl<'a> Client<'a> {
    pub fn sign_in(drive: &'a FakeDrive) -> Self {
        Client::sign_in_with(drive, SCOPE_DRIVE, None)
    }

    pub fn sign_in_with(drive: &'a FakeDrive, scope: &str, subject: Option<&str>) -> Self {
        let mut claims = claims(drive, scope);
        if let Some(subject) = subject {
            claims["sub"] = json!(subject);
        }
        let reply = exchange_assertion(drive, &claims, URL_SAFE_NO_PAD);
        let bearer = reply.json()["access_token"].as_str().expect("a token").to_owned();
        Client { drive, bearer }
    }

    pub fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], Some(b"")).expect("an answer")
    }

    pub fn send_json(&self, method: &str, target: &str, body: &Value) -> Reply {
        let headers = [("Content-Type", "application/json; charset=UTF-8")];
        self.send(method, target, &headers, Some(body.to_string().as_bytes())).expect("an answer")
    }

    /// `None` as the body sends no `Content-Length` either. `None` as the result: the connection ended without an answer.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Option<Reply> {
        let bearer = format!("Bearer {}", self.bearer);
        let mut headers = headers.to_vec();
        headers.push(("Authorization", &bearer));
        send(self.drive, method, target, &headers, body)
    }

    pub fn generate_id(&self) -> String {
        let reply = self.get("/drive/v3/files/generateIds?count=1&space=drive&type=files");
        reply.json()["ids"][0].as_str().expect("an id").to_owned()
    }

    pub fn start(&self, metadata: &Value) -> Reply {
        let fields = "id,name,size,md5Checksum,sha256Checksum,trashed,parents,appProperties,webViewLink";
        let target = format!("/upload/drive/v3/files?uploadType=resumable&supportsAllDrives=true&fields={fields}");
        self.send_json("POST", &target, metadata)
    }

    /// A new session for a file in the export folder, as path and query.
    pub fn session(&self, id: &str) -> String {
        let metadata = json!({"id": id, "name": "day.csv", "mimeType": "text/csv", "parents": [self.drive.folder()]});
        let reply = self.start(&metadata);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let location = reply.header("location").expect("a session").to_owned();
        location.strip_prefix(self.drive.url()).expect("a session at the fake").to_owned()
    }

    pub fn put(&self, session: &str, range: &str, body: &[u8]) -> Option<Reply> {
        self.send("PUT", session, &[("Content-Range", range)], Some(body))
    }

    /// Sends `bytes[from..to]` of a file.
    pub fn chunk(&self, session: &str, bytes: &[u8], from: usize, to: usize) -> Option<Reply> {
        self.put(session, &format!("bytes {from}-{}/{}", to - 1, bytes.len()), &bytes[from..to])
    }

    pub fn status(&self, session: &str, total: usize) -> Reply {
        self.put(session, &format!("bytes */{total}"), b"").expect("an answer")
    }

    /// A whole upload in one request.
    pub fn upload(&self, id: &str, bytes: &[u8]) -> Reply {
        let session = self.session(id);
        self.chunk(&session, bytes, 0, bytes.len()).expect("an answer")
    }
}

/// A request without a bearer.
pub fn send(
    drive: &FakeDrive,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Option<Reply> {
    let mut stream = begin(drive, method, target, headers, body.map(<[u8]>::len));
    // A fake that resets does not wait for the body: the failure is seen when reading.
    let _ = stream.write_all(body.unwrap_or_default());
    read_reply(&mut stream)
}

/// Sends the head of a request, and leaves the body to the caller.
pub fn begin(
    drive: &FakeDrive,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    length: Option<usize>,
) -> TcpStream {
    let address = drive.url().strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address).expect("a connection to the fake");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut head =
        format!("{method} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", target.replace(' ', "%20"));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("a request head sent");
    stream
}

/// The answer, or `None` if the connection ended before its head.
pub fn read_reply(stream: &mut TcpStream) -> Option<Reply> {
    let mut bytes = Vec::new();
    let mut piece = [0; 64 << 10];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer within {PATIENCE:?}"),
            Err(_) => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: bytes[end + 4..].to_vec() })
}

/// What a correct assertion says.
pub fn claims(drive: &FakeDrive, scope: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    json!({"iss": SERVICE_ACCOUNT, "scope": scope, "aud": format!("{}/token", drive.url()), "iat": now, "exp": now + 3600})
}

/// Signs with the service account's key, in the given base64.
pub fn sign(drive: &FakeDrive, header: &Value, claims: &Value, base64: GeneralPurpose) -> String {
    let file: Value = serde_json::from_str(&drive.service_account()).expect("a key file");
    let pem = file["private_key"].as_str().expect("a private key");
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).expect("base64")).expect("an RSA key");
    let signed = format!("{}.{}", base64.encode(header.to_string()), base64.encode(claims.to_string()));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("a signature");
    format!("{signed}.{}", base64.encode(signature))
}

pub fn exchange_assertion(drive: &FakeDrive, claims: &Value, base64: GeneralPurpose) -> Reply {
    let assertion = sign(drive, &json!({"alg": "RS256", "typ": "JWT"}), claims, base64);
    exchange(drive, &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)])
}

/// Posts a form to the token endpoint.
pub fn exchange(drive: &FakeDrive, form: &[(&str, &str)]) -> Reply {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    send(drive, "POST", "/token", &headers, Some(body.as_bytes())).expect("an answer")
}

/// Bytes of which no two 256 KiB are alike.
pub fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 257 * 7 + at / KIB_256) as u8).collect()
}
