//! Simulated neighbours of a hosted federation: starting them, hearing them, letting them go. They end with the page.

use std::cell::RefCell;

use gloo_timers::callback::Timeout;
use leptos::prelude::*;

use crate::app::link::{Further, Said};
use crate::app::plain::neighbours::{Line, Neighbour, Standing, misfit};
use crate::app::state::Store;
use crate::federation::protocol::Phase;

/// Milliseconds that a neighbour has to say that it leaves; then its worker is ended all the same.
const FAREWELL_MS: u32 = 15_000;

struct Running {
    /// The start that made it: what an earlier one's worker still says is not about this one.
    turn: u32,
    neighbour: Neighbour,
    /// Until it is over.
    engine: Option<Further>,
}

impl Running {
    /// Its worker is of no more use.
    fn close(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.end();
        }
    }
}

#[derive(Default)]
struct Neighbours {
    turn: u32,
    running: Vec<Running>,
}

thread_local! {
    static NEIGHBOURS: RefCell<Neighbours> = RefCell::default();
}

/// Why none can be started now.
pub fn missing(store: Store) -> Option<&'static str> {
    store.federate.hosted_view.with(|view| match view {
        None => Some("Asking the coordinator where the federation is."),
        Some(view) if view.state.phase == Phase::Finished => Some("The federation is over; host another one."),
        Some(view) => misfit(&view.definition),
    })
}

/// Whether some are taking part, or leaving.
pub fn are_running(store: Store) -> bool {
    store.federate.neighbours.with(|lines| lines.iter().any(|line| !line.standing.is_over()))
}

/// Starts so many.
pub fn start(store: Store, count: usize) {
    let invitation = store.federate.hosted.with_untracked(|hosted| hosted.as_ref().map(|h| h.invitation.clone()));
    let definition = store.federate.hosted_view.with_untracked(|view| view.as_ref().map(|v| v.definition.clone()));
    let (Some(invitation), Some(definition)) = (invitation, definition) else { return };
    let turn = NEIGHBOURS.with_borrow_mut(|all| {
        all.running.drain(..).for_each(|mut one| one.close());
        all.turn += 1;
        all.turn
    });
    for number in 1..=count {
        let seed = (js_sys::Math::random() * 1e6) as u64;
        let mut neighbour = Neighbour::new(number, seed, invitation.clone(), &definition);
        let engine = Further::start(move |said| hear(store, turn, number, said));
        let engine = match engine {
            Ok(engine) => Some(engine),
            Err(sentence) => {
                neighbour.end(Standing::Failed, &sentence);
                None
            }
        };
        NEIGHBOURS.with_borrow_mut(|all| all.running.push(Running { turn, neighbour, engine }));
    }
    show(store);
}

fn hear(store: Store, turn: u32, number: usize, said: Said) {
    NEIGHBOURS.with_borrow_mut(|all| {
        let found = all.running.iter_mut().find(|one| one.turn == turn && one.neighbour.line.number == number);
        let Some(one) = found else { return };
        match said {
            Said::Event(event) => {
                let command = one.neighbour.hear(event);
                if let (Some(engine), Some(command)) = (one.engine.as_ref(), command) {
                    engine.tell(command);
                }
            }
            Said::Gone(reason) => one.neighbour.end(Standing::Failed, &reason),
        }
        if one.neighbour.line.standing.is_over() {
            one.close();
        }
    });
    show(store);
}

/// All leave: what they have sent still counts, and the others do not wait for them.
pub fn stop(store: Store) {
    let turn = NEIGHBOURS.with_borrow_mut(|all| {
        for one in &mut all.running {
            match (one.neighbour.leave(), one.engine.as_ref()) {
                (Some(command), Some(engine)) => engine.tell(command),
                _ if one.neighbour.line.standing.is_over() => one.close(),
                _ => {}
            }
        }
        all.turn
    });
    show(store);
    // A worker in the middle of a long step, or without a network, is not waited for.
    let farewell = Timeout::new(FAREWELL_MS, move || {
        NEIGHBOURS.with_borrow_mut(|all| {
            for one in all.running.iter_mut().filter(|one| one.turn == turn) {
                one.neighbour.end(Standing::Left, "has left");
                one.close();
            }
        });
        show(store);
    });
    farewell.forget();
}

/// Another federation is hosted: those of the former one are of no more use.
pub fn clear(store: Store) {
    NEIGHBOURS.with_borrow_mut(|all| all.running.drain(..).for_each(|mut one| one.close()));
    show(store);
}

fn show(store: Store) {
    let lines: Vec<Line> =
        NEIGHBOURS.with_borrow(|all| all.running.iter().map(|one| one.neighbour.line.clone()).collect());
    // Progress comes often and mostly says the same.
    if store.federate.neighbours.with_untracked(|shown| *shown != lines) {
        store.federate.neighbours.set(lines);
    }
}
