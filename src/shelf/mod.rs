//! Weights at hand: kept in this browser, shipped with the page, fetched from elsewhere.
//!
//! A [`Store`] is a folder of files, a [`Network`] gives bytes of an address; browsers bring the origin's private file system
//! and `fetch` (`src/engine/browser`), tests a folder and a socket. Everything long goes step by step, so that a job can be
//! stopped and memory does not grow with the network.
//!
//! | file | what |
//! | --- | --- |
//! | `entry` | what is known of weights without opening them |
//! | `store`, `folder`, `memory` | where bytes lie: the interface, a folder on disk, memory |
//! | `cache` | the entries of a store: a data file and a small JSON each, checked by SHA-256 |
//! | `incoming` | bytes on their way into the cache, hashed as they come; memory when the store is full |
//! | `network`, `download` | bytes from an address, in pieces, resumed where they broke off |
//! | `beginning` | the header of a file at an address, before it is downloaded |
//! | `catalogue` | the weights that are shipped: reading and checking `weights/catalogue.json` |

mod entry;

pub use entry::{CachedWeights, CatalogueEntry, Quota, WeightsSummary, file_name};

#[cfg(feature = "weights")]
mod beginning;
#[cfg(feature = "weights")]
mod cache;
#[cfg(feature = "weights")]
mod catalogue;
#[cfg(feature = "weights")]
mod download;
#[cfg(feature = "weights")]
mod error;
#[cfg(all(feature = "weights", not(target_arch = "wasm32")))]
mod folder;
#[cfg(feature = "weights")]
mod incoming;
#[cfg(feature = "weights")]
mod memory;
#[cfg(feature = "weights")]
mod network;
#[cfg(feature = "weights")]
mod store;

#[cfg(all(feature = "weights", not(target_arch = "wasm32")))]
pub use folder::Folder;
#[cfg(feature = "weights")]
pub use {
    beginning::look,
    cache::{Cache, Entry, Listing},
    catalogue::{CATALOGUE_URL, CatalogueError, read_catalogue},
    download::{Download, Patience, Step},
    error::ShelfError,
    incoming::{Arrived, Held, Incoming, MEMORY_MAX},
    memory::MemoryFile,
    network::{Body, Get, Network, NetworkError, Offline, Response, response},
    store::{Local, Store, StoreError, StoreFile, StoredFile},
};
