//! What a refusal of the database means, in a few words: a server that lacks something, a missing right, and the rules of a validator that a
//! document broke, of which the server's own account is as long as the validator.

use mongodb::bson::{Bson, Document};

use crate::failure::Failure;

/// How many characters of one rule are shown.
const RULE_MAX: usize = 120;

/// The refusal of a server that lacks these abilities.
pub fn lacks(missing: &str) -> Failure {
    Failure::configuration(format!("the MongoDB server lacks what a run needs: {missing}")).next(
        "use MongoDB itself, 5.0 or newer, as a replica set or behind mongos: servers that only speak its protocol \
         (Amazon DocumentDB, FerretDB, Cosmos DB) will not do",
    )
}

/// The next step after these words of a server that refused a login or a command.
pub(super) fn way_in(words: &str) -> &'static str {
    match words.contains("not authorized on") {
        true => {
            "check the roles of the user in MONGODB_URI (readWrite on the database, or the role in the README); if they name collections, also \
             --queue-collection, --entries-collection, --log-collection and --batch-collection"
        }
        false => {
            "check the user, password and roles (readWrite on the database, or the role in the README) in MONGODB_URI"
        }
    }
}

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
