//! What work has led to becomes uploads.

use super::Client;
use super::uploading::{Content, Upload};
use super::work::{Ticket, Trained};
use crate::federation::protocol::{BandStatistics, Binding, Encoded, Hash, Metrics, UpdateError};
use crate::scope::{Scope, has_scope};

impl Client {
    /// The band statistics that were asked for.
    pub fn gathered(&mut self, ticket: Ticket, statistics: &BandStatistics) {
        let Some(binding) = self.binding(0, Hash([0; 32])).filter(|_| self.wants(ticket)) else { return };
        let bytes = statistics.to_bytes(&binding);
        self.working = None;
        self.kept.upload = Some(Upload::new(Content::Statistics, bytes, 0, None, None));
        self.changed = true;
    }

    /// How good the common model of a round is on one's own held-out pixels. Without such pixels nothing is sent.
    pub fn evaluated(&mut self, ticket: Ticket, metrics: Metrics) {
        if !self.wants(ticket) {
            return;
        }
        if metrics.samples > 0 && metrics.check().is_ok() {
            self.evaluation = Some((ticket.round, metrics));
        } else {
            self.kept.evaluated = self.kept.evaluated.max(ticket.round);
            self.changed = true;
        }
        if ticket.kind == super::work::Kind::Evaluation {
            self.working = None;
        }
    }

    /// The weights to which training has led. What cannot be sent makes the client sit this round out, saying why.
    pub fn trained(&mut self, ticket: Ticket, trained: Trained) {
        if !self.wants(ticket) {
            return;
        }
        match self.update(ticket, &trained) {
            Ok((encoded, layers, scopes)) => {
                let (bytes, next) = encoded.into_parts();
                let content = Content::Update { round: ticket.round, model: ticket.model.unwrap_or(Hash([0; 32])) };
                self.kept.upload = Some(Upload::new(content, bytes, trained.samples, trained.metrics, Some(next)));
                self.kept.layers = layers;
                let moments = |scope: Scope| [scope.mean, scope.deviation, scope.skewness, scope.excess_kurtosis];
                self.kept.scopes.insert(ticket.round, scopes.into_iter().map(moments).collect());
                self.working = None;
                (self.changed, self.revision) = (true, self.revision + 1);
            }
            Err(error) => {
                let why = format!(
                    "this round goes on without this client, because its training led to what cannot be sent: {error}"
                );
                self.sit_out(ticket.round, why);
            }
        }
    }

    /// The work cannot be done, for this reason; the round goes on without this client.
    pub fn could_not(&mut self, ticket: Ticket, why: impl Into<String>) {
        if self.wants(ticket) {
            self.sit_out(ticket.round, why.into());
        }
    }

    /// The work was interrupted; it will be given out again.
    pub fn put_back(&mut self, ticket: Ticket) {
        if self.wants(ticket) {
            self.working = None;
        }
    }

    fn binding(&self, round: u32, model: Hash) -> Option<Binding> {
        let client = self.id()?;
        Some(Binding { federation: self.kept.invitation.federation, client, round, model })
    }

    /// The file of an update, and layers with their scopes.
    fn update(&self, ticket: Ticket, trained: &Trained) -> Result<(Encoded, Vec<String>, Vec<Scope>), UpdateError> {
        let missing = |name: &str| UpdateError::Missing { name: name.to_owned() };
        let model = self.model.as_ref().filter(|model| Some(model.hash) == ticket.model);
        let model = model.ok_or_else(|| missing("(the model)"))?;
        let binding = self.binding(ticket.round, model.hash).ok_or_else(|| missing("(the client)"))?;
        let (mut changes, mut layers, mut scopes) = (Vec::new(), Vec::new(), Vec::new());
        for (name, shape) in model.plan().tensors() {
            let weights = trained.weights.get(name).ok_or_else(|| missing(name))?;
            let before = model.values(name)?;
            if weights.len() != before.len() {
                let (found, expected) = (format!("{} values", weights.len()), format!("{} values", before.len()));
                return Err(UpdateError::Shape { name: name.clone(), found, expected });
            }
            if has_scope(shape) {
                let scope = Scope::of(weights).ok_or_else(|| not_finite(name, weights))?;
                layers.push(name.clone());
                scopes.push(scope);
            }
            changes.push(weights.iter().zip(&before).map(|(now, before)| now - before).collect::<Vec<f32>>());
        }
        let changes: Vec<&[f32]> = changes.iter().map(Vec::as_slice).collect();
        Ok((self.kept.encoder.encode(model.plan(), &binding, &changes, &scopes)?, layers, scopes))
    }
}

/// The first weight that is not finite.
fn not_finite(name: &str, weights: &[f32]) -> UpdateError {
    let index = weights.iter().position(|weight| !weight.is_finite()).unwrap_or_default();
    let value = weights.get(index).copied().map_or(f64::NAN, f64::from);
    UpdateError::NotFinite { name: name.to_owned(), index, value }
}
