//! The ranks of a job but the first, which take part in what that one does.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::order::{Order, Task};
use super::trained::measure;
use crate::compute::Devices;
use crate::compute::peers::Peers;
use crate::data::{Dataset, Identity, Loaded, load_sized};
use crate::error::{Error, Result};
use crate::notice::silent;
use crate::training::batches::DeviceSplit;
use crate::training::metrics::evaluate;
use crate::training::{Observers, Plan, train};
use crate::weights;

/// Does what the first rank asks, until it asks to end. `open` finds the device that a list names for this rank.
///
/// # Errors
/// Whatever this rank alone runs into. What all of them run into, as a loss that is not finite, is for the first one to tell.
pub fn follow(
    ranks: &Peers,
    open: &mut dyn FnMut(Option<String>) -> Result<Devices>,
    stop: &AtomicUsize,
) -> Result<()> {
    let (mut devices, mut loaded) = (None, None);
    loop {
        let order = Order::receive(ranks)?;
        let (task, views) = match order {
            Order::End => return Ok(()),
            Order::Open(list) => {
                devices = Some(open(list)?);
                continue;
            }
            Order::Train(task) => (task, None),
            Order::Evaluate(task, views) => (task, Some(views)),
        };
        let devices = devices.as_ref().ok_or_else(|| Error::invalid("the first rank has not said on which device"))?;
        let data = dataset(&mut loaded, &task)?;
        let done = match views {
            None => {
                let plan = Plan::new(&task.metadata.recipe, &data)?.keeping_at_most(task.resident);
                let (state, mut nobody) = (plan.start(devices.main()), Observers::default());
                let run = train(&plan, devices, state, stop, &mut nobody);
                pollster::block_on(run).map(drop)
            }
            Some(views) => {
                let (metadata, device) = (&task.metadata, devices.main());
                let model = weights::load(metadata, ranks.broadcast(Vec::new())?, device)?;
                let how = measure(metadata, &data, views, devices.ranks());
                let split = DeviceSplit::placed(&data.test, device, devices.info(), task.resident);
                pollster::block_on(evaluate(&model, &split, how, &AtomicUsize::new(0))).map(drop)
            }
        };
        match done {
            Err(e) if !e.is_of_all_ranks() => return Err(e),
            _ => {}
        }
    }
}

/// The data set of a task, unless it is at hand.
fn dataset(loaded: &mut Option<(Identity, Arc<Dataset>)>, task: &Task) -> Result<Arc<Dataset>> {
    match loaded {
        Some((identity, data)) if *identity == task.dataset => Ok(Arc::clone(data)),
        _ => {
            let Loaded { dataset, .. } =
                load_sized(&task.dataset, task.metadata.shape.height, task.folder.as_deref(), &mut silent)?;
            Ok(Arc::clone(&loaded.insert((task.dataset.clone(), Arc::new(dataset))).1))
        }
    }
}
