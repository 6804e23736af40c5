//! What is masked, in every form in which a message may show it, and what stays.

use std::borrow::Cow;

use base64::Engine;
use batch_export::secret::{
    Secret, conceal, conceal_typed, holds_a_key, is_a_key, is_utf16, percent_encoded, quoted, quoted_line, redact,
};

#[test]
fn a_secret_formats_as_stars_inside_anything() {
    let secret = Secret::new("1//refresh-token-a");
    assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
    assert_eq!(secret.expose(), "1//refresh-token-a");
}

#[test]
fn registered_values_are_masked_also_percent_encoded() {
    conceal("s3cr/et+b=");
    let text = "x=s3cr%2Fet%2Bb%3D and s3cr/et+b= and s3cr";
    assert_eq!(redact(text), "x=*** and *** and s3cr");
}

#[test]
fn a_private_key_is_masked_however_its_lines_are_broken() {
    conceal("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n");
    assert_eq!(redact(r"MIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC"), r"***\n***");
    assert_eq!(redact("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
}

#[test]
fn a_secret_within_a_longer_one_does_not_leave_the_rest_behind() {
    conceal("token-inner-c");
    conceal("https://host/?upload=token-inner-c&more=rest-of-it");
    assert_eq!(redact("at https://host/?upload=token-inner-c&more=rest-of-it!"), "at ***!");
}

#[test]
fn short_words_that_can_be_read_as_base64_are_no_keys() {
    for word in ["e2e", "W100", "exchange", "ey", "e20k"] {
        assert!(!is_a_key(word), "{word}");
    }
    assert!(is_a_key("eyJ0eXBlIjoic2VydmljZV9hY2NvdW50In0="));
}

#[test]
fn short_values_and_innocent_text_stay() {
    conceal("abc");
    assert!(matches!(redact("abc alphabet"), Cow::Borrowed("abc alphabet")));
}

#[test]
fn a_password_is_masked_before_anything_parses_it() {
    conceal_typed("mongodb://user-d:Hunter2Secret?Rest#Of/It@db1,db2/app");
    for told in ["invalid server address user-d:Hunter2Secret", "Hunter2Secret?Rest#Of/It", "port Hunter2Secret"] {
        assert!(!redact(told).contains("Hunter2Secret"), "{}", redact(told));
    }
    conceal_typed("http://clerk:S3cr3tE@WordE-e@127.0.0.1:1");
    assert_eq!(redact("through http://WordE-e@127.0.0.1:1"), "through http://***@127.0.0.1:1");
}

#[test]
fn an_address_that_nobody_registered_loses_its_user_too() {
    assert_eq!(redact("at mongodb://a:b@c@host/d and http://x"), "at mongodb://***@host/d and http://x");
    assert_eq!(redact(r#"{"u":"http://a@b","mail":"x@y"}"#), r#"{"u":"http://***@b","mail":"x@y"}"#);
    assert!(matches!(redact("file:///data/a@b and a@b"), Cow::Borrowed(_)));
}

#[test]
fn the_content_of_a_key_is_known_by_its_form() {
    let json = r#"{"type":"service_account","private_key":"-----BEGIN PRIVATE KEY-----\nAAAA"}"#;
    let encoded = base64::engine::general_purpose::STANDARD.encode(json);
    let unpadded = encoded.trim_end_matches('=').to_owned();
    for key in [json, &encoded, &unpadded, "-----BEGIN RSA PRIVATE KEY-----\nAAAA"] {
        assert!(holds_a_key(key), "{key}");
    }
    for path in ["/run/secrets/google.json", "key", "C:\\keys\\google.json", "/etc/keys/eyJhbGciOiJIUzI1NiJ9"] {
        assert!(!holds_a_key(path), "{path}");
    }
}

#[test]
fn what_stands_around_a_key_does_not_hide_it() {
    let json = r#"{"type":"authorized_user","refresh_token":"1//0x"}"#;
    let encode = |text: &[u8]| base64::engine::general_purpose::STANDARD.encode(text);
    let utf16: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for key in [
        format!("'{json}'"),
        format!("\u{feff}{json}"),
        format!("export GOOGLE={json}"),
        json.replace('"', "\\\""),
        format!("'{}'", encode(json.as_bytes())),
        encode(format!("\u{feff}{json}").as_bytes()),
        encode(&utf16),
        encode(&[b"\xff\xfe".to_vec(), utf16.clone()].concat()),
    ] {
        assert!(holds_a_key(&key), "{key}");
    }
    for plain in ["batch_{date}.csv", "{date}", "see 'x' and \"y\""] {
        assert_eq!(holds_a_key(plain), plain == "{date}", "{plain}");
    }
    assert!(is_utf16(&utf16) && !is_utf16(b"\x30\x82\x0a\x00\x02") && !is_utf16(json.as_bytes()));
}

#[test]
fn a_value_is_masked_in_each_form_that_a_message_gives_it() {
    let secret = "Hunter-f'\"Sec\\ret!x\u{e38}";
    conceal(secret);
    let shown = serde_json::json!({"plain": secret, "quoted": format!("{secret:?}")}).to_string();
    for told in [format!("{secret}, {secret:?}"), shown, format!("{:?}", Some(secret)), percent_encoded(secret)] {
        let masked = redact(&told);
        assert!(!masked.contains("Hunter-f") && !masked.contains("ret!x"), "{masked}");
    }
}

#[test]
fn a_password_without_a_scheme_and_a_token_after_a_name_are_masked() {
    conceal_typed("user-h:Hunter-hSecret@db1.example.com/app");
    conceal_typed("refresh_token=1//0gexample-hTokenabc");
    assert_eq!(redact("in user-h:Hunter-hSecret@db1 and Hunter-hSecret"), "in ***@db1 and ***");
    assert_eq!(redact("refresh_token=1//0gexample-hTokenabc"), "refresh_token=***");
    conceal_typed("ann-h.longname@example.com");
    assert_eq!(redact("ann-h.longname@example.com"), "ann-h.longname@example.com");
}

#[test]
fn a_quotation_is_masked_before_it_is_cut() {
    conceal("s3cret-over-the-cut-k");
    let said = format!("{}\n s3cret-over-the-cut-k is unknown", "x".repeat(10));
    for max in 10..40 {
        assert!(!quoted_line(&said, max).contains("s3"), "{}", quoted_line(&said, max));
    }
    assert_eq!(quoted_line(&said, 14), "xxxxxxxxxx ***…");
    let signed = "assertion=eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJyb2JvdCJ9.c2lnbmF0dXJl&scope=drive";
    assert_eq!(quoted(signed, 100), "assertion=***&scope=drive");
    assert_eq!(quoted("assertion_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJyb2JvdCJ9.c2ln", 100), "assertion_***");
    let signature = format!("{}9", "aB-_".repeat(30));
    assert_eq!(
        quoted(&format!("bad signature {signature}, {}", "x".repeat(120)), 200),
        format!("bad signature ***, {}", "x".repeat(120))
    );
    let name = "keyJournalEntriesByStatus_1_scheduledFor_1.metadata.batchId_1";
    assert_eq!(quoted(name, 100), name);
    assert_eq!(quoted("assertion%3DeyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJyb2JvdCJ9.c2ln", 100), "assertion%3D***");
}

#[test]
fn a_token_is_known_by_its_beginning() {
    conceal_typed("ya29.a0AfH6SMBexample-g");
    conceal_typed("https://hooks.slack.com/services/T/B/example-g");
    assert_eq!(redact("ya29.a0AfH6SMBexample-g, https://hooks.slack.com/services/T/B/example-g"), "***, ***");
}
