//! The connection string, usually the one of the application, which was written for another driver.
//!
//! Risk: the driver refuses an option that it does not know, and quotes the text that it cannot parse, even a password.
//! So the form of the string is checked here first: a fault is named but not shown, and options that only other drivers
//! know are left out. Order: the user, then the options, then the files that they name, from left to right.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::failure::Explanation;
use crate::files::{holds_certificate, read_named};
use crate::plausible::check_path;

/// Options that the driver knows, in small letters, with spaces between them.
const KNOWN: &str = "
    appname authmechanism authmechanismproperties authsource connecttimeoutms directconnection heartbeatfrequencyms
    journal loadbalanced localthresholdms maxadaptiveretries maxconnecting maxidletimems maxpoolsize
    maxstalenessseconds minpoolsize readconcernlevel readpreference readpreferencetags replicaset retryreads
    retrywrites servermonitoringmode serverselectiontimeoutms srvmaxhosts srvservicename ssl tls
    tlsallowinvalidcertificates tlscafile tlscertificatekeyfile tlsinsecure w waitqueuetimeoutms wtimeoutms
    enableoverloadretargeting
";

/// Options of other drivers that do not change which server is reached, as which user, or how securely.
const OF_OTHERS: &str = "
    acceptablelatencyms auto_reconnect autocreate autoindex autoreconnect autoselectfamily bsonregexp buffercommands
    buffermaxentries canonicalizehostname checkkeys compressors connect connecttimeout connectwithnoprimary
    datetime_conversion document_class domainsenabled enableutf8validation family fieldsasraw forceserverobjectid
    fsync gssapiservicename guidrepresentation guids ha hainterval heartbeatconnecttimeoutms heartbeatinterval
    heartbeatintervalms heartbeattimeout ignoreundefined ipv6 j keepalive keepaliveinitialdelay localthreshold
    logger loggerlevel maxidletime maxlifetime maxlifetimems maxstaleness maxtimems minheartbeatfrequencyms minsize
    monitorcommands nodelay numberofretries pkfactory poolsize promiselibrary promotebuffers promotelongs
    promotevalues raw readconcern reconnectinterval reconnecttries safe secondaryacceptablelatencyms
    serializefunctions serverselectiontimeout serverselectiontryonce slaveok socketcheckintervalms sockettimeout
    sockettimeoutms streamtype strictquery timeoutms tlsallowinvalidhostnames
    tlsdisablecertificaterevocationcheck tlsdisableocspendpointcheck tz_aware tzaware tzinfo
    unicode_decode_error_handler usebigint64 usecreateindex usefindandmodify usenewurlparser userecoverytoken
    useunifiedtopology uuidrepresentation validateoptions waitqueuemultiple waitqueuesize waitqueuetimeout wtimeout
    zlibcompressionlevel zstdcompressionlevel
";

/// What Studio 3T adds begins so.
const OF_STUDIO_3T: &str = "3t.";

/// Options that exist and that this program does not support, and what to use instead.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("tlscertificatekeyfilepassword sslclientcertificatekeypassword sslpass ssl_pem_passphrase", WITHOUT_PASSWORD),
    ("tlscrlfile sslcrl ssl_crlfile", REVOKED),
    (
        "sslvalidate ssl_cert_reqs ssl_match_hostname sslinvalidhostnameallowed sslverifycertificate
         sslallowinvalidcertificates sslallowinvalidhostnames sslinsecure checkserveridentity",
        CHECKED,
    ),
    ("sslca ssl_ca_certs sslcafile sslcertificateauthorityfile", AUTHORITY),
    (
        "sslcert sslkey ssl_certfile ssl_keyfile sslpemkeyfile sslclientcertificatekeyfile tlscertificatefile
         tlsprivatekeyfile",
        OWN_CERTIFICATE,
    ),
];
/// A server refuses the connections of a client with a longer name.
const APP_NAME_MAX_BYTES: usize = 128;
const WITHOUT_PASSWORD: &str = "write the key without its password into a file that only this user can read, name that one with \
    tlsCertificateKeyFile, and remove this option";
const REVOKED: &str =
    "remove the option: revoked certificates are not looked up; a server's short-lived certificate does without";
const CHECKED: &str = "remove the option: the server's certificate is checked always; for tests alone there is tlsAllowInvalidCertificates=true";
const AUTHORITY: &str = "write tlsCAFile= and the path of that PEM file in its place";
const OWN_CERTIFICATE: &str =
    "write tlsCertificateKeyFile= and the path of one PEM file with both the certificate and its key in its place";

const BOTH: &str =
    "name one PEM file that holds both: the private key of this program, without a password, and its certificate";
