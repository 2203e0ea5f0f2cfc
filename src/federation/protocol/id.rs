//! Names that are chosen by the coordinator, and hashes that name contents. Both are hexadecimal and nothing else, so that they
//! can stand in a path of a URL or a folder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Not the lower-case hexadecimal digits that were expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected {digits} lower-case hexadecimal digits; copy the whole identifier")]
pub struct BadId {
    digits: usize,
}

macro_rules! hexadecimal {
    ($(#[$about:meta])* $name:ident, $bytes:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let mut bytes = [0; $bytes];
                let digit = |byte: u8| match byte {
                    b'0'..=b'9' => Some(byte - b'0'),
                    b'a'..=b'f' => Some(byte - b'a' + 10),
                    _ => None,
                };
                let bad = BadId { digits: 2 * $bytes };
                if text.len() != 2 * $bytes {
                    return Err(bad);
                }
                for (out, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    *out = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or(bad)?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hexadecimal!(
    /// A federation, 16 digits.
    FederationId,
    8
);
hexadecimal!(
    /// A client of one federation, 16 digits. Drawn at random when it joins; says nothing about who it is.
    ClientId,
    8
);
hexadecimal!(
    /// SHA-256 of a content, 64 digits.
    Hash,
    32
);

impl Hash {
    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_hash() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(b"abc").to_string(), expected);
        assert_eq!(expected.parse(), Ok(Hash::of(b"abc")));
        assert_eq!(serde_json::from_str::<Hash>(&format!("\"{expected}\"")).unwrap(), Hash::of(b"abc"));
        assert_eq!(serde_json::to_string(&Hash::of(b"abc")).unwrap(), format!("\"{expected}\""));
    }

    #[test]
    fn nothing_else_is_a_name() {
        for text in
            ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcde/", "../../../../etc/p", "0123456789abcdéf"]
        {
            assert!(text.parse::<ClientId>().is_err(), "{text}");
        }
    }
}
