//! Trains image classifiers on any GPU there is, and keeps what happened.
//!
//! The rooms of the house, each above those that it uses: [`data`] -> [`compute`] -> [`network`] -> [`recipe`] ->
//! [`training`] -> [`weights`] -> `report` -> [`bench`](mod@bench), `window`, `runs` -> `site` -> `cli`. A [`recipe`] names
//! a data set, a network and everything else that decides the numbers of a run; a [`training::Plan`] resolves it, and
//! nothing below the plan sees it. The loop in [`training`] tells observers what happens and knows none of them.
//! `docs/architecture.md` is the map, and `tests/architecture.rs` keeps it true.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::AtomicUsize;
//! use tinderbox::compute::Devices;
//! use tinderbox::recipe::Recipe;
//! use tinderbox::training::{Observers, Plan, train};
//! use tinderbox::{data, notice};
//!
//! let dataset = data::load(&"mnist-sample".parse()?, None, &mut notice::silent)?.dataset;
//! let recipe = Recipe { epochs: 2.0, batch_size: 100, ..Recipe::preset("linear_v1-bn-ce")? };
//! let plan = Plan::new(&recipe, &Arc::new(dataset))?;
//! let devices = Devices::cpu();
//! let (stop, mut observers) = (AtomicUsize::new(0), Observers::default());
//! let run = train(&plan, &devices, plan.start(devices.main()), &stop, &mut observers);
//! let trained = pollster::block_on(run)?;
//! assert!(trained.progress.history[1].test_accuracy > 85.0);
//! # Ok::<(), tinderbox::error::Error>(())
//! ```
//!
//! `examples/` trains on data of your own, and asks exported weights.
//!
//! Without the default feature `native` there is no operating system: no files, downloads, plots, windows or
//! command line. What is left runs in a browser.
#![deny(missing_docs, unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod error;
#[cfg(feature = "native")]
pub mod files;
pub mod names;
pub mod notice;
pub mod random;

pub mod data;

pub mod compute;

pub mod network;

pub mod recipe;

pub mod training;

pub mod weights;

#[cfg(feature = "native")]
pub mod report;

pub mod bench;

#[cfg(feature = "native")]
pub mod window;

#[cfg(feature = "native")]
pub mod runs;

#[cfg(feature = "native")]
pub mod site;

#[cfg(feature = "native")]
pub mod cli;
