//! The link that a host passes on.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::federation::protocol::FederationId;

/// Where in a link's fragment the invitation stands.
const KEY: &str = "join=";
/// Invite tokens begin with this.
const PREFIX: &str = "ssi_";
/// Longest token that is taken from a link.
const TOKEN_MAX: usize = 200;

/// A federation and the token that opens it: `https://lab.example/#join=FEDERATION.TOKEN`. Browsers do not send what stands
/// behind `#`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Address of the coordinator's page, ending with `/`; its API lies under `api/v1` there.
    pub server: String,
    pub federation: FederationId,
    pub token: String,
}

/// A link that is no invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvitationError {
    #[error("this is not an invitation: behind its # a link has to hold “join=”; copy the whole link from the host")]
    NoInvitation,
    #[error("the invitation is cut short or changed; copy the whole link from the host again")]
    Damaged,
}

impl Invitation {
    /// Reads a link.
    ///
    /// # Errors
    /// [`InvitationError`] when it is another link, or a part of one.
    pub fn from_link(link: &str) -> Result<Self, InvitationError> {
        let (address, fragment) = link.trim().split_once('#').ok_or(InvitationError::NoInvitation)?;
        let place = fragment.split('&').find_map(|part| part.strip_prefix(KEY)).ok_or(InvitationError::NoInvitation)?;
        let (federation, token) = place.split_once('.').ok_or(InvitationError::Damaged)?;
        let federation = federation.parse().map_err(|_| InvitationError::Damaged)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !token.starts_with(PREFIX) || token.len() > TOKEN_MAX || !token.bytes().all(plain) {
            return Err(InvitationError::Damaged);
        }
        // The page's own file, its question and what follows are not part of the coordinator's address.
        let address = address.split('?').next().unwrap_or_default();
        let host = address.find("//").map_or(0, |scheme| scheme + 2);
        let folder = address[host..].rfind('/');
        let server = folder.map_or_else(|| format!("{address}/"), |at| address[..=host + at].to_owned());
        Ok(Self { server, federation, token: token.to_owned() })
    }

    /// The link.
    pub fn link(&self) -> String {
        format!("{}#{KEY}{}.{}", self.server, self.federation, self.token)
    }
}

/// Without the token: this may end in a log.
impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("server", &self.server)
            .field("federation", &self.federation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: FederationId = FederationId([0xab; 8]);

    #[test]
    fn a_link_comes_back() {
        for server in ["https://lab.example/", "http://127.0.0.1:8080/", "https://lab.example/sigma/scope/", "/"] {
            let invitation = Invitation { server: server.into(), federation: ID, token: "ssi_Ab-9_z".into() };
            assert_eq!(Invitation::from_link(&invitation.link()), Ok(invitation.clone()), "{server}");
            assert!(!format!("{invitation:?}").contains("ssi_"));
        }
    }

    #[test]
    fn what_surrounds_an_invitation_does_not_matter() {
        let read = |link: &str| Invitation::from_link(link).unwrap().server;
        assert_eq!(read(" https://lab.example#join=abababababababab.ssi_x\n"), "https://lab.example/");
        assert_eq!(
            read("https://lab.example/a/index.html?x=/y#theme=dark&join=abababababababab.ssi_x"),
            "https://lab.example/a/"
        );
    }

    #[test]
    fn other_links_are_refused() {
        for (link, error) in [
            ("", InvitationError::NoInvitation),
            ("https://lab.example/", InvitationError::NoInvitation),
            ("https://lab.example/#about", InvitationError::NoInvitation),
            ("https://lab.example/#join=", InvitationError::Damaged),
            ("https://lab.example/#join=abababababababab", InvitationError::Damaged),
            ("https://lab.example/#join=abababab.ssi_x", InvitationError::Damaged),
            ("https://lab.example/#join=abababababababab.ssc_x", InvitationError::Damaged),
            ("https://lab.example/#join=abababababababab.ssi_x y", InvitationError::Damaged),
        ] {
            assert_eq!(Invitation::from_link(link), Err(error), "{link}");
        }
    }
}
