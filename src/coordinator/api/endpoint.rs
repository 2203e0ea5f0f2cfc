//! What a request asks for.

use axum::http::Method;

use super::super::machine::Message;
use crate::federation::protocol::{FederationId, Hash, Reason};

/// Whose token opens an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Admin,
    Invite,
    Client,
}

/// Every endpoint: method, path below `api/v1` and roles. The document lists the same.
const ENDPOINTS: &[(&str, &str, &[Role])] = &[
    ("POST", "/federations", ADMIN),
    ("GET", "/federations", ADMIN),
    ("GET", "/federations/{federation}", ALL),
    ("DELETE", "/federations/{federation}", ADMIN),
    ("GET", "/federations/{federation}/state", ALL),
    ("GET", "/federations/{federation}/rounds/{round}", ALL),
    ("GET", "/federations/{federation}/history", ALL),
    ("GET", "/federations/{federation}/blobs/{sha256}", ALL),
    ("POST", "/federations/{federation}/invite", ADMIN),
    ("POST", "/federations/{federation}/start", ADMIN),
    ("POST", "/federations/{federation}/pause", ADMIN),
    ("POST", "/federations/{federation}/resume", ADMIN),
    ("POST", "/federations/{federation}/finish", ADMIN),
    ("PUT", "/federations/{federation}/model/chunks/{index}", ADMIN),
    ("GET", "/federations/{federation}/model/chunks", ADMIN),
    ("PUT", "/federations/{federation}/model", ADMIN),
    ("POST", "/federations/{federation}/clients", INVITE),
    ("DELETE", "/federations/{federation}/clients/me", CLIENT),
    ("PUT", "/federations/{federation}/statistics/chunks/{index}", CLIENT),
    ("GET", "/federations/{federation}/statistics/chunks", CLIENT),
    ("PUT", "/federations/{federation}/statistics", CLIENT),
    ("PUT", "/federations/{federation}/rounds/{round}/update/chunks/{index}", CLIENT),
    ("GET", "/federations/{federation}/rounds/{round}/update/chunks", CLIENT),
    ("PUT", "/federations/{federation}/rounds/{round}/update", CLIENT),
    ("PUT", "/federations/{federation}/rounds/{round}/evaluation", CLIENT),
];

const ADMIN: &[Role] = &[Role::Admin];
const INVITE: &[Role] = &[Role::Invite];
const CLIENT: &[Role] = &[Role::Client];
const ALL: &[Role] = &[Role::Admin, Role::Invite, Role::Client];

/// What is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::coordinator) enum Upload {
    Model,
    Statistics,
    Update { round: u32 },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Create,
    List,
    View,
    Delete,
    State,
    Round(u32),
    History,
    Blob(Hash),
    Invite,
    Host(Message),
    Join,
    Leave,
    Chunk(Upload, u32),
    Received(Upload),
    Finish(Upload),
    Evaluate(u32),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Endpoint {
    /// Its path, as the document writes it.
    pub(super) pattern: &'static str,
    pub(super) action: Action,
    pub(super) federation: Option<FederationId>,
    pub(super) roles: &'static [Role],
}

