//! One client: what stops it, what it waits out, what it keeps and shows.

use super::*;

/// Answers by a function.
struct Answering<F>(F);

impl<F: Fn(&Request) -> Result<Response, Unreachable>> Transport for Answering<F> {
    fn send<'a>(&'a self, request: &'a Request) -> Local<'a, Result<Response, Unreachable>> {
        Box::pin(std::future::ready((self.0)(request)))
    }
}

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn refusal(reason: Reason) -> Response {
    let answer =
        crate::federation::protocol::Answer { reason, message: reason.sentence().into(), retry_after_ms: None };
    Response { status: reason.status(), total: None, body: serde_json::to_vec(&answer).unwrap() }
}

#[test]
fn what_cannot_be_mended_stops_with_its_sentence() {
    for reason in [
        Reason::TokenWrong,
        Reason::FederationUnknown,
        Reason::FederationFull,
        Reason::VersionUnknown,
        Reason::Finished,
    ] {
        let mut client = Client::new(invitation());
        let transport = Answering(|_: &Request| Ok(refusal(reason)));
        assert!(matches!(now(client.step(&transport, || 0.0)), Step::Asked));
        let Step::Stopped(error) = now(client.step(&transport, || 0.0)) else { panic!("{reason:?}") };
        assert_eq!(error.to_string(), reason.sentence());
        assert_eq!(client.stage(), Stage::Stopped);
        // Patience of the user.
        client.retry();
        assert_eq!(client.stage(), Stage::Joining);
    }
    let mut client = Client::new(invitation());
    let page = Answering(|_: &Request| Ok(Response { status: 404, total: None, body: b"Not found".to_vec() }));
    now(client.step(&page, || 0.0));
    assert!(matches!(client.next(0.0), Next::Stopped(ClientError::Strange { status: 404 })));
}

#[test]
fn a_lost_network_is_waited_out() {
    let mut client = Client::new(invitation());
    let asked = RefCell::new(0);
    let cut = Answering(|_: &Request| {
        *asked.borrow_mut() += 1;
        Err(Unreachable { reason: "the connection is down".into() })
    });
    let mut clock = 0.0;
    for _ in 0..200 {
        match now(client.step(&cut, || clock)) {
            Step::Asked => {
                assert_eq!((client.stage(), client.trouble()), (Stage::Reconnecting, Some("the connection is down")))
            }
            Step::Wait { milliseconds } => clock += milliseconds as f64,
            _ => panic!("it waits"),
        }
    }
    assert_eq!(*asked.borrow(), 100);
    assert!(clock > 30.0 * 60.0 * 1000.0, "half a minute each in the end: {clock}");
    client.retry();
    assert!(matches!(client.next(clock), Next::Send(_)), "the network is back: at once");
}

#[test]
fn what_was_kept_by_another_version_or_damaged_is_refused() {
    let bytes = Client::new(invitation()).to_bytes();
    assert!(Client::resume(&bytes).is_ok());
    let mut other = bytes.clone();
    other[0] = 99;
    assert!(Client::resume(&other).err().unwrap().to_string().contains("another version"));
    assert!(Client::resume(&bytes[..bytes.len() - 1]).is_err());
    assert!(Client::resume(&[]).is_err());
}

#[test]
fn no_token_is_shown() {
    let mut client = Client::new(invitation());
    let Next::Send(request) = client.next(0.0) else { panic!("it joins") };
    assert_eq!(request.token, "ssi_invite");
    assert!(!format!("{request:?}").contains("ssi_") && !request.path.contains("ssi_"));
}
