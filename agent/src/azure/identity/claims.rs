//! What a token says about itself, read without verifying it: that is for the service that it is shown to.

use azure_core::credentials::AccessToken;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::Deserialize;
use uuid::Uuid;

use crate::azure::quotation::first_line;

/// Whom a token was given to, and for what. Nothing is known of a token that is no JSON web token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The service that it is for.
    pub audience: Option<String>,
    /// The directory that gave it.
    pub tenant_id: Option<Uuid>,
    /// Whoever it names, as an object of that directory: what roles are assigned to.
    pub object_id: Option<Uuid>,
    /// The application that asked for it; a managed identity is one, too.
    pub client_id: Option<Uuid>,
    /// Whether it names a person.
    pub is_user: bool,
}

/// Source: <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>.
#[derive(Deserialize)]
struct Payload {
    aud: Option<String>,
    tid: Option<Uuid>,
    oid: Option<Uuid>,
    appid: Option<Uuid>,
    azp: Option<Uuid>,
    idtyp: Option<String>,
    /// Only where an application acts for a person.
    scp: Option<String>,
}

impl Claims {
    /// Reads the middle part of `token`. A parser's error could quote it, so there is none.
    pub(super) fn of(token: &AccessToken) -> Self {
        let payload = token.token.secret().split('.').nth(1);
        let payload = payload.and_then(|text| Base64UrlUnpadded::decode_vec(text).ok());
        let Some(payload) = payload.and_then(|json| serde_json::from_slice::<Payload>(&json).ok()) else {
            return Self::default();
        };
        let Payload { aud, tid, oid, appid, azp, idtyp, scp } = payload;
        Self {
            audience: aud.map(|text| first_line(&text)),
            tenant_id: tid,
            object_id: oid,
            client_id: appid.or(azp),
            is_user: idtyp.map_or(scp.is_some(), |kind| kind == "user"),
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core::time::OffsetDateTime;

    use super::*;

    const ID: &str = "11111111-1111-4111-8111-111111111111";

    fn claims(payload: &str) -> Claims {
        let token = format!("e30.{}.c2ln", Base64UrlUnpadded::encode_string(payload.as_bytes()));
        Claims::of(&AccessToken::new(token, OffsetDateTime::UNIX_EPOCH))
    }

    #[test]
    fn an_application_and_a_person_are_told_apart() {
        let rows = [
            (r#""idtyp":"app","appid":"ID""#, false),
            (r#""idtyp":"user","scp":"user_impersonation","appid":"ID""#, true),
            (r#""scp":"user_impersonation","azp":"ID""#, true),
            (r#""azp":"ID""#, false),
        ];
        let id: Uuid = ID.parse().expect("an id");
        for (more, is_user) in rows {
            let payload = format!(r#"{{"aud":"https://vault.azure.net","tid":"ID","oid":"ID",{more}}}"#);
            let expected = Claims {
                audience: Some("https://vault.azure.net".to_owned()),
                tenant_id: Some(id),
                object_id: Some(id),
                client_id: Some(id),
                is_user,
            };
            assert_eq!(claims(&payload.replace("ID", ID)), expected, "{payload}");
        }
    }

    #[test]
    fn nothing_is_made_of_a_token_that_cannot_be_read() {
        assert_eq!(claims(r#"{"oid":"$(reboot)"}"#), Claims::default());
        assert_eq!(claims("no json"), Claims::default());
        for opaque in ["token-1", "a.b", "..", ""] {
            let token = AccessToken::new(opaque.to_owned(), OffsetDateTime::UNIX_EPOCH);
            assert_eq!(Claims::of(&token), Claims::default(), "{opaque}");
        }
    }
}
