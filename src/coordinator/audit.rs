//! The log of what happened, as lines for the operator.

use super::machine::Event;
use crate::federation::protocol::FederationId;

/// One line for every event. Clients are random numbers; nothing tells who they are or where they come from.
pub(super) fn audit(federation: FederationId, event: &Event) {
    match event {
        Event::Joined { client, .. } => tracing::info!(target: "audit", %federation, %client, "joined"),
        Event::Left { client } => tracing::info!(target: "audit", %federation, %client, "left"),
        Event::StatisticsAccepted { client, blob } => {
            tracing::info!(target: "audit", %federation, %client, %blob, "statistics accepted");
        }
        Event::UpdateAccepted { client, round, update } => {
            let (blob, samples, norm) = (update.blob, update.samples, update.norm);
            tracing::info!(target: "audit", %federation, %client, round, %blob, samples, norm, "update accepted");
        }
        Event::Aggregated { round, model, .. } => {
            tracing::info!(target: "audit", %federation, round, %model, "aggregated")
        }
        Event::Evaluated { client, round, .. } => {
            tracing::info!(target: "audit", %federation, %client, round, "evaluated")
        }
        Event::RoundOpened { round } => tracing::info!(target: "audit", %federation, round, "round opened"),
        Event::RoundClosed { round } => tracing::info!(target: "audit", %federation, round, "round closed"),
        Event::StatisticsDone { projection } => tracing::info!(target: "audit", %federation, %projection, "projection"),
        Event::Finished { cause } => tracing::info!(target: "audit", %federation, ?cause, "finished"),
        Event::Created { .. } => tracing::info!(target: "audit", %federation, "created"),
        Event::Invited { .. } => tracing::info!(target: "audit", %federation, "invite renewed"),
        Event::ModelStored { .. } => tracing::info!(target: "audit", %federation, "model stored"),
        Event::StatisticsOpened => tracing::info!(target: "audit", %federation, "statistics opened"),
        Event::Paused => tracing::info!(target: "audit", %federation, "paused"),
        Event::Resumed => tracing::info!(target: "audit", %federation, "resumed"),
    }
}
