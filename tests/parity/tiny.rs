//! The tiny networks on the CPU and on Vulkan; `tests/browser` checks them on WebGPU.

use burn::tensor::{Device, read_sync};

use crate::official::tiny::{SETS, Set};
use crate::official::{Folder, fixtures, shared};
use crate::reference::vulkan;

fn check(set: &Set, device: &Device) {
    let outcome = read_sync(set.run(device)).unwrap();
    for line in set.compare(&outcome).unwrap() {
        println!("{line}");
    }
}

fn sampled(name: &str) -> Set {
    read_sync(Set::sampled(&fixtures(), name)).unwrap()
}

#[test]
fn tiny_networks_by_samples() {
    for name in SETS {
        check(&sampled(name), &Device::flex());
    }
}

#[test]
fn every_number_counts() {
    let set = sampled("tiny_cls");
    let outcome = read_sync(set.run(&Device::flex())).unwrap();
    set.compare_refuses_wrong_numbers(&outcome).unwrap();
}

#[test]
fn tiny_networks() {
    for name in SETS {
        let Some(shared) = shared("complete tiny networks") else { return };
        check(&read_sync(Set::complete(&Folder(shared), name)).unwrap(), &Device::flex());
    }
}

#[test]
fn tiny_networks_on_vulkan() {
    for name in SETS {
        let Some(device) = vulkan("tiny networks on Vulkan") else { return };
        match shared("complete tiny networks on Vulkan") {
            Some(shared) => check(&read_sync(Set::complete(&Folder(shared), name)).unwrap(), &device),
            None => check(&sampled(name), &device),
        }
    }
}
