//! The headers of every answer: isolation, content security policy, caching.

use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::Origin;

/// Same for every answer. The first two make the page cross-origin isolated, which shared memory (wasm threads) needs.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-embedder-policy"), HeaderValue::from_static("require-corp")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// A new build changes the name of such a file, so it may be kept for ever.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// May be kept, but is asked for again each time (304 when unchanged).
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Adds the headers that an answer needs.
pub(super) struct Policy {
    index: PathBuf,
    weights_from: Vec<Origin>,
}

impl Policy {
    /// `dir` is the folder of the page; weights may also be fetched from `weights_from`.
    pub fn new(dir: &Path, weights_from: &[Origin]) -> Self {
        Self { index: dir.join("index.html"), weights_from: weights_from.to_vec() }
    }

    /// `path` is the path of the request.
    pub async fn add_to(&self, path: &str, response: &mut Response) {
        let is_html =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let ok = response.status().is_success() || response.status() == 304;
        let headers = response.headers_mut();
        for (name, value) in ALWAYS {
            headers.insert(name, value);
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        headers.insert(header::CACHE_CONTROL, if ok && is_content_hashed(name) { IMMUTABLE } else { REVALIDATE });
        // A worker takes its policy from its own script, the page from its html.
        if is_html || name.ends_with(".js") {
            let inline = if is_html { self.inline_scripts().await } else { Vec::new() };
            if let Ok(policy) = HeaderValue::try_from(content_security_policy(&inline, &self.weights_from)) {
                headers.insert(header::CONTENT_SECURITY_POLICY, policy);
            }
        }
    }

    /// Hashes of the scripts written into the page itself. Read anew each time: a rebuild may change them.
    async fn inline_scripts(&self) -> Vec<String> {
        let html = tokio::fs::read_to_string(&self.index).await.unwrap_or_default();
        inline_scripts(&html).into_iter().map(|script| BASE64_STANDARD.encode(Sha256::digest(script))).collect()
    }
}

/// Only files of this server run, load and receive anything: a scene cannot leave the machine. Whoever runs the server may name
/// others that weights are fetched from.
///
/// `wasm-unsafe-eval` lets WebAssembly compile and nothing else; `blob:` serves downloads, pictures and workers made in the tab;
/// inline styles are what the plots use.
fn content_security_policy(inline_script_hashes: &[String], weights_from: &[Origin]) -> String {
    let hashes: String = inline_script_hashes.iter().map(|hash| format!(" 'sha256-{hash}'")).collect();
    let others: String = weights_from.iter().map(|origin| format!(" {origin}")).collect();
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{hashes}; worker-src 'self' blob:; connect-src 'self' blob:{others}; \
         img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; font-src 'self'; manifest-src 'self'; \
         base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The texts of the `<script>` elements without `src`. The page is our own build's output, not a stranger's html.
fn inline_scripts(html: &str) -> Vec<&str> {
    let mut scripts = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("<script") {
        let Some((attributes, body)) = after.split_once('>') else { break };
        let Some((script, next)) = body.split_once("</script>") else { break };
        if !attributes.split_ascii_whitespace().any(|attribute| attribute.starts_with("src=")) {
            scripts.push(script);
        }
        rest = next;
    }
    scripts
}

/// Whether the build wrote a hash of the content into the name, like `app-3f2a9c41d07be586_bg.wasm`.
fn is_content_hashed(name: &str) -> bool {
    // 64 bits in hexadecimal without leading zeros: shorter than 13 digits once in 4096 builds, which then merely revalidates.
    name.split(['-', '_', '.']).any(|part| {
        (13..=16).contains(&part.len()) && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_names_are_told_from_plain_ones() {
        for name in ["app-3f2a9c41d07be586.js", "app-3f2a9c41d07be586_bg.wasm", "styles-f2a9c41d07be586.css"] {
            assert!(is_content_hashed(name), "{name}");
        }
        for name in ["index.html", "engine_bg.wasm", "engine.js", "", "decade-facade.js", "app-3f2a.js"] {
            assert!(!is_content_hashed(name), "{name}");
        }
    }

    #[test]
    fn inline_scripts_are_found() {
        let html = "<script src=\"a.js\"></script><script type=\"module\">let a = '<b>';</script><script>b()</script>";
        assert_eq!(inline_scripts(html), ["let a = '<b>';", "b()"]);
        assert_eq!(inline_scripts("<script type=module"), Vec::<&str>::new());
    }

    #[test]
    fn the_policy_lets_nothing_out() {
        let policy = content_security_policy(&["abc=".into()], &[]);
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval' 'sha256-abc=';"));
        assert!(policy.contains("connect-src 'self' blob:;") && policy.starts_with("default-src 'none';"));
        assert!(!policy.contains("http"), "{policy}");
        let policy = content_security_policy(&[], &["https://weights.example".parse().unwrap()]);
        assert!(policy.contains("connect-src 'self' blob: https://weights.example;"), "{policy}");
    }
}
