//! A resource that is written as a document and compared field by field, which most are.

use anyhow::{Result, bail};
use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::{Map, Value, json};

use crate::arm::{self, ArmError, Call, State};
use crate::azure::Azure;
use crate::field::{Difference, Field, differences, patch};
use crate::id::ArmId;
use crate::item::{Decision, Item, Key, Known, Label, Observed};

/// The tag that marks what this program made; its value tells the estate, so that two in one group stay apart.
pub const OWNER_TAG: &str = "keyside-bootstrap";

/// What follows when Azure has deleted what it is deleting.
const MADE_ANEW: &str = "it is made anew when it is gone";

/// A refusal that passes soon after a provider has been registered.
const NOT_YET_REGISTERED: &[&str] = &["MissingSubscriptionRegistration"];

/// How a resource is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedBy {
    /// By a document with the changes only.
    Patch,
    /// By the whole document.
    Put,
}

/// How one recognises what this program made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// By a tag with this value.
    Tag(String),
    /// By its name, which holds the estate's number.
    Name,
    /// Not at all: it is somebody else's, and only read.
    Foreign,
}

/// A resource and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// How others refer to it.
    pub key: Key,
    /// What kind of thing it is, in words.
    pub kind: &'static str,
    /// Where it is.
    pub id: ArmId,
    /// The version of its interface.
    pub api: &'static str,
    /// Who made it.
    pub mark: Mark,
    /// What makes it.
    pub document: Value,
    /// What it is compared by.
    pub fields: Vec<Field>,
    /// How it is changed.
    pub changed_by: ChangedBy,
    /// What a removal says beyond, where nothing shall be left to recover.
    pub purge_query: &'static str,
}

