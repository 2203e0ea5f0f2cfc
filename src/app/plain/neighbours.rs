//! Simulated neighbours: further engines of this tab that take part in a hosted federation like other labs' tabs, each with a
//! teaching scene of its own. Here is what such an engine is told next, and what it is doing in words.

use super::federate::{doing, same_names};
use crate::engine::message::{Command, DeviceChoice, Event, FederateJob, Invitation};
use crate::federation::protocol::{Class as TheirClass, Definition};
use crate::labels::Class;
use crate::scene::{TEACHING_CLASSES, TEACHING_RANGE_NM};

/// More workers than these only wait for each other.
pub const MOST: usize = 3;
/// Training pixels a class, neighbour by neighbour: labs have labelled more or less.
const TRAINING: [usize; MOST] = [20, 12, 30];
/// Each neighbour lacks one class in so many.
const LACKING: usize = 5;

/// How a neighbour is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Engine and scene are being made.
    Starting,
    TakingPart,
    /// It has been told to leave.
    Leaving,
    Finished,
    Left,
    Failed,
}

impl Standing {
    /// For scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::TakingPart => "running",
            Self::Leaving => "leaving",
            Self::Finished => "finished",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Left | Self::Failed)
    }
}

/// What is shown of a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// From 1 on.
    pub number: usize,
    /// Of its teaching scene.
    pub seed: u64,
    pub standing: Standing,
    pub doing: String,
    /// Rounds it has trained in.
    pub rounds: usize,
}

/// One neighbour.
#[derive(Debug, Clone)]
pub struct Neighbour {
    pub line: Line,
    invitation: Invitation,
    theirs: Vec<TheirClass>,
    /// For each class of its scene the federation's, once there is a scene.
    classes: Vec<u8>,
}

/// Why teaching scenes do not fit a federation.
pub fn misfit(definition: &Definition) -> Option<&'static str> {
    let known = |class: &TheirClass| TEACHING_CLASSES.iter().any(|(name, _)| *name == class.name);
    let (low, high) = TEACHING_RANGE_NM;
    let grid = &definition.input.wavelengths_nm;
    if definition.model.backbone.is_some() {
        Some(
            "Neighbours have no weights to adapt, and this federation fine-tunes some; host one that trains Nano in full to try it alone.",
        )
    } else if definition.classes.iter().filter(|class| known(class)).count() < 2 {
        Some(
            "Made-up scenes have the classes of the teaching scene, and this federation has others; host one from the teaching scene to try it alone.",
        )
    } else if !grid.iter().all(|nm| (low..=high).contains(nm)) {
        Some(
            "Made-up scenes have bands from 380 to 2450 nm, and this federation asks for others; host one from the teaching scene to try it alone.",
        )
    } else {
        None
    }
}

impl Neighbour {
    /// `number` from 1 on.
    pub fn new(number: usize, seed: u64, invitation: Invitation, definition: &Definition) -> Self {
        let doing = "starting an engine".to_owned();
        Self {
            line: Line { number, seed, standing: Standing::Starting, doing, rounds: 0 },
            invitation,
            theirs: definition.classes.clone(),
            classes: Vec::new(),
        }
    }

