// SPDX-License-Identifier: MIT OR Apache-2.0
//! The output of `--format json` matches `packaging/report.schema.json`. The output of every test that parses JSON is
//! compared with it: a field without a description is an error.
//!
//! Implements the part of JSON Schema that the file uses.

use std::path::Path;

use serde_json::Value;

use crate::bed::Bed;
use crate::image::Fault;
use crate::kernels::{NEW, OLD};

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/report.schema.json");
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

/// Returns the parts of `found` that the schema does not describe; empty if there are none.
pub fn undocumented(found: &Value) -> Vec<String> {
    let root = schema();
    wrong(&root, &root, found, "")
}

fn wrong(root: &Value, schema: &Value, found: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#'));
        return wrong(root, target.expect(name), found, at);
    }
    if let Some(kinds) = schema["anyOf"].as_array() {
        let kinds = kinds.iter().map(|kind| wrong(root, kind, found, at));
        return kinds.min_by_key(Vec::len).unwrap();
    }
    let mut all = Vec::new();
    let mut no = |what: String| all.push(format!("{at}: {what}"));
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => vec![],
        kind => vec![kind.clone()],
    };
    if !kinds.is_empty() && !kinds.contains(&kind.into()) {
        no(format!("{kind} {found}, expected {kinds:?}"));
    }
    if schema.get("const").is_some_and(|only| only != found) {
        no(format!("{found}, expected {}", schema["const"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(found)
    {
        no(format!("{found}, expected one of {words:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if found.get(name.as_str().unwrap()).is_none() {
            no(format!("no {name}"));
        }
    }
    for (name, value) in found.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        match schema["properties"].get(name) {
            Some(property) => all.extend(wrong(root, property, value, &at)),
            None => all.push(format!("{at} is not documented")),
        }
    }
    for (number, value) in found.as_array().into_iter().flatten().enumerate() {
        all.extend(wrong(
            root,
            &schema["items"],
            value,
            &format!("{at}/{number}"),
        ));
    }
    all
}

#[test]
fn the_schema_has_the_version_of_the_reports() {
    let version = &schema()["$defs"]["schema"]["const"];
    assert_eq!(*version, ostree_kernel::report::SCHEMA);
}

#[test]
fn a_field_that_is_not_documented_is_found() {
    let json = |text: &str| undocumented(&serde_json::from_str(text).unwrap());
    let failure = r#"{"schema": 1, "tool": "t", "outcome": "failed", "error": "e"}"#;
    assert_eq!(json(failure), [""; 0]);
    for (from, to, expected) in [
        (
            r#""tool""#,
            r#""more": 1, "tool""#,
            "/more is not documented",
        ),
        (
            r#""tool": "t""#,
            r#""tool": 1"#,
            "/tool: integer 1, expected [String(\"string\")]",
        ),
        (r#""schema": 1"#, r#""schema": 2"#, "/schema: 2, expected 1"),
        (r#", "error": "e""#, "", ": no \"error\""),
        ("failed", "lost", "/outcome: \"lost\", expected one of"),
    ] {
        let found = json(&failure.replace(from, to));
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{found:?}"
        );
    }
}

/// Output that the other tests do not parse as JSON; `Ran::json` compares it with the schema.
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
