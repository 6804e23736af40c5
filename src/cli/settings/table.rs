//! The table of settings: flag, environment variable, default and meaning of each. The command line, the help and the
//! error messages are made from it, and a test compares the README's table with it.
//!
//! Order: as in the help and in the README.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The placeholder for the value in the help; `None` for a switch, which needs no value.
    pub value: Option<&'static str>,
    /// What it is, in one line.
    pub about: &'static str,
    /// The default.
    pub default: Default,
    /// Whether the summary (`-h`) shows it: few operators set the others.
    pub common: bool,
}

/// The default of a setting.
#[derive(Debug)]
pub enum Default {
    /// Nothing.
    None,
    /// This value.
    Value(&'static str),
    /// A default that depends on something else, in words.
    Words(&'static str),
}

/// Makes a constant of each setting, one of the settings under each heading, and the list of all headings.
macro_rules! settings {
    ($($heading:literal $GROUP:ident {
        $($NAME:ident $flag:literal $variable:literal $value:literal $about:literal $(.$more:ident($($text:literal)?))*;)+
    })+) => {
        $(
            #[doc = concat!("The settings under the heading \"", $heading, "\".")]
            pub const $GROUP: &[&Setting] = &[$(&$NAME),+];
            $(
                #[doc = $about]
                pub const $NAME: Setting = setting($flag, $variable, $value, $about)$(.$more($($text)?))*;
            )+
        )+

        /// The headings of the help, and the settings under each.
        pub const GROUPS: &[(&str, &[&Setting])] = &[$(($heading, $GROUP)),+];
    };
}

/// The settings that name a collection of this program or of the application.
pub const COLLECTIONS: [&Setting; 4] = [&QUEUE_COLLECTION, &ENTRIES_COLLECTION, &LOG_COLLECTION, &BATCH_COLLECTION];

// A name, its flag, its variable, the placeholder for its value; then what it is, and its default.
settings! {
    "Database" DATABASE_SETTINGS {
        MONGODB_URI "mongodb-uri" "MONGODB_URI" "URI"
            "Replica set or mongos; `file:/path` reads the URI from a file".common();
        DATABASE "database" "MONGODB_DATABASE" "NAME"
            "Database".or_else("the URI's, else auto_acct").common();
        QUEUE_COLLECTION "queue-collection" "BATCH_EXPORT_QUEUE_COLLECTION" "NAME"
            "Collection of the queue rows".or("exportqueues");
        ENTRIES_COLLECTION "entries-collection" "BATCH_EXPORT_ENTRIES_COLLECTION" "NAME"
            "Collection of the journal entries".or("journalentries");
        LOG_COLLECTION "log-collection" "BATCH_EXPORT_LOG_COLLECTION" "NAME"
            "Collection of the export log".or("exportlogs");
        BATCH_COLLECTION "batch-collection" "BATCH_EXPORT_BATCH_COLLECTION" "NAME"
            "Collection of the batches".or("exportbatches");
    }
    "Destination" DESTINATION_SETTINGS {
        DESTINATION "destination" "BATCH_EXPORT_DESTINATION" "URL"
            "gdrive://FOLDER_ID or file:///dir".common();
        CREDENTIALS "credentials" "GOOGLE_APPLICATION_CREDENTIALS" "FILE"
            "For gdrive: JSON file of a service_account or authorized_user".common();
        DRIVE_SUBJECT "drive-subject" "BATCH_EXPORT_DRIVE_SUBJECT" "EMAIL"
            "User to act as (domain-wide delegation)";
        DRIVE_LOCK "drive-lock" "BATCH_EXPORT_DRIVE_LOCK" "on|off"
            "Lock a committed file in Drive against changes, where Drive allows it".or("on");
        DRIVE_URL "drive-url" "BATCH_EXPORT_DRIVE_URL" "URL"
            "Base address of Drive; for tests and gateways".or("https://www.googleapis.com");
        DRIVE_BACKOFF "drive-backoff" "BATCH_EXPORT_DRIVE_BACKOFF" "DURATION"
            "First wait after a failure of Drive; later ones double".or("1s");
        DRIVE_IDLE "drive-idle" "BATCH_EXPORT_DRIVE_IDLE" "DURATION"
            "Longest silence of Drive before a connection is closed".or("30s");
        DRIVE_CHUNK "drive-chunk" "BATCH_EXPORT_DRIVE_CHUNK" "BYTES"
            "Bytes per request of an upload, rounded up to a multiple of 256 KiB".or("8388608");
    }
    "File" FILE_SETTINGS {
        FILE_NAME "file-name" "BATCH_EXPORT_FILE_NAME" "NAME"
            "Name of the file; {date} stands for the business date".or_else("batch_{date}.csv");
        FORMAT "format" "BATCH_EXPORT_FORMAT" "FORMAT"
            "Layout of the file: journal, express or the path of a layout file".or("journal").common();
        ENCODING "encoding" "BATCH_EXPORT_ENCODING" "ENCODING"
            "utf-8, utf-8-bom or windows-874".or_else("the layout's");
        CONTRA_ACCOUNT "contra-account" "BATCH_EXPORT_CONTRA_ACCOUNT" "CODE"
            "Contra account of entries that name none";
    }
    "Run" RUN_SETTINGS {
        TIMEZONE "timezone" "BATCH_EXPORT_TIMEZONE" "ZONE"
            "Zone of business dates and of the cut-off".or("Asia/Bangkok");
        CUTOFF "cutoff" "BATCH_EXPORT_CUTOFF" "HH:MM"
            "Time of day at which a business date's batch closes".or("18:00");
        INVALID "invalid" "BATCH_EXPORT_INVALID" "POLICY"
            "Invalid entries: fail (export nothing) or hold (export the others)".or("fail");
        ALLOW_REEXPORT "allow-reexport" "BATCH_EXPORT_ALLOW_REEXPORT" "on|off"
            "Export an entry again although it is in a committed file".switch();
        REQUIRE_BALANCED "require-balanced" "BATCH_EXPORT_REQUIRE_BALANCED" "on|off"
            "Refuse a batch whose debits and credits differ".switch();
        GENERATE_TIMEOUT "generate-timeout" "BATCH_EXPORT_GENERATE_TIMEOUT" "DURATION"
            "Limit of the generation".or("30s");
        UPLOAD_TIMEOUT "upload-timeout" "BATCH_EXPORT_UPLOAD_TIMEOUT" "DURATION"
            "Limit of the upload as a whole".or("10m");
        TRANSACTION_ROWS "transaction-rows" "BATCH_EXPORT_TRANSACTION_ROWS" "ROWS"
            "Rows that one transaction may mark".or("10000");
        LEASE "lease" "BATCH_EXPORT_LEASE" "DURATION"
            "Length of a lease; it is renewed every third of it".or("2m");
        RETRY_DELAYS "retry-delays" "BATCH_EXPORT_RETRY_DELAYS" "DURATIONS"
            "Delays before the retries; their number is the retry limit (`none` for no retry)".or("5m,15m,45m");
        SPOOL_DIR "spool-dir" "BATCH_EXPORT_SPOOL_DIR" "DIR"
            "Folder of the spool file".or_else("the system's temporary folder");
    }
    "Telling people" TELLING {
        NOTIFY_URL "notify-url" "BATCH_EXPORT_NOTIFY_URL" "URL"
            "Webhook that notifies people; `file:/path` reads it from a file".common();
        NOTIFY_KIND "notify-kind" "BATCH_EXPORT_NOTIFY_KIND" "KIND"
            "Format of the webhook: discord, slack, json, text, google-chat, teams, telegram or line".or_else("by its address");
        NOTIFY_TOKEN "notify-token" "BATCH_EXPORT_NOTIFY_TOKEN" "TOKEN"
            "Bearer token of the webhook (line needs one); `file:/path` reads it from a file";
        NOTIFY_TO "notify-to" "BATCH_EXPORT_NOTIFY_TO" "CHAT"
            "Chat to notify; telegram and line need it";
        PING_URL "ping-url" "BATCH_EXPORT_PING_URL" "URL"
            "Health check to ping at start and end; `file:/path` reads it from a file".common();
        PING_KIND "ping-kind" "BATCH_EXPORT_PING_KIND" "KIND"
            "Protocol of the health check: healthchecks, plain or kuma".or_else("kuma for its push addresses, else healthchecks");
        METRICS_FILE "metrics-file" "BATCH_EXPORT_METRICS_FILE" "FILE"
            "Prometheus textfile to write, name ending in .prom";
        METRICS_URL "metrics-url" "BATCH_EXPORT_METRICS_URL" "URL"
            "Prometheus Pushgateway to send the same metrics to; `file:/path` reads it from a file";
    }
}

/// Every setting.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|(_, settings)| settings.iter().copied())
}

const fn setting(flag: &'static str, variable: &'static str, value: &'static str, about: &'static str) -> Setting {
    Setting { flag, variable, value: Some(value), about, default: Default::None, common: false }
}

impl Setting {
    const fn or(self, value: &'static str) -> Setting {
        Setting { default: Default::Value(value), ..self }
    }

    const fn or_else(self, words: &'static str) -> Setting {
        Setting { default: Default::Words(words), ..self }
    }

    const fn switch(self) -> Setting {
        Setting { value: None, ..self }
    }

    const fn common(self) -> Setting {
        Setting { common: true, ..self }
    }
}
