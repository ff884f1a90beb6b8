//! Training in the page: started, paused, stepped, slowed and stopped from outside while it runs.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use burn::module::Module;
use tinderbox::compute::Devices;
use tinderbox::error::ErrorKind;
use tinderbox::network::{Model, flat};
use tinderbox::recipe::Recipe;
use tinderbox::training::{Event, Observer, Observers, Plan, StepControl, TrainState, train_with};
use tinderbox::weights::Metadata;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::session::{Inside, Loaded, Manifest, Session};
use crate::{json, thrown, words};

/// Milliseconds of work between two turns of the worker's event loop.
const TURN: f64 = 12.0;
/// Test images at most, after every epoch.
const MOST_TESTED: usize = 2_000;

#[wasm_bindgen]
impl Session {
    /// Trains a recipe, JSON, on the data set at hand: from fresh weights, or `further`, from those of the model at hand, whose
    /// network the recipe then must have. Calls `tell(json)` with what is in [`Messages`], and `turn()`, which returns a promise,
    /// whenever the worker should look at its messages. Ends with the history of all epochs as JSON; the model at hand is then the
    /// trained one.
    pub async fn train(
        &self,
        recipe: String,
        further: bool,
        tell: js_sys::Function,
        turn: js_sys::Function,
    ) -> Result<String, JsError> {
        let inside = self.inside();
        let recipe: Recipe = serde_json::from_str(&recipe).map_err(|e| JsError::new(&e.to_string()))?;
        let data = inside.data.borrow().clone().ok_or_else(|| JsError::new("there is no data set yet"))?;
        let recipe = Recipe { dataset: data.identity.clone(), ..recipe }; // what is trained on, whatever the form says
        // Weights that are trained further see the images in another order than at first.
        let seed = if further { self.model(0)?.manifest.metadata.recipe.seed.wrapping_add(1) } else { recipe.seed };
        let recipe = Recipe { seed, ..recipe };
        let plan = Plan::new(&recipe, &data.dataset).map_err(thrown)?.testing_at_most(MOST_TESTED);
        let devices = Devices::one(inside.device.clone(), inside.info.clone());
        plan.check_devices(&devices).map_err(thrown)?;
        let from = if further { Some(self.weights_for(&plan)?) } else { None };
        if inside.busy.replace(true) {
            return Err(JsError::new("a run is under way"));
        }
        inside.control.stop.store(0, Ordering::Relaxed);
        inside.control.paused.set(false);
        inside.control.steps.set(0);
        inside.control.learning_rate.set(None);
        let manifest = Manifest {
            name: format!("{}, trained {}here", recipe.network.title(), if further { "further " } else { "" }),
            metadata: Metadata::new(&recipe, data.dataset.shape(), &data.dataset.classes),
            accuracy: None,
            sha256: None,
        };
        let (notices, observing) = (tell.clone(), tell.clone());
        let mut observers = Observers::new(move |notice| {
            if let Some(text) = words::notice(&notice) {
                say(&notices, &serde_json::json!({ "notice": text }));
            }
        })
        .with(Messages {
            tell,
            inside: Rc::clone(&inside),
            manifest,
            tests_all: plan.test().len() == data.dataset.test.len(),
        });
        let mut control = Turns::new(Rc::clone(&inside), observing, turn);
        let state = match from {
            None => Ok(plan.start(devices.main())),
            Some(model) => flat::copy(&model, plan.fresh(devices.main())).await.map(|model| plan.start_from(model)),
        };
        let state = state.inspect_err(|_| inside.busy.set(false)).map_err(thrown)?;
        let stop = &inside.control.stop;
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

impl Session {
    /// The weights of the model at hand, to go on with.
    fn weights_for(&self, plan: &Plan) -> Result<Model, JsError> {
        let loaded = self.model(0)?;
        if loaded.model.network() == plan.network() {
            return Ok(loaded.model.clone());
        }
        let (name, (old, new)) = (&loaded.manifest.name, (loaded.model.network(), plan.network()));
        let message = if (old.input(), old.classes()) == (new.input(), new.classes()) {
            format!("{name} has another network than the recipe: choose its layers, or train from the start")
        } else {
            format!(
                "{name} is for images of {} in {} classes, and these are {} in {}: train from the start",
                old.input(),
                old.classes(),
                new.input(),
                new.classes()
            )
        };
        Err(JsError::new(&message))
    }
}

/// Gives the worker's event loop a turn now and then.
pub(crate) struct Turns {
    inside: Rc<Inside>,
    tell: js_sys::Function,
    turn: js_sys::Function,
    since: f64,
}

impl Turns {
    /// `tell(json)` hears how far a measurement is; `turn()` returns a promise.
    pub fn new(inside: Rc<Inside>, tell: js_sys::Function, turn: js_sys::Function) -> Self {
        Self { inside, tell, turn, since: js_sys::Date::now() }
    }

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

    async fn before_measuring(&mut self, done: usize, images: usize) {
        if js_sys::Date::now() - self.since > TURN {
            say(&self.tell, &serde_json::json!({"measured": done, "images": images}));
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

/// A page that does not listen is no failure.
fn say(tell: &js_sys::Function, value: &serde_json::Value) {
    let _ = tell.call1(&JsValue::NULL, &value.to_string().into());
}

/// Tells the page what happens, and keeps the weights of the last epoch at hand. A message is one of these:
/// - `{steps, tested}`: the steps of an epoch, and the images that are tested with;
/// - `{losses, first_step}`: of some steps, counted from 1 over all epochs;
/// - `{weights: true}`: the model at hand has other weights, within an epoch;
/// - `{measured, images}`: so many of so many images are tested;
/// - `{epoch}`: its metrics;
/// - `{notice}`: what a visitor should know;
/// - `{augmented}`: the accuracy with test-time augmentation, at the end.
struct Messages {
    tell: js_sys::Function,
    inside: Rc<Inside>,
    manifest: Manifest,
    /// Whether every epoch is tested on all test images.
    tests_all: bool,
}

impl Messages {
    fn say(&self, value: serde_json::Value) {
        say(&self.tell, &value);
    }

    /// `accuracy` is that of these weights on all test images, if it is known.
    fn keep(&mut self, state: &TrainState, accuracy: Option<f64>) {
        self.manifest.accuracy = accuracy;
        let loaded = Loaded::new(self.manifest.clone(), state.model.valid());
        self.inside.models.borrow_mut().insert(0, Rc::new(loaded));
    }
}

impl Observer for Messages {
    fn notify(&mut self, event: &Event<'_>) -> tinderbox::error::Result<()> {
        match event {
            Event::Started { steps, splits: [_, test], .. } => {
                self.say(serde_json::json!({"steps": steps, "tested": test.len()}));
            }
            Event::Losses { first_step, losses } => {
                self.say(serde_json::json!({"first_step": first_step, "losses": losses}));
            }
            Event::Epoch { history, state, .. } => {
                self.keep(state, history.last().map(|m| m.test_accuracy).filter(|_| self.tests_all));
                self.say(serde_json::json!({"epoch": history.last()}));
            }
            Event::Finished { augmented: Some(augmented), .. } => {
                self.say(serde_json::json!({"augmented": augmented.accuracy}));
            }
            Event::MidEpoch { state } => {
                self.keep(state, None);
                self.say(serde_json::json!({"weights": true}));
            }
            Event::Interrupted { state } => self.keep(state, None),
            Event::Finished { .. } | Event::Step { .. } => {}
        }
        Ok(())
    }
}
