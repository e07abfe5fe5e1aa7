// SPDX-License-Identifier: MIT OR Apache-2.0
//! The output of `--format json` matches `packaging/report.schema.json`. [`Ran::json`](crate::ran::Ran::json) compares
//! the output of every test that calls it with the schema, and does not accept a field that the schema does not have.

use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::image::Fault;
use crate::kernels::{NEW, OLD};

/// Returns a validator for each kind of document. Unlike the schema itself, the validators reject unknown fields.
fn documents() -> &'static [Validator] {
    static DOCUMENTS: OnceLock<Vec<Validator>> = OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/report.schema.json");
        let mut schema = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
        forbid_unknown(&mut schema);
        let documents = schema["anyOf"].as_array().unwrap();
        let validator = |document: &Value| {
            let alone = json!({"$ref": document["$ref"], "$defs": schema["$defs"]});
            jsonschema::validator_for(&alone).unwrap()
        };
        documents.iter().map(validator).collect()
    })
}

fn forbid_unknown(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(forbid_unknown);
            if map.get("type").is_some_and(|it| it == "object") {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(all) => all.iter_mut().for_each(forbid_unknown),
        _ => {}
    }
}

/// Returns the errors in `found`, each with its place, according to the kind of document that has the fewest errors; an
/// empty list if `found` matches the schema.
pub fn undocumented(found: &Value) -> Vec<String> {
    let wrong = documents().iter().map(|document| {
        let errors = document.iter_errors(found);
        let errors = errors.map(|it| format!("{}: {it}", it.instance_path()));
        errors.collect::<Vec<_>>()
    });
    wrong.min_by_key(Vec::len).unwrap()
}

#[test]
fn a_field_that_is_not_documented_is_found() {
    let json = |text: &str| undocumented(&serde_json::from_str(text).unwrap());
    let failure = r#"{"schema": 1, "tool": "t", "outcome": "failed", "error": "e"}"#;
    assert_eq!(json(failure), [""; 0]);
    for (from, to, expected) in [
        (r#""tool""#, r#""more": 1, "tool""#, "'more' was unexpected"),
        (r#""tool": "t""#, r#""tool": 1"#, "/tool: 1 is not of type"),
        (
            r#""schema": 1"#,
            r#""schema": 2"#,
            "/schema: 1 was expected",
        ),
        (r#", "error": "e""#, "", "\"error\" is a required property"),
        ("failed", "lost", "/outcome: "),
    ] {
        let found = json(&failure.replace(from, to));
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{expected}: {found:?}"
        );
    }
}

/// Covers documents that the other tests do not parse as JSON.
#[test]
fn every_document_is_documented() {
    let bed = Bed::new();
    let source = bed.source();
    let [old, new, cut] = ["/images/old", "/images/new", "/images/cut"];
    bed.write("images/old", OLD.initramfs(Fault::None));
    bed.write("images/new", NEW.initramfs(Fault::Wrapper));
    bed.write("images/cut", OLD.initramfs(Fault::Truncated));
    for (status, args) in [
        (0, &["status"][..]),
        (0, &["verify"]),
        (0, &["replace", "--dry-run", &source]),
        (3, &["replace", "/nowhere"]),
        (0, &["inspect", old, "--files"]),
        (0, &["inspect", old, "--modules"]),
        (0, &["inspect", old, "--origins"]),
        (0, &["inspect", old, "--graph"]),
        (0, &["inspect", old, "--why", "init"]),
        (0, &["inspect", old, "--diff", new]),
        (1, &["inspect", cut, "--files"]),
    ] {
        let ran = bed.run(&[args, &["--format", "json"]].concat());
        ran.ends_with(status).json();
    }
    let ran = bed.run(&["replace", &source, "--format", "json"]);
    ran.ends_with(0).json();
    ran.report();
}