/// The endpoint of a method and a path below `api/v1`.
pub(super) fn route(method: &Method, path: &str) -> Result<Endpoint, Reason> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let fits = |pattern: &str| {
        let pattern: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
        pattern.len() == segments.len()
            && pattern.iter().zip(&segments).all(|(pattern, segment)| pattern.starts_with('{') || pattern == segment)
    };
    let mut found = None;
    let mut any = false;
    for &(endpoint, pattern, roles) in ENDPOINTS {
        if fits(pattern) {
            any = true;
            if endpoint == method.as_str() {
                found = Some((pattern, roles));
            }
        }
    }
    let Some((pattern, roles)) = found else {
        return Err(if any { Reason::MethodNotAllowed } else { Reason::PathUnknown });
    };
    let federation = match segments.get(1) {
        Some(id) => Some(id.parse().map_err(|_| Reason::FederationUnknown)?),
        None => None,
    };
    let round = |text: &str| text.parse::<u32>().map_err(|_| Reason::RoundUnknown);
    let index = |text: &str| text.parse::<u32>().map_err(|_| Reason::PathUnknown);
    let read = *method == Method::GET;
    let action = match segments.get(2..).unwrap_or_default() {
        [] if federation.is_none() => {
            if read {
                Action::List
            } else {
                Action::Create
            }
        }
        [] => {
            if read {
                Action::View
            } else {
                Action::Delete
            }
        }
        ["state"] => Action::State,
        ["history"] => Action::History,
        ["blobs", hash] => Action::Blob(hash.parse().map_err(|_| Reason::BlobUnknown)?),
        ["invite"] => Action::Invite,
        ["start"] => Action::Host(Message::Start),
        ["pause"] => Action::Host(Message::Pause),
        ["resume"] => Action::Host(Message::Resume),
        ["finish"] => Action::Host(Message::Finish),
        ["clients"] => Action::Join,
        ["clients", "me"] => Action::Leave,
        ["model"] => Action::Finish(Upload::Model),
        ["model", "chunks"] => Action::Received(Upload::Model),
        ["model", "chunks", at] => Action::Chunk(Upload::Model, index(at)?),
        ["statistics"] => Action::Finish(Upload::Statistics),
        ["statistics", "chunks"] => Action::Received(Upload::Statistics),
        ["statistics", "chunks", at] => Action::Chunk(Upload::Statistics, index(at)?),
        ["rounds", number] => Action::Round(round(number)?),
        ["rounds", number, "evaluation"] => Action::Evaluate(round(number)?),
        ["rounds", number, "update"] => Action::Finish(Upload::Update { round: round(number)? }),
        ["rounds", number, "update", "chunks"] => Action::Received(Upload::Update { round: round(number)? }),
        ["rounds", number, "update", "chunks", at] => {
            Action::Chunk(Upload::Update { round: round(number)? }, index(at)?)
        }
        _ => return Err(Reason::PathUnknown),
    };
    Ok(Endpoint { pattern, action, federation, roles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_leads_somewhere_of_its_own() {
        let mut actions = Vec::new();
        for (method, pattern, roles) in ENDPOINTS {
            let path = pattern
                .replace("{federation}", "0123456789abcdef")
                .replace("{sha256}", &"ab".repeat(32))
                .replace("{round}", "7")
                .replace("{index}", "3");
            let endpoint = route(&Method::from_bytes(method.as_bytes()).unwrap(), &path).unwrap();
            assert_eq!(endpoint.roles, *roles);
            assert!(!actions.contains(&endpoint.action), "{method} {pattern}");
            actions.push(endpoint.action);
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let ask = |method: Method, path: &str| route(&method, path).unwrap_err();
        assert_eq!(ask(Method::GET, "/"), Reason::PathUnknown);
        assert_eq!(ask(Method::GET, "/federations/"), Reason::FederationUnknown);
        assert_eq!(ask(Method::GET, "/federations/0123456789abcdeg"), Reason::FederationUnknown);
        assert_eq!(ask(Method::GET, "/federations/0123456789abcdef/blobs/../../log.redb"), Reason::PathUnknown);
        assert_eq!(ask(Method::GET, "/federations/0123456789abcdef/blobs/..%2f"), Reason::BlobUnknown);
        assert_eq!(ask(Method::GET, "/federations/0123456789abcdef/rounds/-1"), Reason::RoundUnknown);
        assert_eq!(ask(Method::DELETE, "/federations"), Reason::MethodNotAllowed);
        assert_eq!(ask(Method::PUT, "/federations/0123456789abcdef/model/chunks/99999999999"), Reason::PathUnknown);
    }

    #[test]
    fn the_document_lists_every_endpoint() {
        let document = include_str!("../../../docs/federation.md");
        let section = document.split("## Endpoints").nth(1).expect("a section").split("\n## ").next().unwrap();
        let cells = |line: &str| -> Option<(String, String, String)> {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).skip(1);
            let (method, path, roles) = (cells.next()?, cells.next()?, cells.next()?);
            path.starts_with("/federations").then_some((method, path, roles))
        };
        let mut listed: Vec<_> = section.lines().filter_map(cells).collect();
        let name = |role: &Role| format!("{role:?}").to_lowercase();
        let mut expected: Vec<_> = ENDPOINTS
            .iter()
            .map(|(method, path, roles)| {
                let roles = if *roles == ALL {
                    "all".to_owned()
                } else {
                    roles.iter().map(name).collect::<Vec<_>>().join(", ")
                };
                ((*method).to_owned(), (*path).to_owned(), roles)
            })
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
    }
}