impl Declaration {
    /// The path of its requests.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}?api-version={}", self.id, self.api)
    }

    /// What it is called.
    #[must_use]
    pub fn label(&self) -> Label {
        Label { kind: self.kind, name: self.id.name().to_owned() }
    }

    /// What Azure has of it.
    ///
    /// # Errors
    /// [`ArmError`].
    pub async fn read(&self, azure: &Azure) -> Result<Option<Value>, ArmError> {
        azure.arm.get(&self.label(), &self.path()).await
    }

    /// Decides about what Azure has.
    #[must_use]
    pub fn judge(&self, actual: Option<Value>) -> Observed {
        let Some(actual) = actual else {
            return match self.mark {
                Mark::Foreign => Observed::refused(format!("{} does not exist, and the file refers to it", self.id)),
                Mark::Tag(_) | Mark::Name => Observed::absent(),
            };
        };
        let ours = self.is_ours(&actual);
        let found = self.differences(&actual);
        let fixed: Vec<_> = found.iter().filter(|one| one.fixed).map(fixed_words).collect();
        let state = arm::state(&actual);
        let makes_anew = matches!(&state, State::UnderWay(word) if goes(word));
        let notes = makes_anew.then(|| MADE_ANEW.to_owned()).into_iter().collect();
        let decision = match state {
            _ if !fixed.is_empty() => Decision::Refuse(fixed.join("; ")),
            State::UnderWay(word) => Decision::Await(word),
            State::Failed(word) => Decision::Change(vec![failed(&word)]),
            State::Ready if found.is_empty() => Decision::Leave,
            State::Ready => Decision::Change(found),
        };
        Observed { decision, document: Some(actual), ours, deleted: false, notes }
    }

    /// Whether what has the tags of `document` was made by this program for this estate.
    #[must_use]
    pub fn is_ours(&self, document: &Value) -> bool {
        match &self.mark {
            Mark::Tag(estate) => {
                document.pointer("/tags").and_then(|tags| tags.get(OWNER_TAG)?.as_str()) == Some(estate)
            }
            Mark::Name => true,
            Mark::Foreign => false,
        }
    }

    /// Makes it, from its document with `more` merged in.
    ///
    /// # Errors
    /// [`ArmError`].
    pub async fn create(&self, azure: &Azure, more: Value) -> Result<Value, ArmError> {
        let mut document = self.document.clone();
        merge(&mut document, more);
        if let Mark::Tag(estate) = &self.mark {
            merge(&mut document, json!({"tags": {OWNER_TAG: estate}}));
        }
        self.send(azure, ("create", Method::Put), document).await
    }

    /// Changes what differs from `actual`.
    ///
    /// # Errors
    /// [`ArmError`].
    pub async fn change(&self, azure: &Azure, actual: &Value) -> Result<Value, ArmError> {
        let given_up = matches!(arm::state(actual), State::Failed(_));
        match self.changed_by {
            ChangedBy::Patch if !given_up => {
                let changes = patch(&self.fields_against(actual), actual);
                self.send(azure, ("change", Method::Patch), changes).await
            }
            ChangedBy::Patch | ChangedBy::Put => self.send(azure, ("change", Method::Put), self.whole(actual)).await,
        }
    }

    /// The document that takes the place of `actual`, with the tags that others put there.
    #[must_use]
    pub fn whole(&self, actual: &Value) -> Value {
        let tags = actual.get("tags").filter(|tags| tags.is_object());
        let mut document = tags.map_or_else(|| json!({}), |tags| json!({"tags": tags}));
        merge(&mut document, self.document.clone());
        merge(&mut document, patch(&self.fields_against(actual), actual));
        document
    }

    async fn send(
        &self,
        azure: &Azure,
        (operation, method): (&'static str, Method),
        document: Value,
    ) -> Result<Value, ArmError> {
        let label = self.label();
        let passing = Some((NOT_YET_REGISTERED, azure.arm.patience().propagation));
        let call = Call { body: Some(document), passing, ..Call::new(&label, operation, method, self.path()) };
        let answer = azure.arm.send(&call).await?;
        azure.arm.finish(&answer, &call).await?;
        azure.arm.settled(&self.path(), &call).await
    }

    /// Waits for what Azure is at, and makes anew what Azure deleted.
    async fn wait(&self, azure: &Azure, word: &str) -> Result<Value> {
        let label = self.label();
        let call = Call::new(&label, "wait for", Method::Get, self.path());
        if goes(word) {
            azure.arm.gone(&self.path(), &call).await?;
            return Ok(self.create(azure, Value::Null).await?);
        }
        self.as_shown(azure.arm.settled(&self.path(), &call).await?)
    }

    /// Nobody has confirmed a change of what could not be looked at in the plan.
    ///
    /// # Errors
    /// Where `actual`, which is ready now, is not as it should be.
    pub fn as_shown(&self, actual: Value) -> Result<Value> {
        let found = self.differences(&actual);
        if found.is_empty() {
            return Ok(actual);
        }
        let fields: Vec<_> = found.iter().map(|one| one.field.as_str()).collect();
        let (label, fields) = (self.label(), fields.join(", "));
        bail!("{label} is ready, and differs in what the plan could not show ({fields}): run plan again to see how")
    }

    /// Every field of `actual` that is not as it should be.
    #[must_use]
    pub fn differences(&self, actual: &Value) -> Vec<Difference> {
        differences(&self.fields_against(actual), actual)
    }

    /// What `actual` is compared by: of our own resource the file is the whole truth, and one that was there before keeps
    /// what others put there.
    fn fields_against(&self, actual: &Value) -> Vec<Field> {
        let fields = self.fields.iter().cloned();
        if self.is_ours(actual) {
            return fields.collect();
        }
        fields.map(|field| field.beside_those_of(actual)).collect()
    }

    /// Removes it and waits until it is gone.
    ///
    /// # Errors
    /// [`ArmError`].
    pub async fn delete(&self, azure: &Azure, purge: bool) -> Result<(), ArmError> {
        let label = self.label();
        let more = if purge { self.purge_query } else { "" };
        let call = Call::new(&label, "delete", Method::Delete, format!("{}{more}", self.path()));
        azure.arm.remove(&call).await?;
        azure.arm.gone(&self.path(), &call).await
    }

    /// Does what was decided, but for what only some kinds can.
    ///
    /// # Errors
    /// [`ArmError`]; also where Azure is done with it, and it is not as it should be.
    pub async fn perform(&self, azure: &Azure, observed: &Observed) -> Result<Value> {
        match (&observed.decision, &observed.document) {
            (Decision::Change(_), Some(actual)) => Ok(self.change(azure, actual).await?),
            (Decision::Await(word), _) => self.wait(azure, word).await,
            (Decision::Leave, Some(actual)) => Ok(actual.clone()),
            _ => Ok(self.create(azure, Value::Null).await?),
        }
    }
}

#[async_trait]
impl Item for Declaration {
    fn label(&self) -> Label {
        self.label()
    }

    fn key(&self) -> Key {
        self.key
    }

    async fn observe(&self, azure: &Azure, _known: &Known) -> Result<Observed> {
        Ok(self.judge(self.read(azure).await?))
    }

    async fn write(&self, azure: &Azure, _known: &Known, observed: &Observed) -> Result<Value> {
        self.perform(azure, observed).await
    }

