//! Vaults with callers of every kind, and a way to send them requests.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use serde_json::Value;

use super::super::*;
use crate::directory::Application;
use crate::seed::Seed;
use crate::vault::Vaults;

pub(super) const OFFICER: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);
pub(super) const STRANGER: Uuid = Uuid::from_u128(0x9999);
pub(super) const NOON: i64 = 1_779_468_197;

pub(super) struct World {
    pub(super) directory: Directory,
    pub(super) vaults: Vaults,
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOON + second).unwrap()
}

/// One set of keys for all tests, because making them takes longer than all of these tests together.
pub(super) static KEYS: LazyLock<String> =
    LazyLock::new(|| Directory::new(Seed::example().directory, None).unwrap().keys_pem());

/// The example's vaults, with one more application that nobody gave a role.
pub(super) fn world() -> World {
    let Seed { mut directory, vaults, .. } = Seed::example();
    directory.applications.push(Application {
        app_id: Uuid::from_u128(0x9998),
        object_id: STRANGER,
        secrets: Vec::new(),
        certificate: None,
        federated_credentials: Vec::new(),
    });
    let assignments = RoleAssignments::default();
    let vaults = vaults.into_iter().map(|vault| vault.build(&assignments, at(0))).collect();
    let vaults = Vaults::new(vaults, assignments);
    World { directory: Directory::new(directory, Some(&KEYS)).unwrap(), vaults }
}

impl World {
    pub(super) fn bearer(&self, principal: Uuid, second: i64) -> String {
        let token = self.directory.token_for(principal, AUDIENCE, at(second)).unwrap();
        format!("Bearer {token}")
    }

    pub(super) fn send(
        &self,
        vault: &str,
        call: (&str, &str),
        authorization: Option<&str>,
        second: i64,
    ) -> Response<Vec<u8>> {
        self.send_with_body(vault, call, (authorization, b""), second)
    }

    pub(super) fn send_with_body(
        &self,
        vault: &str,
        (method, target): (&str, &str),
        (authorization, body): (Option<&str>, &[u8]),
        second: i64,
    ) -> Response<Vec<u8>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = VaultRequest {
            method: &method.parse().unwrap(),
            path,
            query,
            authority: "127.0.0.1:8443",
            authorization,
            client_request_id: Some("call-1"),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            body,
        };
        let surroundings = Surroundings { directory: &self.directory, now: at(second) };
        self.vaults.answer(vault, &request, &surroundings).unwrap()
    }

    /// The names of the members that the officer is answered with, in their order on the wire.
    pub(super) fn officer_sees(&self, call: (&str, &str), body: &Value, second: i64) -> (u16, Vec<String>) {
        let bearer = self.bearer(OFFICER, second);
        let body = body.to_string().into_bytes();
        let response = self.send_with_body("kv-keyside", call, (Some(&bearer), &body), second);
        (response.status().as_u16(), member_names(response.body()))
    }

    /// What the officer is told.
    pub(super) fn officer(&self, call: (&str, &str), body: &Value, second: i64) -> (u16, Value) {
        let bearer = self.bearer(OFFICER, second);
        let body = body.to_string().into_bytes();
        read(&self.send_with_body("kv-keyside", call, (Some(&bearer), &body), second))
    }
}

pub(super) fn read(response: &Response<Vec<u8>>) -> (u16, Value) {
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
}

/// Every member name of a JSON text in the order of the text; `serde_json`'s own map would sort them.
pub(super) fn member_names(json: &[u8]) -> Vec<String> {
    let json = std::str::from_utf8(json).unwrap();
    let ends = json.match_indices("\":").map(|(end, _)| &json[..end]);
    ends.map(|before| before.rsplit('"').next().unwrap().to_string()).collect()
}
