//! Every JSON that the program prints, logs or sends, held against the committed schemas.
//!
//! Risk: a field that the schemas do not tell of. A reader must ignore what it does not know, so the schemas allow it; here it is an
//! error, because it means that the committed files are behind the program.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

thread_local! {
    /// Compiled once for each thread.
    static COMPILED: RefCell<Compiled> = RefCell::default();
}

#[derive(Default)]
struct Compiled {
    schemas: Schemas,
    known: HashMap<String, SchemaIndex>,
}

/// Where the committed schemas are.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/schema"))
}

/// What is wrong with a result on stdout: it is held against the schema of the command that it names.
pub fn check_result(value: &Value) -> Result<(), String> {
    let command = value["command"].as_str().ok_or("it names no command")?;
    // A command line that was not understood belongs to no command.
    check(if command == "batch-export" { "error" } else { command }, value)
}

/// What is wrong with a JSON object of this kind, by the committed schema of that name.
pub fn check(name: &str, value: &Value) -> Result<(), String> {
    COMPILED.with_borrow_mut(|Compiled { schemas, known }| {
        let index = match known.get(name) {
            Some(index) => *index,
            None => {
                let index = compile(name, schemas)?;
                known.insert(name.to_owned(), index);
                index
            }
        };
        schemas.validate(value, index).map_err(|error| format!("it does not keep {name}.json: {error:#}"))
    })
}

fn compile(name: &str, schemas: &mut Schemas) -> Result<SchemaIndex, String> {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut schema: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    // Each line of the log has fields of its own.
    if name != "log" {
        close(&mut schema);
    }
    let url = format!("http://localhost/{name}.json");
    let mut compiler = Compiler::new();
    compiler.enable_format_assertions();
    compiler.add_resource(&url, schema).map_err(|error| error.to_string())?;
    compiler.compile(&url, schemas).map_err(|error| format!("{error:#}"))
}

/// Forbids what an object schema does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            if keys.get("type") == Some(&"object".into()) && !keys.contains_key("additionalProperties") {
                keys.insert("additionalProperties".to_owned(), false.into());
            }
            keys.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
