//! True answers with something wrong in them.

use super::faults::Tamper;
use super::state::Content;
use super::wire::Wire;
use serde_json::{Value, json};

/// Alters a true answer; one that has no such part stays as it is.
pub fn tamper(tamper: Tamper, mut answer: Wire) -> Wire {
    match tamper {
        Tamper::NoLocation => answer.headers.retain(|(name, _)| name != "Location"),
        Tamper::BadJson => {
            answer.status = 200;
            answer.body = br#"{"id": "1abc", "na"#.to_vec();
        }
        Tamper::RangeBackwards => {
            set_range(&mut answer, |stored| format!("bytes=0-{}", (stored / 2).saturating_sub(1)))
        }
        Tamper::RangeBeyond => set_range(&mut answer, |stored| format!("bytes=0-{}", stored + (1 << 40))),
        Tamper::RangeMalformed => set_range(&mut answer, |stored| format!("bytes={stored}-, or so")),
        Tamper::SearchIncomplete => {
            let text = String::from_utf8_lossy(&answer.body)
                .replace(r#""incompleteSearch":false"#, r#""incompleteSearch":true"#);
            answer.body = text.into_bytes();
        }
        Tamper::ChecksumsWrong
        | Tamper::ChecksumsMissing
        | Tamper::ChecksumsMd5Only
        | Tamper::ChecksumsUpperCase
        | Tamper::SizeWrong => change_metadata(&mut answer, tamper),
    }
    answer
}

fn set_range(answer: &mut Wire, range: impl Fn(u64) -> String) {
    if answer.status != 308 {
        return;
    }
    let last = answer
        .headers
        .iter()
        .find_map(|(name, value)| (name == "Range").then(|| value.rsplit_once('-')?.1.parse().ok())?);
    let stored = last.map_or(0, |last: u64| last + 1);
    answer.headers.retain(|(name, _)| name != "Range");
    answer.headers.push(("Range".to_owned(), range(stored)));
}

fn change_metadata(answer: &mut Wire, tamper: Tamper) {
    let Ok(mut json) = serde_json::from_slice::<Value>(&answer.body) else { return };
    match json.get_mut("files").and_then(Value::as_array_mut) {
        Some(files) => files.iter_mut().for_each(|file| change_file(file, tamper)),
        None => change_file(&mut json, tamper),
    }
    answer.body = json.to_string().into_bytes();
}

fn change_file(file: &mut Value, tamper: Tamper) {
    let Some(fields) = file.as_object_mut() else { return };
    let wrong = Content::of(b"other bytes".to_vec());
    for (name, wrong) in [("sha256Checksum", &wrong.sha256), ("md5Checksum", &wrong.md5)] {
        let Some(true_checksum) = fields.get(name).and_then(Value::as_str).map(str::to_uppercase) else { continue };
        match tamper {
            Tamper::ChecksumsWrong => fields.insert(name.to_owned(), json!(wrong)),
            Tamper::ChecksumsUpperCase => fields.insert(name.to_owned(), json!(true_checksum)),
            Tamper::ChecksumsMissing => fields.remove(name),
            Tamper::ChecksumsMd5Only if name == "sha256Checksum" => fields.remove(name),
            _ => None,
        };
    }
    if tamper == Tamper::SizeWrong
        && let Some(size) = fields.get("size").and_then(|size| size.as_str()?.parse::<u64>().ok())
    {
        fields.insert("size".to_owned(), json!((size + 1).to_string()));
    }
}
