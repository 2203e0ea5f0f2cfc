//! A content by its hash, in pieces: what has arrived before a cut stays.

use super::transport::Response;
use crate::federation::protocol::Hash;

/// Bytes that are asked for at once.
const PIECE: u64 = 4 << 20;

/// A download on its way.
#[derive(Debug, Clone)]
pub(super) struct Fetching {
    pub hash: Hash,
    bytes: Vec<u8>,
    /// Longest content that is taken.
    limit: u64,
    total: Option<u64>,
    /// Times that it arrived with another hash.
    pub damaged: u32,
}

/// What an answer has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fetched {
    More,
    Whole(Vec<u8>),
    /// It has another hash, or is no such content; begin again.
    Damaged,
}

impl Fetching {
    pub fn new(hash: Hash, limit: u64) -> Self {
        Self { hash, bytes: Vec::new(), limit, total: None, damaged: 0 }
    }

    /// Bytes here and in all, where known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes.len() as u64, self.total)
    }

    /// First byte that is missing and the one after the last to ask for.
    pub fn range(&self) -> (u64, u64) {
        let from = self.bytes.len() as u64;
        let end = from + PIECE;
        (from, self.total.map_or(end, |total| total.min(end)))
    }

    /// The answer to a request for [`range`](Self::range), of status 200 (the whole) or 206 (the part).
    pub fn take(&mut self, answer: Response) -> Fetched {
        let whole = match answer.status {
            206 => {
                let asked = self.range();
                let short = (answer.body.len() as u64) < asked.1 - asked.0;
                self.total = self.total.or(answer.total);
                self.bytes.extend(answer.body);
                match self.total {
                    Some(total) => self.bytes.len() as u64 >= total,
                    // A server of another origin may hide how long it is.
                    None => short,
                }
            }
            _ => {
                self.bytes = answer.body;
                true
            }
        };
        let too_long = self.bytes.len() as u64 > self.limit || self.total.is_some_and(|total| total > self.limit);
        if !whole && !too_long {
            return Fetched::More;
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.total = None;
        if !too_long && Hash::of(&bytes) == self.hash {
            return Fetched::Whole(bytes);
        }
        self.damaged += 1;
        Fetched::Damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Vec<u8> {
        (0..PIECE * 2 + 100).map(|i| (i % 251) as u8).collect()
    }

    fn part(content: &[u8], range: (u64, u64), told: bool) -> Response {
        let end = (range.1 as usize).min(content.len());
        let body = content[range.0 as usize..end].to_vec();
        Response { status: 206, total: told.then_some(content.len() as u64), body }
    }

    #[test]
    fn pieces_become_the_whole() {
        let content = content();
        for told in [true, false] {
            let mut fetching = Fetching::new(Hash::of(&content), 1 << 30);
            let mut asked = 0;
            let whole = loop {
                asked += 1;
                match fetching.take(part(&content, fetching.range(), told)) {
                    Fetched::More => {}
                    other => break other,
                }
            };
            assert_eq!((whole == Fetched::Whole(content.clone()), asked), (true, 3));
        }
    }

    #[test]
    fn a_server_that_knows_no_ranges_sends_all_at_once() {
        let mut fetching = Fetching::new(Hash::of(b"abc"), 3);
        let all = Response { status: 200, total: None, body: b"abc".to_vec() };
        assert_eq!(fetching.take(all), Fetched::Whole(b"abc".to_vec()));
    }

    #[test]
    fn what_is_damaged_or_too_long_is_not_taken() {
        let mut fetching = Fetching::new(Hash::of(b"abc"), 3);
        let all = |body: &[u8]| Response { status: 200, total: None, body: body.to_vec() };
        assert_eq!(fetching.take(all(b"abd")), Fetched::Damaged);
        assert_eq!(fetching.take(all(b"abcd")), Fetched::Damaged);
        let endless = Response { status: 206, total: Some(u64::MAX), body: b"a".to_vec() };
        assert_eq!(fetching.take(endless), Fetched::Damaged);
        assert_eq!((fetching.damaged, fetching.range().0), (3, 0));
        assert_eq!(fetching.take(all(b"abc")), Fetched::Whole(b"abc".to_vec()), "another attempt may be good");
    }
}