    /// What its engine is told after it has said this.
    pub fn hear(&mut self, event: Event) -> Option<Command> {
        if self.line.standing.is_over() {
            return None;
        }
        match event {
            // The graphics card, where there is one, is the user's own.
            Event::Ready => Some(Command::SelectDevice(DeviceChoice::Cpu)),
            Event::Device(_) => {
                self.line.doing = "making its scene".to_owned();
                Some(Command::OpenTeachingScene { seed: self.line.seed })
            }
            Event::SceneOpened(opened) => {
                let Some(labels) = opened.labels else {
                    self.end(Standing::Failed, "its scene has no labels");
                    return None;
                };
                self.classes = used(&labels.classes, &self.theirs, self.line.number);
                let train_per_class = TRAINING[(self.line.number - 1) % MOST];
                Some(Command::RandomSplit { labels, train_per_class, val_per_class: 0, seed: self.line.seed })
            }
            Event::SplitMade(split) => {
                self.line.standing = Standing::TakingPart;
                self.line.doing = "joining".to_owned();
                let (invitation, classes) = (self.invitation.clone(), self.classes.clone());
                let job = FederateJob { invitation, split, classes, compare: false, simulated: true };
                Some(Command::Federate(Box::new(job)))
            }
            Event::Federation(progress) => {
                if self.line.standing == Standing::TakingPart {
                    let trouble = progress.trouble.clone();
                    self.line.doing = trouble.unwrap_or_else(|| doing(&progress));
                }
                None
            }
            Event::FederationRounds(rounds) => {
                self.line.rounds = rounds.own.len();
                None
            }
            Event::FederationEnded(_) => {
                self.end(Standing::Finished, "the federation is over");
                None
            }
            Event::JobFinished | Event::Cancelled => {
                self.end(Standing::Left, "has left");
                None
            }
            Event::Failed(failure) => {
                self.end(Standing::Failed, &failure.message);
                None
            }
            Event::Crashed { message } | Event::OutOfMemory { message } | Event::DeviceLost { reason: message } => {
                self.end(Standing::Failed, message.lines().next().unwrap_or_default());
                None
            }
            _ => None,
        }
    }

    /// Told to leave. What its engine is told; without it there is nothing to wait for.
    pub fn leave(&mut self) -> Option<Command> {
        match self.line.standing {
            Standing::TakingPart => {
                self.line.standing = Standing::Leaving;
                self.line.doing = "leaving".to_owned();
                Some(Command::FinishEarly)
            }
            Standing::Starting => {
                self.end(Standing::Left, "has left");
                None
            }
            _ => None,
        }
    }

    /// Nothing more comes from it.
    pub fn end(&mut self, standing: Standing, doing: &str) {
        if !self.line.standing.is_over() {
            self.line.standing = standing;
            self.line.doing = doing.to_owned();
        }
    }
}

