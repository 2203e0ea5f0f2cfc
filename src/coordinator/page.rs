//! The static files of the page under their base path.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use thiserror::Error;
use tower_http::services::ServeDir;

use super::{ServeOptions, headers};

/// The path under which the page appears: begins and ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath(String);

/// A base path that no URL can carry.
#[derive(Debug, Error)]
#[error("\"{0}\" is not a path of a URL. Write it like /lab/sigmascope/")]
pub struct BadBasePath(String);

impl Default for BasePath {
    fn default() -> Self {
        Self("/".into())
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BasePath {
    type Err = BadBasePath;

    fn from_str(text: &str) -> Result<Self, BadBasePath> {
        let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
        let plain = |segment: &str| {
            segment != "."
                && segment != ".."
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        if !segments.iter().copied().all(plain) {
            return Err(BadBasePath(text.into()));
        }
        Ok(Self(segments.iter().fold("/".to_owned(), |path, segment| path + segment + "/")))
    }
}

struct Page {
    base: BasePath,
    files: ServeDir,
    policy: headers::Policy,
}

/// Everything the server answers.
pub(super) fn router(options: &ServeOptions) -> Router {
    let page = Page {
        base: options.base.clone(),
        // `.br` and `.gz` beside a file are written by the build (`src/pack`). Nothing is compressed here: it would let
        // anybody keep a core busy for a second with one request.
        files: ServeDir::new(&options.dir).precompressed_br().precompressed_gzip(),
        policy: headers::Policy::new(&options.dir, &options.weights_from),
    };
    Router::new().fallback(answer).with_state(Arc::new(page))
}

async fn answer(State(page): State<Arc<Page>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match path.strip_prefix(page.base.0.as_str()) {
        Some(inside) => file(&page, inside, request).await,
        // Relative links need the slash at the end.
        None if path.len() + 1 == page.base.0.len() && page.base.0.starts_with(&path) => {
            Redirect::permanent(&page.base.0).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    };
    if response.status() == StatusCode::NOT_FOUND {
        response = (
            StatusCode::NOT_FOUND,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            format!("There is nothing at this address. SigmaScope is at {}\n", page.base),
        )
            .into_response();
    }
    page.policy.add_to(&path, &mut response).await;
    response
}

/// The file of the page at the path `inside` the base. [`ServeDir`] refuses whatever would leave its folder.
async fn file(page: &Page, inside: &str, mut request: Request) -> Response {
    let path = PathAndQuery::from_str(&format!("/{inside}")).map(Uri::from);
    let Ok(uri) = path else {
        return StatusCode::NOT_FOUND.into_response();
    };
    *request.uri_mut() = uri;
    match page.files.clone().try_call(request).await {
        Ok(response) => response.map(Body::new).into_response(),
        Err(error) => unreadable(error),
    }
}

/// A file that is there and cannot be read, e.g. for lack of permission.
fn unreadable(error: std::io::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("A file of the page cannot be read: {error}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_get_their_slashes() {
        for (text, path) in [("/", "/"), ("", "/"), ("lab", "/lab/"), ("/lab/sigma-scope/", "/lab/sigma-scope/")] {
            assert_eq!(text.parse::<BasePath>().unwrap().to_string(), path);
        }
        for text in ["/../", "/a b/", "/a?b", "/ä/"] {
            assert!(text.parse::<BasePath>().is_err(), "{text}");
        }
    }
}