    async fn remove(&self, azure: &Azure, _known: &Known, purge: bool) -> Result<Option<String>> {
        self.delete(azure, purge).await?;
        Ok(None)
    }
}

/// Whether Azure's word for what it is at means that the resource goes.
fn goes(word: &str) -> bool {
    matches!(word, "Deleting" | "Deprovisioning")
}

fn fixed_words(one: &Difference) -> String {
    format!(
        "{} is {} in Azure and {} in the file, and Azure does not let it change: correct the file, or choose another name",
        one.field, one.old, one.new
    )
}

fn failed(word: &str) -> Difference {
    let field = "properties.provisioningState".to_owned();
    Difference { field, old: word.into(), new: "Succeeded".into(), fixed: false }
}

/// Puts `more` into `document`, member by member; what is no object replaces what was there.
pub fn merge(document: &mut Value, more: Value) {
    match (document, more) {
        (_, Value::Null) => {}
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more {
                merge(members.entry(name).or_insert(Value::Object(Map::new())), value);
            }
        }
        (document, more) => *document = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(mark: Mark) -> Declaration {
        Declaration {
            key: Key::Unnamed,
            kind: "storage account",
            id: "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/a/b/c"
                .parse()
                .expect("an id"),
            api: "2023-05-01",
            mark,
            document: json!({"location": "westeurope"}),
            fields: vec![Field::new("location", "westeurope").region().fixed(), Field::new("properties.x", 1)],
            changed_by: ChangedBy::Patch,
            purge_query: "",
        }
    }

    #[test]
    fn every_state_has_its_decision() {
        let tagged = declaration(Mark::Tag("e".to_owned()));
        let seen = |state: &str, x: u8, location: &str| {
            let document = json!({"location": location, "tags": {OWNER_TAG: "e"}, "properties": {"x": x, "provisioningState": state}});
            tagged.judge(Some(document)).decision.word()
        };
        let rows = [
            (seen("Succeeded", 1, "West Europe"), "leave"),
            (seen("Succeeded", 2, "westeurope"), "change"),
            (seen("Creating", 2, "westeurope"), "await"),
            (seen("Failed", 1, "westeurope"), "change"),
            (seen("Succeeded", 1, "eastus"), "refuse"),
            (tagged.judge(None).decision.word(), "create"),
            (declaration(Mark::Foreign).judge(None).decision.word(), "refuse"),
        ];
        for (found, expected) in rows {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn only_what_carries_the_mark_of_this_estate_is_ours() {
        let judge = |mark: Mark, tags: Value| declaration(mark).judge(Some(json!({"tags": tags}))).ours;
        assert!(judge(Mark::Tag("e".to_owned()), json!({OWNER_TAG: "e"})));
        assert!(!judge(Mark::Tag("e".to_owned()), json!({OWNER_TAG: "another estate"})));
        assert!(!judge(Mark::Tag("e".to_owned()), Value::Null));
        assert!(judge(Mark::Name, Value::Null));
        assert!(!judge(Mark::Foreign, json!({OWNER_TAG: "e"})));
    }

    #[test]
    fn what_is_ready_after_a_wait_is_not_changed_behind_the_plan() {
        let tagged = declaration(Mark::Name);
        let ready = |x: u8| json!({"location": "westeurope", "properties": {"x": x}});
        assert_eq!(tagged.as_shown(ready(1)).expect("as it should be"), ready(1));
        let error = tagged.as_shown(ready(2)).expect_err("nobody has seen that").to_string();
        assert!(error.contains("(properties.x): run plan again"), "{error}");
        let document = json!({"location": "westeurope", "properties": {"provisioningState": "Deleting"}});
        assert_eq!(tagged.judge(Some(document)).notes, [MADE_ANEW]);
    }

    #[test]
    fn an_immutable_difference_shows_both_values() {
        let document = json!({"location": "eastus"});
        let Decision::Refuse(text) = declaration(Mark::Name).judge(Some(document)).decision else { panic!("refused") };
        assert!(text.contains("\"eastus\" in Azure") && text.contains("\"westeurope\" in the file"), "{text}");
    }

    #[test]
    fn merging_keeps_what_is_not_mentioned() {
        let mut document = json!({"a": {"b": 1, "c": [1]}, "d": 2});
        merge(&mut document, json!({"a": {"c": [2]}, "e": {"f": 3}}));
        assert_eq!(document, json!({"a": {"b": 1, "c": [2]}, "d": 2, "e": {"f": 3}}));
    }
}