const UNLOCK: &str = "name a file that only this user can read, with the certificate and the key without a password: `openssl pkey -in FILE` \
    prints that key";

/// What a PEM file says of a key that is encrypted.
const LOCKED: [&str; 2] = ["ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// What some editors write before the first character of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The only option that may be there more than once.
const TAGS: &str = "readpreferencetags";
/// The longest name of an option that a message shows.
const OPTION_MAX_BYTES: usize = 40;

/// A connection string whose form the driver understands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Understood {
    /// Without the options of other drivers. A secret.
    pub(super) uri: String,
    /// The names of the options that were left out.
    pub(super) dropped: Vec<String>,
    /// The name of each option that is left, for a message about the driver's refusal.
    pub(super) options: Vec<String>,
    /// The option that decides about TLS, as it was written.
    pub(super) tls: Option<String>,
}

/// Checks a connection string that begins with `mongodb://` or `mongodb+srv://`.
///
/// # Errors
/// What is wrong with it; no part of it is shown.
pub(super) fn understand(uri: &str) -> Result<Understood, Explanation> {
    check_user(uri)?;
    check_database(uri)?;
    let Some((address, query)) = uri.split_once('?') else {
        return Ok(Understood { uri: uri.to_owned(), dropped: Vec::new(), options: Vec::new(), tls: None });
    };
    let mut tls = None;
    let (mut kept, mut dropped, mut options) = (Vec::new(), Vec::new(), Vec::new());
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let small = name.to_ascii_lowercase();
        if is_among(OF_OTHERS, &small) || small.starts_with(OF_STUDIO_3T) {
            if !dropped.iter().any(|other: &String| other == name) {
                dropped.push(name.to_owned());
            }
            continue;
        }
        // Elsewhere it means a pool without a limit, and this program opens few connections.
        if small == "maxpoolsize" && value == "0" {
            continue;
        }
        if let Some((_, instead)) = UNSUPPORTED.iter().find(|(unsupported, _)| is_among(unsupported, &small)) {
            return Err(Explanation::new(
                format!("it has the option {name}, which this program does not support"),
                instead,
            ));
        }
        if small.starts_with("proxy") {
            return Err(Explanation::new(
                "it names a SOCKS proxy, and this program connects to MongoDB directly",
                "remove the proxy options",
            ));
        }
        if !is_among(KNOWN, &small) {
            // A password with @ and ? in it ends behind what looks like options.
            if query.contains('@') {
                return Err(not_encoded());
            }
            let next = "correct or remove the option; what an application's own driver adds may be left out";
            return Err(Explanation::new(
                format!("it has an option that does not exist: {}", shown_option(name)),
                next,
            ));
        }
        if small != TAGS && options.iter().any(|other: &String| other.eq_ignore_ascii_case(name)) {
            return Err(Explanation::new(format!("it has the option {name} twice"), "remove one of the two"));
        }
        if small == "appname" && percent_decode_str(value).count() > APP_NAME_MAX_BYTES {
            let what = format!("its option {name} is longer than the {APP_NAME_MAX_BYTES} bytes that a server takes");
            return Err(Explanation::new(what, "shorten that name, or remove the option"));
        }
        if small == "tls" || small == "ssl" {
            tls = Some(format!("{name}={value}"));
        }
        check_file(&small, name, value)?;
        kept.push(option);
        options.push(name.to_owned());
    }
    let uri = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
    Ok(Understood { uri, dropped, options, tls })
}

fn is_among(options: &str, name: &str) -> bool {
    options.split_whitespace().any(|option| option == name)
}

/// The name of an option when it has the form of one: words of letters, with `_` or `.` between them and a number at the end at most. What
/// else stands there may be a part of a password.
fn shown_option(name: &str) -> String {
    let words = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let plain = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '.';
    match !words.is_empty() && name.len() <= OPTION_MAX_BYTES && words.chars().all(plain) {
        true => format!("{name:?}"),
        false => "one whose name is not shown".to_owned(),
    }
}

/// Checks the user and password. A reserved character in the password is the commonest mistake, and the driver's error
/// would show a part of the password.
fn check_user(uri: &str) -> Result<(), Explanation> {
    let address = uri.split_once("://").map_or(uri, |(_, address)| address);
    let Some((user, _)) = address.rsplit_once('@') else { return Ok(()) };
    // An `@` in an option is allowed: the part before the first slash or question mark then has plain hosts only.
    let hosts = address.split(['/', '?']).next().unwrap_or_default();
    if !hosts.contains('@') && hosts.split(',').all(is_host) {
        return Ok(());
    }
    let user = if hosts.contains('@') && hosts.matches('@').count() == 1 {
        hosts.split('@').next().unwrap_or(user)
    } else {
        user
    };
    // A second @ behind a slash: the database's name would have it, or the slash is the password's.
    let second = address.split('?').next().unwrap_or_default().matches('@').count() > 1;
    let is_encoded = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    let bare_percent = !user.split('%').skip(1).all(is_encoded);
    if second || bare_percent || user.contains(['/', '?', '#', '[', ']', '@']) || user.matches(':').count() > 1 {
        return Err(not_encoded());
    }
    Ok(())
}

