//! What a coordinator refuses, and what a client does about it.

use super::*;

#[test]
fn refusals_lead_where_they_should() {
    let refused = |reason: Reason| {
        let mut world = World::new(definition(Encoding::Float32, 3, false), &[50_000.0; 3], Vec::new());
        while world.coordinator.phase != Phase::Training {
            world.turn();
        }
        world.coordinator.refuse = Some(reason);
        world.run();
        world
    };
    // What is at fault sits the round out and takes the next one.
    for reason in [Reason::NormTooLarge, Reason::ShapeMismatch, Reason::SamplesOutOfRange] {
        let world = refused(reason);
        check(&world, 3).unwrap();
        let [first, last] = [0, 2].map(|round: usize| world.coordinator.rounds[round].updates.len());
        assert_eq!((first, last), (2, 3), "{reason:?}");
    }
    // What waiting or sending again mends is mended.
    for reason in
        [Reason::HashMismatch, Reason::Busy, Reason::StorageFailed, Reason::TooManyRequests, Reason::ChunksMissing]
    {
        let world = refused(reason);
        check(&world, 3).unwrap();
        assert_eq!(world.coordinator.rounds[0].updates.len(), 3, "{reason:?}");
    }
}

#[test]
fn weights_that_cannot_be_sent_make_a_client_sit_out() {
    let mut world = World::new(definition(Encoding::Int8, 2, false), &[50_000.0; 3], Vec::new());
    while world.tabs[0].work.is_none() {
        world.turn();
    }
    let Some((Work::Training(training), _)) = world.tabs[0].work.take() else { panic!("training") };
    let weights = [("w", 135), ("b", 3)].map(|(name, count)| (name.to_owned(), vec![f32::NAN; count]));
    let client = &mut world.tabs[0].client;
    client.trained(training.ticket, Trained { weights: weights.into(), samples: 1, metrics: None });
    assert_eq!(client.stage(), Stage::SittingOut);
    assert!(client.trouble().unwrap().contains("NaN"), "{:?}", client.trouble());
    world.run();
    assert_eq!(world.coordinator.rounds.iter().map(|round| round.updates.len()).collect::<Vec<_>>(), [2, 3]);
}
