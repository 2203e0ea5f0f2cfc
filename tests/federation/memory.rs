//! How much memory an aggregation takes.

use serde_json::json;

use super::lab::{Federation, Lab, model, without_statistics};
use super::process::{Coordinator, peak_memory, wait_for};

/// Peak over the idle process after a round of so many clients.
fn round_of(clients: u64, robust: serde_json::Value) -> Option<u64> {
    let coordinator = Coordinator::open();
    let idle = peak_memory(coordinator.pid())?;
    let model = model(&[("a.weight", &[1024, 1024]), ("b.weight", &[1024, 1024])]);
    let federation = Federation::create(&coordinator, &model, |definition| {
        without_statistics(definition);
        definition["encoding"] = "float32".into();
        definition["rounds"] = 1.into();
        definition["quorum"] = json!({"min_clients": clients, "min_fraction": 1.0, "max_clients": 50});
        definition["algorithm"] = json!({"robust": robust, "server": {"fed_avg_m": {"rate": 1.0, "momentum": 0.9}}});
    });
    let address = coordinator.address;
    let labs: Vec<Lab> = (0..clients).map(|number| federation.join(address, number)).collect();
    wait_for("training", || (federation.state(address)["phase"] == "training").then_some(()));
    for mut lab in labs {
        lab.step(address).unwrap();
    }
    wait_for("the end", || (federation.state(address)["phase"] == "finished").then_some(()));
    Some(peak_memory(coordinator.pid())? - idle)
}

#[test]
fn memory_is_a_small_multiple_of_the_model_whatever_the_number_of_clients() {
    const MODEL: u64 = 8 << 20;
    for robust in [json!("mean"), json!("median")] {
        let (Some(few), Some(many)) = (round_of(2, robust.clone()), round_of(20, robust.clone())) else {
            println!("SKIP there is no /proc/self/status here, so memory is not measured");
            return;
        };
        println!("{robust}: {} KiB above idle with 2 clients, {} KiB with 20, model 8192 KiB", few >> 10, many >> 10);
        assert!(many < 5 * MODEL, "{many} bytes for 20 clients");
        assert!(many < few + 3 * MODEL, "{few} bytes for 2 clients, {many} for 20");
    }
}
