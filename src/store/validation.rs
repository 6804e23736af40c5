//! The rules of a validator that a document broke, in a few words: the server's own account of it is as long as the
//! validator.

use mongodb::bson::{Bson, Document};

/// How many characters of one rule are shown.
const RULE_MAX: usize = 120;

/// Each broken rule with the field, from the `errInfo` of a refused write: `metadata.googleDriveUrl: pattern ...`.
/// Empty when nothing is understood.
pub(super) fn broken_rules(info: &Document) -> String {
    let mut rules = Vec::new();
    if let Ok(details) = info.get_document("details") {
        walk(details, "", &mut rules);
    }
    rules.join("; ")
}

fn walk(part: &Document, path: &str, rules: &mut Vec<String>) {
    let here = match part.get_str("propertyName") {
        Ok(name) if path.is_empty() => name.to_owned(),
        Ok(name) => format!("{path}.{name}"),
        Err(_) => path.to_owned(),
    };
    let before = rules.len();
    let under = if here.is_empty() { String::new() } else { format!("{here}: ") };
    for (list, rule) in
        [("missingProperties", "required, and missing"), ("additionalProperties", "properties that are not allowed")]
    {
        if let Ok(names) = part.get_array(list) {
            let names: Vec<&str> = names.iter().filter_map(Bson::as_str).collect();
            rules.push(format!("{under}{rule}: {}", names.join(", ")));
            return;
        }
    }
    for (key, value) in part {
        match value {
            Bson::Document(inner) if key != "specifiedAs" => walk(inner, &here, rules),
            Bson::Array(parts) => {
                parts.iter().filter_map(Bson::as_document).for_each(|inner| walk(inner, &here, rules))
            }
            _ => {}
        }
    }
    if rules.len() == before
        && let Ok(operator) = part.get_str("operatorName")
    {
        let rule = part.get("specifiedAs").map(ToString::to_string).unwrap_or_default();
        rules.push(format!("{under}{operator} {}", rule.chars().take(RULE_MAX).collect::<String>()));
    }
}
