//! Who may what. A token is 32 random bytes; only its SHA-256 is kept.

use std::fmt;
use std::io;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::federation::protocol::{ClientId, FederationId, Hash};

/// Bytes from the operating system's generator.
///
/// # Errors
/// When there is none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A name for a scratch file.
///
/// # Errors
/// Those of [`random`].
pub fn random_name() -> io::Result<String> {
    Ok(FederationId(random()?).to_string())
}

/// A secret, as its holder shows it. Its text never appears in what is printed.
#[derive(Clone)]
pub struct Token {
    text: String,
    claim: Claim,
}

/// What a token says it is. The federation's and client's names are no secrets; they find the hash to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Admin,
    Invite,
    Client(ClientId),
}

/// Not the text of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoToken;

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// Those of [`random`].
    pub fn new(claim: Claim) -> io::Result<Self> {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?);
        let text = match claim {
            Claim::Admin => format!("ssa_{secret}"),
            Claim::Invite => format!("ssi_{secret}"),
            Claim::Client(client) => format!("ssc_{client}_{secret}"),
        };
        Ok(Self { text, claim })
    }

    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// What is kept.
    pub fn hash(&self) -> Hash {
        Hash::of(self.text.as_bytes())
    }

    /// Whether this is the token with that hash; takes the same time wherever they differ.
    pub fn is(&self, hash: Hash) -> bool {
        self.hash().0.ct_eq(&hash.0).into()
    }

    /// The secret itself, to be told its holder once.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        // An operator may choose an admin token of another form; what matters is its hash.
        let claim = match text.split_once('_') {
            Some(("ssi", _)) => Claim::Invite,
            Some(("ssc", rest)) => {
                let (client, _) = rest.split_once('_').ok_or(NoToken)?;
                Claim::Client(client.parse().map_err(|_| NoToken)?)
            }
            _ => Claim::Admin,
        };
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !(16..=256).contains(&text.len()) || !printable {
            return Err(NoToken);
        }
        Ok(Self { text: text.into(), claim })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, …)", self.claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_what_they_are_and_are_compared_by_hash() {
        for claim in [Claim::Admin, Claim::Invite, Claim::Client(ClientId([0xab; 8]))] {
            let token = Token::new(claim).unwrap();
            let shown: Token = token.reveal().parse().unwrap();
            assert_eq!(shown.claim(), claim);
            assert!(shown.is(token.hash()));
            let other = Token::new(claim).unwrap();
            assert!(!other.is(token.hash()));
            assert!(!format!("{token:?}").contains(&token.reveal()[24..]), "{token:?}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "short",
            "ssc_0123_abcdefghijklmnop",
            "ssc_abcdefghijklmnop",
            "a b c d e f g h i j k",
            "x".repeat(300).as_str(),
        ] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }
}