fn not_encoded() -> Explanation {
    Explanation::new(
        "its user or password holds a character that must be percent-encoded",
        "write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, [ as %5B, ] as %5D and % as %25 in the user and the password",
    )
}

/// The name between the hosts and the options.
fn check_database(uri: &str) -> Result<(), Explanation> {
    let address = uri.split('?').next().unwrap_or(uri);
    let address = address.split_once("://").map_or(address, |(_, address)| address);
    let hosts = address.rsplit_once('@').map_or(address, |(_, hosts)| hosts);
    let name = hosts.split_once('/').map_or("", |(_, name)| name);
    match percent_decode_str(name).decode_utf8_lossy().contains([' ', '/', '\\', '"', '$']) {
        true => Err(Explanation::new(
            "the database name in it holds a character that no such name may have: a blank or one of / \\ \" $",
            "correct the name between the hosts and the options: mongodb://host:27017/NAME?replicaSet=name",
        )),
        false => Ok(()),
    }
}

/// `host`, `host:27017`, `[::1]:27017` or a socket's path, percent-encoded.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        Some(_) | None => (text, "0"),
    };
    let bracketed = host.starts_with('[') || !host.contains(':');
    bracketed && !host.is_empty() && port.parse::<u16>().is_ok()
}

/// Checks a file that an option names: for a missing file the driver only reports that it cannot be parsed.
fn check_file(small: &str, name: &str, value: &str) -> Result<(), Explanation> {
    let needs_key = match small {
        "tlscafile" => false,
        "tlscertificatekeyfile" => true,
        _ => return Ok(()),
    };
    let path = percent_decode_str(value).decode_utf8_lossy();
    if path.is_empty() {
        return Err(Explanation::new(
            format!("its option {name} is empty"),
            "give it the path of a PEM file, or remove the option",
        ));
    }
    if let Err(misplaced) = check_path(&path) {
        return Err(Explanation::new(format!("its option {name} {}", misplaced.what), misplaced.next));
    }
    let next = "give it the path of a PEM file that this machine and this user can read";
    let content = read_named(Path::new(&*path)).map_err(|error| {
        Explanation::new(format!("the file of its option {name}, {path}, cannot be read: {error}"), next)
    })?;
    if content.starts_with(BYTE_ORDER_MARK) {
        let what = format!(
            "the file of its option {name}, {path}, begins with a byte order mark, which hides what follows it"
        );
        return Err(Explanation::new(what, "write the file anew as plain text, UTF-8 without a byte order mark"));
    }
    let text = String::from_utf8_lossy(&content);
    if needs_key && LOCKED.iter().any(|sign| text.contains(sign)) {
        return Err(Explanation::new(
            format!("the private key in the file of its option {name}, {path}, is encrypted"),
            UNLOCK,
        ));
    }
    let (what, next) = match (holds_certificate(&content), needs_key, text.contains("PRIVATE KEY-----")) {
        (true, true, true) | (true, false, _) => return Ok(()),
        (false, false, _) => {
            ("no certificate", "name a file with the certificate of the authority that signed the server's")
        }
        (false, true, true) => ("no certificate", BOTH),
        (true, true, false) => ("no private key", BOTH),
        (false, true, false) => ("neither a certificate nor a private key", BOTH),
    };
    Err(Explanation::new(format!("the file of its option {name}, {path}, holds {what} in PEM form"), next))
}

/// The certificates that this machine trusts: `SSL_CERT_FILE`, else the system's bundle; `None` when there is none.
pub(super) fn system_certificates() -> Option<PathBuf> {
    let holds = |path: &Path| read_named(path).is_ok_and(|pem| holds_certificate(&pem));
    openssl_probe::probe().cert_file.filter(|path| holds(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_that_is_encoded_or_in_an_option_is_none_of_the_password() {
        for fine in [
            "mongodb://user:Hunter2%40Secret@db1:27017,db2/app",
            "mongodb://db1,db2:27018/app?appName=a@b",
            "mongodb://u:p@db/app?appName=a@b",
            "mongodb://[::1]:27017/?appName=a@b",
        ] {
            assert_eq!(understand(fine).map(|understood| understood.uri), Ok(fine.to_owned()));
        }
    }
}
