//! How what Azure has is compared with what is wanted, field by field, and what is sent to change it.

use serde::Serialize;
use serde_json::{Map, Value};

/// One field of a resource that has a wanted value.
#[derive(Clone, Debug)]
pub struct Field {
    path: Vec<String>,
    wanted: Value,
    same: Same,
    fixed: bool,
    absent: Value,
    sent: usize,
    besides: Option<String>,
}

/// When two values count as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Same {
    Exactly,
    /// Words and identifiers, which Azure returns in a case of its own.
    IgnoringCase,
    /// Regions: `West Europe` is `westeurope`.
    Region,
    /// Lists of rules, in any order; a single address is a range of one.
    Rules,
    /// Categories of logs that are on, in any order and with members of the service's own.
    Categories,
}

impl Field {
    /// The field at `path`, whose segments are separated by full stops.
    #[must_use]
    pub fn new(path: &str, wanted: impl Into<Value>) -> Self {
        Self::at(path.split('.').map(str::to_owned).collect(), wanted.into())
    }

    /// A tag, whose name may hold full stops. Tags are sent together, because Azure replaces them together.
    #[must_use]
    pub fn tag(name: &str, wanted: &str) -> Self {
        Self { sent: 1, ..Self::at(vec!["tags".to_owned(), name.to_owned()], wanted.into()) }
    }

    fn at(path: Vec<String>, wanted: Value) -> Self {
        Self { sent: path.len(), path, wanted, same: Same::Exactly, fixed: false, absent: Value::Null, besides: None }
    }

    /// Letter case does not count.
    #[must_use]
    pub fn ignoring_case(self) -> Self {
        Self { same: Same::IgnoringCase, ..self }
    }

    /// It is the name of a region.
    #[must_use]
    pub fn region(self) -> Self {
        Self { same: Same::Region, ..self }
    }

    /// It is a list of firewall rules.
    #[must_use]
    pub fn rules(self) -> Self {
        Self { same: Same::Rules, absent: Value::Array(Vec::new()), ..self }
    }

    /// It is a list of categories of logs.
    #[must_use]
    pub fn log_categories(self) -> Self {
        Self { same: Same::Categories, ..self }
    }

    /// A rule that may be there or not: something else looks after it.
    #[must_use]
    pub fn besides(self, rule: Option<&str>) -> Self {
        Self { besides: rule.map(str::to_owned), ..self }
    }

    /// Azure does not let it change after the creation.
    #[must_use]
    pub fn fixed(self) -> Self {
        Self { fixed: true, ..self }
    }

    /// What it means when an answer does not have it.
    #[must_use]
    pub fn absent(self, meaning: impl Into<Value>) -> Self {
        Self { absent: meaning.into(), ..self }
    }

    /// Azure replaces the object of the first `segments` of the path as a whole.
    #[must_use]
    pub fn sent_with(self, segments: usize) -> Self {
        Self { sent: segments, ..self }
    }

    /// The same where the resource is not this program's: rules that others put there stay, beside those that are wanted.
    #[must_use]
    pub fn beside_those_of(self, actual: &Value) -> Self {
        let (Same::Rules, Some(Value::Array(theirs)), Value::Array(own)) =
            (self.same, lookup(actual, &self.path), &self.wanted)
        else {
            return self;
        };
        let missing = own.iter().filter(|one| !theirs.iter().any(|other| rule_of(other) == rule_of(one)));
        let wanted = theirs.iter().chain(missing).cloned().collect();
        Self { wanted, ..self }
    }

    fn difference(&self, actual: &Value) -> Option<Difference> {
        let found = lookup(actual, &self.path);
        let old = found.filter(|value| !value.is_null()).unwrap_or(&self.absent);
        if self.same.holds((old, &self.wanted), self.besides.as_deref()) {
            return None;
        }
        Some(Difference { field: self.path.join("."), old: old.clone(), new: self.wanted.clone(), fixed: self.fixed })
    }
}

impl Same {
    fn holds(self, (old, new): (&Value, &Value), besides: Option<&str>) -> bool {
        match (self, old, new) {
            (Self::IgnoringCase, Value::String(old), Value::String(new)) => {
                old.trim_end_matches('/').eq_ignore_ascii_case(new.trim_end_matches('/'))
            }
            (Self::Region, Value::String(old), Value::String(new)) => region(old) == region(new),
            (Self::Rules, Value::Array(old), Value::Array(new)) => rules(old, besides) == rules(new, besides),
            (Self::Categories, Value::Array(old), Value::Array(new)) => categories(old) == categories(new),
            _ => old == new,
        }
    }
}

fn region(text: &str) -> String {
    text.replace(' ', "").to_ascii_lowercase()
}

fn categories(list: &[Value]) -> Vec<&str> {
    let on = |one: &&Value| one.get("enabled") == Some(&Value::Bool(true));
    let name = |one| Value::get(one, "categoryGroup").or(Value::get(one, "category")).and_then(Value::as_str);
    let mut names: Vec<_> = list.iter().filter(on).filter_map(name).collect();
    names.sort_unstable();
    names
}

/// A firewall rule in one form: a single address is a range of one, and the case of an id does not count.
#[must_use]
pub fn rule(text: &str) -> String {
    text.strip_suffix("/32").unwrap_or(text).to_ascii_lowercase()
}

fn rule_of(one: &Value) -> String {
    rule(one.get("value").or(one.get("id")).and_then(Value::as_str).unwrap_or_default())
}

fn rules(list: &[Value], besides: Option<&str>) -> Vec<String> {
    let besides = besides.map(rule);
    let mut texts: Vec<_> = list.iter().map(rule_of).filter(|text| besides.as_ref() != Some(text)).collect();
    texts.sort();
    texts.dedup();
    texts
}

