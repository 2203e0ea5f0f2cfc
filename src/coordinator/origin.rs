//! Another server: one that the page may fetch from, or one whose pages may use this coordinator.

use std::fmt;
use std::str::FromStr;

/// `https://host` or `https://host:port`, as a content security policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        // Anything else could end the directive of the policy, or widen it.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(format!(
                "{text} is not an origin; write it like https://weights.example or http://127.0.0.1:9000"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_only() {
        for good in ["https://weights.example", "http://127.0.0.1:9000/", "https://[::1]:8443"] {
            assert_eq!(good.parse::<Origin>().unwrap().to_string(), good.trim_end_matches('/'));
        }
        for bad in ["", "https://", "weights.example", "https://a/b", "https://*", "https://a; script-src *", "ftp://a"]
        {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
