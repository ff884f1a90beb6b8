//! Trains image classifiers on any GPU there is, and keeps what happened.
//!
//! The modules, in the order in which data flows: [`recipe`] -> [`dataset`] -> [`batches`] -> [`model`] -> [`loss`]
//! -> [`optimizer`] -> [`metrics`], tied together by [`train`] on a [`device`], or several ([`replicas`]), then `run_dir`, `checkpoint` and
//! `report`, then `infer`. Nothing upstream knows what is downstream: the loop in [`train`] tells observers what
//! happens.
//!
//! ```
//! use std::sync::atomic::AtomicUsize;
//! use tinderbox::{dataset, recipe::Recipe, train};
//!
//! let data = dataset::load(&"mnist-sample".parse()?, None)?.dataset;
//! let recipe = Recipe { epochs: 2, batch_size: 100, ..Recipe::preset("linear_v1-bn-ce")? };
//! let devices = [burn::tensor::Device::flex()];
//! let start = train::start(&recipe, &data, &devices[0]);
//! let (stop, mut observers) = (AtomicUsize::new(0), train::Observers::default());
//! let run = train::train(&recipe, &data, &devices, start, &stop, &mut observers);
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
pub mod random;
pub mod recipe;

pub mod device;
#[cfg(feature = "native")]
pub mod tuning;

pub mod dataset;
#[cfg(feature = "native")]
pub mod fetch;
#[cfg(feature = "picture")]
pub mod picture;

pub mod batches;
pub mod gpu;
pub mod loss;
pub mod metrics;
pub mod model;
pub mod optimizer;
pub mod weights;

pub mod replicas;
pub mod train;

pub mod bench;

#[cfg(feature = "native")]
pub mod checkpoint;
#[cfg(feature = "native")]
pub mod report;
#[cfg(feature = "native")]
pub mod run_dir;

#[cfg(feature = "native")]
pub mod infer;
#[cfg(feature = "native")]
pub mod live;
#[cfg(feature = "native")]
pub mod onnx;
#[cfg(feature = "native")]
pub mod samples;
#[cfg(feature = "native")]
pub mod serve;
#[cfg(feature = "native")]
pub mod site;
#[cfg(feature = "native")]
pub mod window;
#[cfg(feature = "remote")]
pub mod worker;

#[cfg(feature = "native")]
pub mod cli;
