// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares `packaging/report.schema.json` with the schema of the documents, and checks that every field has a
//! description. `UPDATE_SCHEMA=1 cargo test --lib schema` writes the file.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::documents::{CheckList, Damaged, Difference, DryRun, Failure, Inspected, Status, Why};
use super::{ImageReports, Report, SCHEMA, SchemaVersion};
use crate::node::record::Judgement;

impl JsonSchema for SchemaVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "const": SCHEMA,
            "description": "The version of this schema. It is incremented when a field is removed or changes its meaning, but not when a field is added.",
        })
    }
}

/// A transformation of the schema: removes `null` from the types of fields that are not required, because such a field
/// is left out if it has no value.
#[derive(Clone)]
struct AbsentIsNotNull;

impl Transform for AbsentIsNotNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let required = schema.get("required").cloned().unwrap_or_default();
        let required: Vec<_> = required.as_array().cloned().unwrap_or_default();
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            if required.iter().any(|it| it == name) {
                continue;
            }
            let Some(property) = property.as_object_mut() else {
                continue;
            };
            if let Some(Value::Array(types)) = property.get_mut("type") {
                types.retain(|it| it != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    property.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(kinds)) = property.get_mut("anyOf") {
                kinds.retain(|it| *it != json!({"type": "null"}));
                if let [Value::Object(only)] = kinds.as_slice() {
                    let only = only.clone();
                    property.remove("anyOf");
                    property.extend(only);
                }
            }
        }
    }
}

/// Returns the schema of every document of `--format json`.
fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(AbsentIsNotNull)
        .into_generator();
    let documents = [
        generator.subschema_for::<Report>(),
        generator.subschema_for::<ImageReports>(),
        generator.subschema_for::<DryRun>(),
        generator.subschema_for::<Failure>(),
        generator.subschema_for::<Status>(),
        generator.subschema_for::<Judgement>(),
        generator.subschema_for::<CheckList>(),
        generator.subschema_for::<Inspected>(),
        generator.subschema_for::<Damaged>(),
        generator.subschema_for::<Difference>(),
        generator.subschema_for::<Why>(),
    ];
    json!({
        "$schema": generator.settings().meta_schema,
        "title": "The output of ostree-kernel with --format json",
        "description": "Readers should ignore unknown fields.",
        "anyOf": documents,
        "$defs": generator.take_definitions(true),
    })
}

#[test]
fn the_schema_is_that_of_the_documents() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/report.schema.json");
    let expected = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs_err::write(&path, &expected).unwrap();
    }
    let found = fs_err::read_to_string(&path).unwrap();
    assert!(
        found == expected,
        "packaging/report.schema.json is not up to date: run UPDATE_SCHEMA=1 cargo test --lib schema"
    );
}

#[test]
fn every_field_has_a_description() {
    let schema = schema();
    let mut wrong = Vec::new();
    let definitions = schema["$defs"].as_object().unwrap();
    for (of, definition) in definitions {
        let about = definition.get("description");
        if about.is_none() {
            wrong.push(of.clone());
        }
        let fields = definition["properties"].as_object().into_iter().flatten();
        wrong.extend(
            fields
                .filter(|(_, field)| field.get("description").is_none())
                .filter(|(_, field)| field.get("$ref").is_none())
                .map(|(name, _)| format!("{of}.{name}")),
        );
    }
    assert_eq!(wrong, [""; 0]);
}