/// A field whose value is not the wanted one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Where it is in the resource, segments separated by full stops.
    pub field: String,
    /// What Azure has.
    pub old: Value,
    /// What is wanted.
    pub new: Value,
    /// Whether Azure does not let it change.
    #[serde(skip)]
    pub fixed: bool,
}

/// Every field whose value is not the wanted one.
#[must_use]
pub fn differences(fields: &[Field], actual: &Value) -> Vec<Difference> {
    fields.iter().filter_map(|field| field.difference(actual)).collect()
}

/// The document that changes just what differs. What Azure replaces as a whole starts from what it has.
#[must_use]
pub fn patch(fields: &[Field], actual: &Value) -> Value {
    let mut patch = Value::Object(Map::new());
    for field in fields.iter().filter(|field| field.difference(actual).is_some()) {
        let (whole, _) = field.path.split_at(field.sent);
        if lookup(&patch, whole).is_none()
            && field.sent < field.path.len()
            && let Some(before) = lookup(actual, whole).filter(|before| !before.is_null())
        {
            set(&mut patch, whole, before.clone());
        }
        set(&mut patch, &field.path, field.wanted.clone());
    }
    patch
}

fn lookup<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| value.get(segment))
}

fn set(value: &mut Value, path: &[String], wanted: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = wanted;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(members) = value {
        set(members.entry(first.clone()).or_insert(Value::Null), rest, wanted);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_azure_writes_differently_is_no_difference() {
        let actual = json!({"location": "West Europe", "tags": {"a.b": "1"}, "properties": {
            "keyVault": "/subscriptions/S/resourceGroups/rg/providers/Microsoft.Keyvault/vaults/kv", "acls": {
            "ipRules": [{"value": "203.0.113.7/32"}, {"value": "10.0.0.0/8"}]}, "count": 7}});
        let rows = [
            Field::new("location", "westeurope").region(),
            Field::new(
                "properties.keyVault",
                "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv",
            )
            .ignoring_case(),
            Field::new("properties.acls.ipRules", json!([{"value": "10.0.0.0/8"}, {"value": "203.0.113.7"}])).rules(),
            Field::new("properties.acls.virtualNetworkRules", json!([])).rules(),
            Field::new("properties.purge", false).absent(false),
            Field::new("properties.count", 7),
            Field::tag("a.b", "1"),
        ];
        assert_eq!(differences(&rows, &actual), []);
    }

    #[test]
    fn beside_the_rules_of_others_only_what_is_missing_is_a_difference() {
        let actual = json!({"acls": {"ipRules": [{"value": "203.0.113.7/32"}, {"value": "10.0.0.0/8"}]}});
        let beside = |wanted: Value| Field::new("acls.ipRules", wanted).rules().beside_those_of(&actual);
        assert_eq!(differences(&[beside(json!([]))], &actual), []);
        assert_eq!(differences(&[beside(json!([{"value": "203.0.113.7"}]))], &actual), []);
        let more = [beside(json!([{"value": "203.0.113.7"}, {"value": "192.0.2.0/24"}]))];
        let all = json!([{"value": "203.0.113.7/32"}, {"value": "10.0.0.0/8"}, {"value": "192.0.2.0/24"}]);
        assert_eq!(differences(&more, &actual)[0].new, all);
        assert_eq!(patch(&more, &actual), json!({"acls": {"ipRules": all}}));
        let first = Field::new("acls.ipRules", json!([{"value": "192.0.2.0/24"}])).rules().beside_those_of(&json!({}));
        assert_eq!(differences(&[first], &json!({})).len(), 1, "where there is none, those of the file are all");
    }

    #[test]
    fn each_difference_has_both_values() {
        let actual =
            json!({"location": "eastus", "properties": {"days": 90, "acls": {"ipRules": [{"value": "1.2.3.4"}]}}});
        let fields = [
            Field::new("location", "westeurope").region().fixed(),
            Field::new("properties.days", 30),
            Field::new("properties.acls.ipRules", json!([])).rules(),
            Field::new("properties.missing", true),
        ];
        let found = differences(&fields, &actual);
        let shown: Vec<_> =
            found.iter().map(|one| (one.field.as_str(), one.old.to_string(), one.new.to_string())).collect();
        let row = |field, old: &str, new: &str| (field, old.to_owned(), new.to_owned());
        assert_eq!(
            shown,
            [
                row("location", "\"eastus\"", "\"westeurope\""),
                row("properties.days", "90", "30"),
                row("properties.acls.ipRules", "[{\"value\":\"1.2.3.4\"}]", "[]"),
                row("properties.missing", "null", "true"),
            ]
        );
        assert_eq!(found.iter().filter(|one| one.fixed).count(), 1);
    }

    #[test]
    fn a_patch_sends_what_differs_and_keeps_what_is_replaced_with_it() {
        let actual = json!({"tags": {"theirs": "x", "team": "a"}, "properties": {"networkAcls": {"bypass": "None",
            "ipRules": [{"value": "1.2.3.4/32"}]}, "other": 1, "days": 7}});
        let fields = [
            Field::tag("team", "b"),
            Field::new("properties.networkAcls.defaultAction", "Deny").sent_with(2),
            Field::new("properties.days", 7),
        ];
        let expected = json!({"tags": {"theirs": "x", "team": "b"}, "properties": {"networkAcls": {"bypass": "None",
            "ipRules": [{"value": "1.2.3.4/32"}], "defaultAction": "Deny"}}});
        assert_eq!(patch(&fields, &actual), expected);
    }
}
