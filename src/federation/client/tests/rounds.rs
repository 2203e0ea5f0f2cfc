//! Whole federations: clients that are slow, away, reloaded or leave.

use super::*;

#[test]
fn three_tabs_finish_a_federation() {
    for (encoding, round_0) in [(Encoding::Float32, true), (Encoding::Float16, false), (Encoding::Int8, true)] {
        let mut world = World::new(definition(encoding, 4, round_0), &[100.0, 3000.0, 7000.0], Vec::new());
        world.run();
        check(&world, 4).unwrap();
        let coordinator = &world.coordinator;
        assert!(coordinator.rounds.iter().all(|round| round.updates.len() >= 2 && round.evaluation.len() >= 2));
        assert_eq!(coordinator.last_evaluation.len(), 3);
        let (layers, scopes) = world.tabs[0].client.own_scopes();
        assert_eq!((layers, scopes.len()), (["w".to_owned()].as_slice(), 4));
        assert_eq!(world.tabs[0].seen_targets, BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 1)]));
        let target = world.tabs[0].client.rounds()[&2].targets[0].target();
        let own = scopes[&2][0];
        assert!(kl(Target { mean: own[0], deviation: own[1] }, target) < 0.1);
        let ledger = world.tabs[0].client.ledger();
        assert_eq!(ledger.of(Traffic::Statistics).up > 0, round_0);
        assert!(ledger.of(Traffic::Update).up > 4 * 138 && ledger.of(Traffic::Model).down >= 5 * 552);
        assert_eq!(ledger.of(Traffic::Model).up, 0);
    }
}

#[test]
fn a_straggler_takes_the_round_that_is_open() {
    let mut definition = definition(Encoding::Int8, 5, false);
    definition.deadlines.round_s = 10.0;
    let mut world = World::new(definition, &[100.0, 200.0, 25_000.0], Vec::new());
    world.run();
    check(&world, 5).unwrap();
    let slow = world.tabs[2].client.id().unwrap();
    let took = world.coordinator.rounds.iter().filter(|round| round.updates.contains_key(&slow)).count();
    assert!(took < 5, "it was too slow for some rounds");
    assert!(world.coordinator.rounds.iter().all(|round| round.updates.len() >= 2));
}

#[test]
fn a_tab_that_was_closed_comes_back_and_goes_on() {
    let mut world = World::new(definition(Encoding::Int8, 6, true), &[100.0, 100.0, 100.0], Vec::new());
    while world.coordinator.round() < 2 {
        world.turn();
    }
    // Closed for some time: the others go on without it.
    let kept = world.tabs[2].kept.clone();
    let name = world.tabs[2].client.id();
    let closed = world.tabs.pop().unwrap();
    while world.coordinator.round() < 4 {
        world.turn();
    }
    world.tabs.push(Tab {
        client: Client::resume(&kept.unwrap()).unwrap(),
        wake_ms: world.now_ms,
        work: None,
        ..closed
    });
    world.run();
    assert_eq!(world.tabs[2].client.id(), name);
    check(&world, 6).unwrap();
    assert!(world.coordinator.rounds[5].updates.contains_key(&name.unwrap()));
}

#[test]
fn a_client_whose_token_is_void_joins_again() {
    let mut world = World::new(definition(Encoding::Int8, 3, false), &[10.0, 10.0], Vec::new());
    while world.coordinator.round() < 2 {
        world.turn();
    }
    let former = world.tabs[0].client.id().unwrap();
    world.coordinator.members.remove(&former);
    world.run();
    assert_ne!(world.tabs[0].client.id().unwrap(), former);
    assert_eq!((world.coordinator.phase, world.coordinator.round()), (Phase::Finished, 3));
}

#[test]
fn leaving_is_said_and_forgotten() {
    let mut world = World::new(definition(Encoding::Int8, 3, false), &[10.0, 10.0, 10.0], Vec::new());
    while world.coordinator.round() < 2 {
        world.turn();
    }
    let name = world.tabs[1].client.id().unwrap();
    world.tabs[1].client.leave();
    world.run();
    assert!(!world.coordinator.members.contains_key(&name));
    assert_eq!((world.tabs[1].client.stage(), world.tabs[1].client.id()), (Stage::Left, None));
    assert_eq!(world.coordinator.phase, Phase::Finished);
    // Before joining there is nothing to say.
    let mut client = Client::new(invitation());
    client.leave();
    assert!(matches!((client.next(0.0), client.next(0.0)), (_, Next::Left)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Whatever the network loses, doubles or damages, and however often tabs are reloaded or killed: every round finishes, no
    /// update counts twice, and what an encoding lost is never lost for good.
    #[test]
    fn a_bad_network_changes_nothing(
        fates in prop::collection::vec(fate(), 0..300),
        work_ms in prop::collection::vec(10.0f64..40_000.0, 2..4),
        encoding in 0usize..3,
        round_0 in any::<bool>(),
    ) {
        let mut world = World::new(definition(Encoding::ALL[encoding], 3, round_0), &work_ms, fates);
        world.run();
        check(&world, 3)?;
    }
}