/// Which of the federation's classes those of its scene are; some are not on its land, each neighbour's own ones, unless too few
/// would be left.
fn used(own: &[Class], theirs: &[TheirClass], number: usize) -> Vec<u8> {
    let all = same_names(own, theirs);
    let some: Vec<u8> =
        all.iter().enumerate().map(|(place, &class)| if place % LACKING == number { 0 } else { class }).collect();
    if some.iter().filter(|&&class| class > 0).count() < 2 { all } else { some }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::{
        Failure, FederationEnd, FederationProgress, FederationRounds, Ledger, LocalPhase, LocalProgress, SceneOpened,
        Stage,
    };
    use crate::federation::protocol::FederationId;
    use crate::labels::random_split;
    use crate::scene::{Cube, teaching};

    fn definition() -> Definition {
        let document = include_str!("../../../docs/federation.md");
        let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
        let mut definition: Definition = serde_json::from_str(json).unwrap();
        definition.classes =
            TEACHING_CLASSES.iter().map(|(name, _)| TheirClass { name: (*name).into(), colour: None }).collect();
        definition
    }

    fn neighbour(number: usize) -> Neighbour {
        let invitation =
            Invitation { server: "http://lab/".into(), federation: FederationId([1; 8]), token: "ssi_x".into() };
        Neighbour::new(number, 40 + number as u64, invitation, &definition())
    }

    fn opened(seed: u64) -> Event {
        let (cube, labels) = teaching::generate(seed);
        let (info, fingerprint) = (cube.info().clone(), String::new());
        Event::SceneOpened(Box::new(SceneOpened { info, fingerprint, labels: Some(labels) }))
    }

    /// Until it takes part; its job.
    fn started(neighbour: &mut Neighbour) -> FederateJob {
        assert!(matches!(neighbour.hear(Event::Ready), Some(Command::SelectDevice(DeviceChoice::Cpu))));
        let seed = neighbour.line.seed;
        let Some(Command::RandomSplit { labels, train_per_class, val_per_class, seed }) = neighbour.hear(opened(seed))
        else {
            panic!("a split")
        };
        let split = random_split(&labels, train_per_class, val_per_class, seed).unwrap();
        match neighbour.hear(Event::SplitMade(split)) {
            Some(Command::Federate(job)) => *job,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_brings_land_and_labels_of_its_own() {
        let jobs: Vec<FederateJob> = (1..=MOST).map(|number| started(&mut neighbour(number))).collect();
        for (index, job) in jobs.iter().enumerate() {
            assert!(job.simulated && !job.compare);
            assert_eq!(job.classes.len(), TEACHING_CLASSES.len());
            assert_eq!(job.classes.iter().filter(|&&class| class == 0).count(), 2, "{:?}", job.classes);
            assert_eq!(job.split.train.len(), TRAINING[index] * TEACHING_CLASSES.len());
            for other in &jobs[..index] {
                assert_ne!(job.classes, other.classes);
                assert_ne!(job.split.train, other.split.train);
            }
        }
    }

    #[test]
    fn none_is_left_with_one_class() {
        let own: Vec<Class> =
            TEACHING_CLASSES.iter().map(|(name, color)| Class { name: (*name).into(), color: *color }).collect();
        let theirs: Vec<TheirClass> =
            [1, 3].map(|place: usize| TheirClass { name: own[place].name.clone(), colour: None }).into();
        for number in 1..=MOST {
            let used = used(&own, &theirs, number);
            assert_eq!(used.iter().filter(|&&class| class > 0).count(), 2, "{number}: {used:?}");
        }
    }

    #[test]
    fn scenes_that_do_not_fit_are_told_before() {
        let mut definition = definition();
        assert_eq!(misfit(&definition), None);
        definition.input.wavelengths_nm.push(2500.0);
        assert!(misfit(&definition).unwrap().contains("bands"));
        definition.classes.truncate(1);
        assert!(misfit(&definition).unwrap().contains("classes"));
    }

    #[test]
    fn it_says_what_it_does_until_the_end() {
        let mut neighbour = neighbour(1);
        started(&mut neighbour);
        let local = LocalProgress { phase: LocalPhase::Training, done: 2, total: 5, remaining_s: None, loss: None };
        let progress = FederationProgress {
            stage: Stage::Training,
            client: None,
            state: None,
            trouble: None,
            local,
            ledger: Ledger::default(),
        };
        assert!(neighbour.hear(Event::Federation(Box::new(progress))).is_none());
        let own = [(1, Vec::new()), (2, Vec::new())].into();
        let rounds = FederationRounds { rounds: Vec::new(), layers: Vec::new(), own };
        assert!(neighbour.hear(Event::FederationRounds(Box::new(rounds))).is_none());
        assert_eq!((neighbour.line.doing.as_str(), neighbour.line.rounds), ("training, epoch 2 of 5", 2));
        let end = FederationEnd { model: None, global: None, alone: None };
        assert!(neighbour.hear(Event::FederationEnded(Box::new(end))).is_none());
        assert_eq!(neighbour.line.standing, Standing::Finished);
        neighbour.hear(Event::JobFinished);
        assert_eq!(neighbour.line.standing, Standing::Finished);
    }

    #[test]
    fn it_leaves_when_told_and_names_what_went_wrong() {
        let mut early = neighbour(2);
        assert!(early.leave().is_none());
        assert_eq!(early.line.standing, Standing::Left);
        assert!(early.hear(Event::Ready).is_none(), "it is over");
        let mut leaving = neighbour(2);
        started(&mut leaving);
        assert!(matches!(leaving.leave(), Some(Command::FinishEarly)));
        assert!(leaving.leave().is_none());
        leaving.hear(Event::JobFinished);
        assert_eq!(leaving.line.standing, Standing::Left);
        let mut failing = neighbour(3);
        started(&mut failing);
        failing.hear(Event::Failed(Failure { message: "The federation is full.".into(), choices: None }));
        assert_eq!((failing.line.standing, failing.line.doing.as_str()), (Standing::Failed, "The federation is full."));
    }
}
