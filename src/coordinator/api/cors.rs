//! Which pages may talk to this coordinator from a browser.

use axum::http::{HeaderMap, HeaderValue, header};

use super::super::Origin;
use crate::federation::protocol::Reason;

/// A request that may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed<'a> {
    /// From the coordinator's own page, or not from a browser.
    Here,
    /// From a page of this origin.
    Elsewhere(&'a HeaderValue),
}

pub(super) fn allowed<'a>(
    origins: &[Origin],
    origin: Option<&'a HeaderValue>,
    host: Option<&HeaderValue>,
) -> Result<Allowed<'a>, Reason> {
    let Some(value) = origin else { return Ok(Allowed::Here) };
    let text = value.to_str().map_err(|_| Reason::OriginNotAllowed)?;
    // TLS ends in front of the coordinator, so the scheme it sees is not the page's.
    let authority = text.split_once("://").map(|(_, authority)| authority);
    if authority.is_some() && authority == host.and_then(|host| host.to_str().ok()) {
        return Ok(Allowed::Here);
    }
    if origins.iter().any(|allowed| allowed.as_str() == text) {
        Ok(Allowed::Elsewhere(value))
    } else {
        Err(Reason::OriginNotAllowed)
    }
}

pub(super) fn add_headers(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, range"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("content-range, retry-after"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_pages_and_listed_ones_pass() {
        let origins = ["https://lab.example".parse().unwrap()];
        let host = HeaderValue::from_static("coordinator.example:8080");
        let ask = |origin: &'static str| {
            let origin = HeaderValue::from_static(origin);
            allowed(&origins, Some(&origin), Some(&host)).map(|allowed| allowed == Allowed::Here)
        };
        assert_eq!(allowed(&origins, None, Some(&host)), Ok(Allowed::Here));
        assert_eq!(ask("https://coordinator.example:8080"), Ok(true));
        assert_eq!(ask("https://lab.example"), Ok(false));
        for origin in ["http://lab.example", "https://lab.example.evil", "null", "https://evil", ""] {
            assert_eq!(ask(origin), Err(Reason::OriginNotAllowed), "{origin}");
        }
    }
}
