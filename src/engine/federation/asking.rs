//! Single requests to a coordinator: for hosts, and for whoever looks at an invitation before joining.

use crate::federation::client::{Body, Local, Method, Request, Response, Traffic, Transport, Unreachable};
use crate::federation::protocol::{FinishUpload, Hash, Received};

use super::super::message::{CoordinatorAct, CoordinatorAnswer, CoordinatorRequest, Event, Place, RequestId};
use super::super::session::{Refusal, Session};

/// Bytes of a content that are asked for at once.
const PIECE: u64 = 8 << 20;
/// Times that a request is repeated when there is no answer.
const ATTEMPTS: u32 = 3;

/// No network, for a reason.
pub struct Silent(pub String);

impl Transport for Silent {
    fn send<'a>(&'a self, _request: &'a Request) -> Local<'a, Result<Response, Unreachable>> {
        Box::pin(std::future::ready(Err(Unreachable { reason: self.0.clone() })))
    }
}

fn request(method: Method, path: String, token: &str, body: Body) -> Request {
    Request { method, path, token: token.to_owned(), range: None, body, traffic: Traffic::Control }
}

fn told(response: Response) -> CoordinatorAnswer {
    CoordinatorAnswer { status: response.status, body: String::from_utf8_lossy(&response.body).into_owned() }
}

/// All of these may be repeated.
async fn send(transport: &dyn Transport, request: &Request) -> Result<Response, Refusal> {
    let mut attempt = 1;
    loop {
        match transport.send(request).await {
            Ok(response) => return Ok(response),
            Err(error) if attempt == ATTEMPTS => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    }
}

impl Session {
    pub(in super::super) async fn ask_coordinator(
        &self,
        id: RequestId,
        ask: CoordinatorRequest,
    ) -> Result<(), Refusal> {
        let transport = self.coordinator(&ask.server);
        let (method, body) = match ask.act {
            CoordinatorAct::Get => (Method::Get, Body::Empty),
            CoordinatorAct::Delete => (Method::Delete, Body::Empty),
            CoordinatorAct::Post(json) => (Method::Post, json.map_or(Body::Empty, Body::Json)),
        };
        // Creating a federation twice would make two of them.
        let response = transport.send(&request(method, ask.path, &ask.token, body)).await?;
        self.post(id, Event::CoordinatorAnswered(told(response)));
        Ok(())
    }

    pub(in super::super) async fn upload_model(
        &self,
        id: RequestId,
        place: &Place,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let transport = self.coordinator(&place.server);
        let path = |rest: &str| format!("/federations/{}/model{rest}", place.federation);
        let ask = |method, rest: &str, body| request(method, path(rest), &place.token, body);
        let chunks = send(&*transport, &ask(Method::Get, "/chunks", Body::Empty)).await?;
        let Ok(Received { chunk_bytes, received, .. }) = serde_json::from_slice(&chunks.body) else {
            self.post(id, Event::CoordinatorAnswered(told(chunks)));
            return Ok(());
        };
        for (index, chunk) in (0..).zip(bytes.chunks(usize::try_from(chunk_bytes.max(1)).unwrap_or(usize::MAX))) {
            if received.contains(&index) {
                continue;
            }
            let put = ask(Method::Put, &format!("/chunks/{index}"), Body::Bytes(chunk.to_vec()));
            let response = send(&*transport, &put).await?;
            if response.status >= 300 {
                self.post(id, Event::CoordinatorAnswered(told(response)));
                return Ok(());
            }
        }
        let finish = FinishUpload { sha256: Hash::of(bytes), bytes: bytes.len() as u64, samples: 0, metrics: None };
        let finish = ask(Method::Put, "", Body::Json(serde_json::to_string(&finish)?));
        let response = send(&*transport, &finish).await?;
        self.post(id, Event::CoordinatorAnswered(told(response)));
        Ok(())
    }

    pub(in super::super) async fn fetch_content(
        &self,
        id: RequestId,
        place: &Place,
        sha256: Hash,
        name: String,
    ) -> Result<(), Refusal> {
        let transport = self.coordinator(&place.server);
        let mut bytes = Vec::new();
        loop {
            let from = bytes.len() as u64;
            let path = format!("/federations/{}/blobs/{sha256}", place.federation);
            let piece =
                Request { range: Some((from, from + PIECE)), ..request(Method::Get, path, &place.token, Body::Empty) };
            let response = send(&*transport, &piece).await?;
            match response.status {
                206 => {
                    let short = (response.body.len() as u64) < PIECE;
                    bytes.extend(response.body);
                    if response.total.map_or(short, |total| bytes.len() as u64 >= total) {
                        break;
                    }
                }
                200 => {
                    bytes = response.body;
                    break;
                }
                _ => return Err(sentence(&response).into()),
            }
        }
        if Hash::of(&bytes) != sha256 {
            return Err("what arrived is damaged; fetch it again".into());
        }
        self.post(id, Event::File { name, mime: "application/octet-stream".to_owned(), bytes: bytes.into() });
        Ok(())
    }
}

/// What a refusal says, or that it says nothing.
fn sentence(response: &Response) -> String {
    let answer = serde_json::from_slice::<crate::federation::protocol::Answer>(&response.body);
    answer.map_or_else(|_| format!("the coordinator answers with status {}", response.status), |answer| answer.message)
}
