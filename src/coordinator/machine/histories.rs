//! Random histories: whatever is sent in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{Run, SECOND, client, hash};
use super::*;

/// What a random history does.
#[derive(Debug, Clone)]
enum Act {
    Update {
        from: u8,
        round: u32,
        blob: u8,
    },
    Statistics {
        from: u8,
        blob: u8,
    },
    Join(u8),
    Leave(u8),
    Host(u8),
    Wait(u8),
    /// The runner computes the result of the round that is closed.
    Compute,
    /// The process is killed and started again.
    Restart,
}

fn join(value: u8) -> Message {
    Message::Join { client: client(value), token: hash(value) }
}

/// An early end only now and then: nothing happens after it.
fn host() -> impl Strategy<Value = u8> {
    prop_oneof![10 => Just(0u8), 10 => Just(1u8), 1 => Just(2u8), 15 => Just(3u8)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u8..5, 0u32..4, 0u8..8).prop_map(|(from, round, blob)| Act::Update { from, round, blob }),
        3 => (0u8..5, 0u8..4).prop_map(|(from, blob)| Act::Statistics { from, blob }),
        1 => (0u8..6).prop_map(Act::Join),
        1 => (0u8..6).prop_map(Act::Leave),
        2 => host().prop_map(Act::Host),
        2 => (0u8..20).prop_map(Act::Wait),
        3 => Just(Act::Compute),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In no reachable state is an accepted update lost or counted twice, whatever is sent in whatever order and however
    /// often the process is killed.
    #[test]
    fn no_history_loses_or_double_counts(with_statistics: bool, acts in prop::collection::vec(act(), 1..120)) {
        let mut run = Run::new(|json| {
            if !with_statistics {
                json["input"].as_object_mut().unwrap().remove("projection");
            }
        });
        run.send(Message::ModelStored { targets: Vec::new() }).unwrap();
        (0..4).for_each(|value| run.attempt(join(value)));
        run.send(Message::Start).unwrap();
        // What was answered with "accepted": (client, round) → content.
        let mut promised: BTreeMap<(ClientId, u32), Hash> = BTreeMap::new();
        // What a round was closed with.
        let mut closed: BTreeMap<u32, BTreeSet<(ClientId, Hash)>> = BTreeMap::new();
        let mut computed: BTreeMap<u32, usize> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Update { from, round, blob } => {
                    let before = run.federation.phase;
                    let known = promised.get(&(client(from), round)).copied();
                    match run.update(from, round, blob) {
                        Ok(Reason::Accepted) => {
                            prop_assert_eq!(before, Phase::Training { round });
                            prop_assert!(promised.insert((client(from), round), hash(blob)).is_none());
                        }
                        Ok(Reason::Duplicate) => prop_assert_eq!(known, Some(hash(blob))),
                        Err(Reason::AlreadySubmitted) => prop_assert!(known.is_some_and(|known| known != hash(blob))),
                        Err(Reason::Late) => prop_assert!(known.is_none()),
                        Err(_) => {}
                        Ok(other) => prop_assert!(false, "{:?}", other),
                    }
                }
                Act::Statistics { from, blob } => {
                    run.attempt(Message::Statistics { client: client(from), blob: hash(blob) });
                }
                Act::Join(value) => run.attempt(join(value)),
                Act::Leave(value) => run.attempt(Message::Leave { client: client(value) }),
                Act::Host(0) => run.attempt(Message::Pause),
                Act::Host(1) => run.attempt(Message::Start),
                Act::Host(2) => run.attempt(Message::Finish),
                Act::Host(_) => run.attempt(Message::Resume),
                Act::Wait(seconds) => run.now += u32::from(seconds) * SECOND,
                Act::Compute => {
                    match run.federation.phase {
                        Phase::Aggregating { round: 0 } => run.attempt(Message::StatisticsDone { projection: hash(77) }),
                        Phase::Aggregating { round } => {
                            *computed.entry(round).or_default() += 1;
                            run.aggregated(round).unwrap();
                            let _again = run.aggregated(round);
                        }
                        _ => {}
                    }
                }
                Act::Restart => {
                    let mut federation = run.replayed();
                    prop_assert_eq!(federation.phase, run.federation.phase);
                    prop_assert_eq!(federation.events, run.federation.events);
                    federation.restart(run.now);
                    run.federation = federation;
                }
            }
            run.attempt(Message::Tick);
            if let Phase::Aggregating { round } = run.federation.phase
                && let Some(state) = run.federation.get_round(round)
            {
                let updates: BTreeSet<_> = state.updates.iter().map(|(client, update)| (*client, update.blob)).collect();
                prop_assert!(updates.len() >= 2, "closed below the quorum");
                // From here on nothing changes what the round is made of.
                prop_assert_eq!(closed.entry(round).or_insert_with(|| updates.clone()), &updates);
            }
            // Everything that was promised is in its round, once, and nothing else is.
            let held: BTreeMap<(ClientId, u32), Hash> = (1..=run.federation.rounds.len() as u32)
                .flat_map(|round| {
                    let updates = &run.federation.get_round(round).unwrap().updates;
                    updates.iter().map(move |(client, update)| ((*client, round), update.blob)).collect::<Vec<_>>()
                })
                .collect();
            prop_assert_eq!(&held, &promised);
            // And its content is still needed until the round's model exists.
            if !matches!(run.federation.phase, Phase::Finished(_)) {
                let needed: BTreeSet<Hash> = run.federation.needed().collect();
                let current = run.federation.round();
                for (_, blob) in held.iter().filter(|((_, round), _)| *round == current) {
                    prop_assert!(needed.contains(blob));
                }
            }
        }
        prop_assert!(computed.values().all(|&times| times == 1));
    }
}
