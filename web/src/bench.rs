//! The benchmark of the program, in a tab.

use tinderbox::bench::{self, Effort, Machine, Progress, Report, Row, SCHEMA, Tool};
use tinderbox::compute::{AdapterKind, Devices};
use wasm_bindgen::prelude::*;

use crate::session::Session;
use crate::{json, words};

#[wasm_bindgen]
impl Session {
    /// Benchmarks this device, calling `tell(name, median, unit)` after each measurement; the report as JSON.
    pub async fn bench(
        &self,
        browser: String,
        threads: usize,
        date: String,
        tell: js_sys::Function,
    ) -> Result<String, JsError> {
        let data = self.data()?;
        let inside = self.inside();
        // A tab has one thread, which is as slow as a CPU that imitates a GPU.
        let slow = matches!(inside.info.kind, AdapterKind::Software | AdapterKind::Cpu);
        let effort = Effort { quick: true, repeats: 5, software: slow };
        let devices = Devices::one(inside.device.clone(), inside.info.clone());
        let mut measurements = Vec::new();
        let measured = bench::measure(&devices, None, effort, &data.dataset, None, &mut |progress| {
            if let Progress::Done(m) = progress {
                let _ = tell.call3(&JsValue::NULL, &(&m.name).into(), &m.median.into(), &(&m.unit).into());
                measurements.push(m);
            }
        })
        .await;
        let (warmup_seconds, failed) =
            measured.map_or_else(|e| (0.0, Some(words::error(&e))), |seconds| (seconds, None));
        let (name, device) = (inside.info.name.clone(), inside.info.clone());
        let row = Row { name, device, failed, warmup_seconds, tuned: 0, measurements };
        json(&Report {
            schema: SCHEMA.into(),
            tool: Tool::this(),
            machine: Machine { os: browser, cpu: "in a browser".into(), threads },
            date,
            quick: true,
            rows: vec![row],
        })
    }
}
