//! Training in the page: started, paused, stepped, slowed and stopped from outside while it runs.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use burn::module::Module;
use tinderbox::compute::Devices;
use tinderbox::error::ErrorKind;
use tinderbox::recipe::Recipe;
use tinderbox::training::{Event, Observer, Observers, Plan, StepControl, TrainState, train_with};
use tinderbox::weights::Metadata;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::session::{Inside, Loaded, Manifest, Session};
use crate::{json, thrown, words};

/// Milliseconds of work between two turns of the worker's event loop.
const TURN: f64 = 12.0;

#[wasm_bindgen]
impl Session {
    /// Trains a recipe, JSON, on the data set at hand. Calls `tell(json)` with `{losses, first_step}`, `{epoch}`, `{notice}` and
    /// `{augmented}`, the accuracy with test-time augmentation at the end, and `turn()`, which returns a promise, whenever the worker should look at its messages. Ends with the
    /// history of all epochs as JSON; the model at hand is then the trained one.
    pub async fn train(
        &self,
        recipe: String,
        tell: js_sys::Function,
        turn: js_sys::Function,
    ) -> Result<String, JsError> {
        let inside = self.inside();
        let recipe: Recipe = serde_json::from_str(&recipe).map_err(|e| JsError::new(&e.to_string()))?;
        let data = inside.data.borrow().clone().ok_or_else(|| JsError::new("there is no data set yet"))?;
        let recipe = Recipe { dataset: data.identity.clone(), ..recipe }; // what is trained on, whatever the form says
        let plan = Plan::new(&recipe, &data.dataset).map_err(thrown)?;
        let devices = Devices::one(inside.device.clone(), inside.info.clone());
        plan.check_devices(&devices).map_err(thrown)?;
        if inside.busy.replace(true) {
            return Err(JsError::new("a run is under way"));
        }
        inside.control.stop.store(0, Ordering::Relaxed);
        inside.control.paused.set(false);
        inside.control.steps.set(0);
        inside.control.learning_rate.set(None);
        let manifest = Manifest {
            name: format!("{}, trained here", recipe.short_name()),
            metadata: Metadata::new(&recipe, data.dataset.shape(), &data.dataset.classes),
            accuracy: None,
            sha256: None,
        };
        let notices = tell.clone();
        let mut observers = Observers::new(move |notice| {
            if let Some(text) = words::notice(&notice) {
                let message = serde_json::json!({ "notice": text }).to_string();
                let _ = notices.call1(&JsValue::NULL, &message.into()); // as in `Messages::say`
            }
        })
        .with(Messages { tell, inside: Rc::clone(&inside), manifest });
        let mut control = Turns { inside: Rc::clone(&inside), turn, since: js_sys::Date::now() };
        let (state, stop) = (plan.start(devices.main()), &inside.control.stop);
        let result = train_with(&mut control, &plan, &devices, state, stop, &mut observers).await;
        inside.busy.set(false);
        match result {
            Ok(state) => json(&state.progress.history),
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted(_)) => Ok("[]".into()),
            Err(e) => Err(thrown(e)),
        }
    }

    /// Pauses the run before its next step, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.inside().control.paused.set(paused);
    }

    /// Makes one step of a paused run.
    pub fn step(&self) {
        let inside = self.inside();
        inside.control.steps.set(inside.control.steps.get() + 1);
    }

    /// Ends the run after its next step.
    pub fn stop(&self) {
        self.inside().control.stop.store(1, Ordering::Relaxed);
        self.inside().control.paused.set(false);
    }

    /// Another learning rate from the next step on, whatever the schedule says.
    pub fn set_learning_rate(&self, rate: f64) -> Result<(), JsError> {
        if !(rate.is_finite() && rate > 0.0) {
            return Err(JsError::new(&format!("the learning rate is {rate}, expected a finite number above 0")));
        }
        self.inside().control.learning_rate.set(Some(rate));
        Ok(())
    }
}

/// Gives the worker's event loop a turn now and then.
struct Turns {
    inside: Rc<Inside>,
    turn: js_sys::Function,
    since: f64,
}

impl Turns {
    async fn wait(&mut self) {
        if let Ok(promise) = self.turn.call0(&JsValue::NULL)
            && let Ok(promise) = promise.dyn_into::<js_sys::Promise>()
        {
            let _ = JsFuture::from(promise).await; // a turn that fails is a turn all the same
        }
        self.since = js_sys::Date::now();
    }
}

impl StepControl for Turns {
    async fn before_step(&mut self) {
        if js_sys::Date::now() - self.since > TURN {
            self.wait().await;
        }
        while self.inside.control.paused.get() {
            let steps = self.inside.control.steps.get();
            if steps > 0 {
                self.inside.control.steps.set(steps - 1);
                return;
            }
            self.wait().await;
        }
    }

    /// A visitor may pause before any step.
    fn most_at_once(&self) -> usize {
        1
    }

    fn learning_rate(&self, scheduled: f64) -> f64 {
        self.inside.control.learning_rate.get().unwrap_or(scheduled)
    }
}

/// Tells the page what happens, and keeps the weights of the last epoch at hand.
struct Messages {
    tell: js_sys::Function,
    inside: Rc<Inside>,
    manifest: Manifest,
}

impl Messages {
    fn say(&self, value: serde_json::Value) {
        let _ = self.tell.call1(&JsValue::NULL, &value.to_string().into()); // a page that does not listen is no failure
    }

    fn keep(&mut self, state: &TrainState) {
        self.manifest.accuracy = state.progress.history.last().map(|m| m.test_accuracy);
        let loaded = Loaded { manifest: self.manifest.clone(), model: state.model.valid() };
        self.inside.models.borrow_mut().insert(0, Rc::new(loaded));
    }
}

impl Observer for Messages {
    fn notify(&mut self, event: &Event<'_>) -> tinderbox::error::Result<()> {
        match event {
            Event::Started { steps, .. } => self.say(serde_json::json!({"steps": steps})),
            Event::Losses { first_step, losses } => {
                self.say(serde_json::json!({"first_step": first_step, "losses": losses}));
            }
            Event::Epoch { history, state, .. } => {
                self.keep(state);
                self.say(serde_json::json!({"epoch": history.last()}));
            }
            Event::Finished { augmented: Some(augmented), .. } => {
                self.say(serde_json::json!({"augmented": augmented.accuracy}));
            }
            Event::MidEpoch { .. } | Event::Interrupted { .. } | Event::Finished { .. } | Event::Step { .. } => {}
        }
        Ok(())
    }
}
