//! Where a resource is: its subscription, its group, its type and its name.

use super::kind::Kind;
use super::target::Target;

/// One resource, as a path names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) subscription: String,
    pub(crate) group: String,
    /// Its name, after those of the resources that it lives in.
    pub(crate) names: Vec<String>,
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// Its id, in the case of the path.
    pub(crate) fn id(&self) -> String {
        let words = self.kind.words().iter().zip(&self.names);
        let path: String = words.flat_map(|(word, name)| ["/", word, "/", name]).collect();
        let group = format!("/subscriptions/{}/resourceGroups/{}", self.subscription, self.group);
        format!("{group}/providers/{}{path}", self.kind.namespace())
    }

    /// What ids are compared by.
    pub(crate) fn key(&self) -> String {
        self.id().to_ascii_lowercase()
    }

    /// Type and name as errors show them.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.kind.type_name(), self.names.join("/"))
    }

    /// The resource that it lives in.
    pub(crate) fn parent(&self) -> Option<Place> {
        let kind = match self.kind {
            Kind::Compute => Kind::Workspace,
            Kind::FederatedCredential => Kind::Identity,
            _ => return None,
        };
        let names = self.names[..1].to_vec();
        Some(Place { kind, subscription: self.subscription.clone(), group: self.group.clone(), names })
    }

    /// The resource that an id names.
    pub(crate) fn of_id(id: &str) -> Option<Place> {
        match Target::of(id)? {
            Target::Resource(place) => Some(place),
            _ => None,
        }
    }
}
