//! The documents that describe resources: put together, and sent back whole.

use serde_json::{Map, Value, json};

/// What of a resource is its owner's to say, and would be lost if it was left out. Under `properties` stands also what Azure
/// alone decides, which it ignores: whoever changes a resource in the portal sends back what was read.
pub(crate) fn writable(actual: &Value) -> Value {
    let said = ["tags", "kind", "sku", "properties"].map(|name| (name, actual.get(name).cloned().unwrap_or_default()));
    let mut document: Value = said.into_iter().collect();
    if let Some(kind) = actual.pointer("/identity/type") {
        // Of the identities, only the names are the owner's to say.
        let assigned = actual.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
        let assigned: Map<_, _> = assigned.into_iter().flatten().map(|(id, _)| (id.clone(), json!({}))).collect();
        document["identity"] = json!({"type": kind});
        if !assigned.is_empty() {
            document["identity"]["userAssignedIdentities"] = assigned.into();
        }
    }
    if let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("provisioningState");
        // It is true for ever, and Azure refuses false.
        properties.retain(|name, value| name != "enablePurgeProtection" || *value == Value::Bool(true));
    }
    document
}

/// Puts `more` into `document`, member by member; what is no object replaces what was there, and null nothing.
pub fn merge(document: &mut Value, more: Value) {
    match (document, more) {
        (_, Value::Null) => {}
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more.into_iter().filter(|(_, value)| !value.is_null()) {
                merge(members.entry(name).or_insert(Value::Object(Map::new())), value);
            }
        }
        (document, more) => *document = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_what_is_not_mentioned() {
        let mut document = json!({"a": {"b": 1, "c": [1]}, "d": 2});
        merge(&mut document, json!({"a": {"c": [2]}, "e": {"f": 3}, "g": null}));
        assert_eq!(document, json!({"a": {"b": 1, "c": [2]}, "d": 2, "e": {"f": 3}}));
    }
}
