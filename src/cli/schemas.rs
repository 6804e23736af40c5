//! The JSON Schemas of everything that this program prints, logs or sends as JSON, from the very types that are written.
//!
//! `examples/schema/` has them as files; a test compares these files with what is made here.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::json;

use super::render::{FailedCommand, Printed, RetryResult};
use super::{auth, corrections, doctor, init, layout, man, status, unlock, verify};
use crate::command::CommandName;
use crate::exit::Exit;
use crate::notify;
use crate::outcome::{BatchResult, Done, Outcome};
use crate::telemetry::LogLine;

/// Name and schema of every kind of JSON object: the commands by their names, then `error` (a command line that was not understood), `log`
/// (a line of the log) and `message` (what a webhook of the kind `json` is sent).
pub fn all() -> Vec<(&'static str, Schema)> {
    let commands = CommandName::ALL.into_iter().map(|name| (name.name(), of_command(name)));
    let error =
        described("what is printed when the command line is not understood", subschema::<Printed<'_, FailedCommand>>);
    let log = described("a line of the log with `--log-format json`", subschema::<LogLine>);
    let message = described("what a webhook of the kind `json` is sent", notify::message_schema);
    commands.chain([("error", error), ("log", log), ("message", message)]).collect()
}

fn of_command(name: CommandName) -> Schema {
    let [checked, completed] = [Exit::CheckFailed.name(), Done::Completed.name()];
    let of_unlock = [Done::Unlocked.name(), Done::NothingToDo.name(), Exit::LockHeld.name(), Exit::NotDue.name()];
    match name {
        CommandName::Run => result_of::<BatchResult>(name, &[]),
        CommandName::Retry | CommandName::Backfill => result_of::<RetryResult>(name, &Outcome::names()),
        CommandName::Status => result_of::<status::StatusResult>(name, &[Done::Ok.name(), checked]),
        CommandName::Verify => result_of::<verify::VerifyResult>(name, &[Done::Verified.name(), checked]),
        CommandName::Corrections => {
            result_of::<corrections::CorrectionsResult>(name, &[Done::NothingToCorrect.name(), checked])
        }
        CommandName::Doctor => result_of::<doctor::DoctorResult>(name, &[Done::Ok.name(), checked]),
        CommandName::Init => result_of::<init::InitResult>(name, &[completed]),
        CommandName::Auth => result_of::<auth::AuthResult>(name, &[completed]),
        CommandName::Unlock => result_of::<unlock::UnlockResult>(name, &of_unlock),
        CommandName::Layout => result_of::<layout::LayoutResult>(name, &[completed, Exit::Configuration.name()]),
        CommandName::Man => result_of::<man::ManResult>(name, &[completed]),
        // The script is its result: JSON comes only when there is none.
        CommandName::Completions => result_of::<FailedCommand>(name, &[]),
    }
}

/// The result of a command, whose outcomes are these where its type does not name them; or what it says when it ended before it had one.
fn result_of<R: JsonSchema>(name: CommandName, outcomes: &[&str]) -> Schema {
    described(&format!("what `batch-export {} --output json` prints", name.name()), |generator| {
        let own = subschema::<Printed<'_, R>>(generator);
        if let Some(result) = generator.definitions_mut().get_mut(&*R::schema_name())
            && !outcomes.is_empty()
        {
            result["properties"]["command"] = json!({ "type": "string", "const": name.name() });
            result["properties"]["outcome"] = json!({ "type": "string", "enum": outcomes });
        }
        let refused = subschema::<Printed<'_, FailedCommand>>(generator);
        if own == refused { own } else { json_schema!({ "anyOf": [own, refused] }) }
    })
}

fn subschema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A schema that stands alone.
fn described(what: &str, make: impl FnOnce(&mut SchemaGenerator) -> Schema) -> Schema {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let made = make(&mut generator);
    let mut schema = json_schema!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": what });
    for (key, value) in made.as_object().into_iter().flatten() {
        schema.insert(key.clone(), value.clone());
    }
    schema.insert("$defs".to_owned(), generator.take_definitions(true).into());
    schema
}
