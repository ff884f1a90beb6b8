//! The state of a training run as buffers that stay on the device and are changed in place: `shaders/update.wgsl`,
//! `shaders/advance.wgsl`.

use burn::backend::{Dispatch, Wgpu};
use burn::tensor::{Int, Shape, Tensor};
use burn_wgpu::{CubeBackend, CubeTensor, KernelSource, SourceTemplate, into_contiguous};
use cubecl::bytes::Bytes;
use cubecl::prelude::KernelId;

use super::extension::Shaders;
use super::kernel::{in_rows, run, wgsl};
use super::terms::{HEAD, Place, Rule};
use crate::compute::Group;

/// Threads in a workgroup, as in the shader.
const THREADS: u32 = 256;
/// Bindings of the update beside the gradients.
const OWN_BINDINGS: usize = 4;
/// Puts numbers where a tensor on a wgpu device lies. Work that was handed to the device before sees the old ones.
pub fn write(tensor: &Tensor<1, Int>, numbers: &[i32]) {
    if let Some(tensor) = on_device_int(tensor.clone()) {
        tensor.client.write(&tensor.handle, Bytes::from_elems(numbers.to_vec()));
    }
}

/// Puts values where a tensor on a wgpu device lies, as [`write()`] does.
pub fn write_values(tensor: &Tensor<1>, values: &[f32]) {
    if let Some(tensor) = on_device(tensor.clone()) {
        tensor.client.write(&tensor.handle, Bytes::from_elems(values.to_vec()));
    }
}

/// The buffer behind a tensor, once all that was asked of it is handed on; `None` off wgpu.
fn on_device<const D: usize>(tensor: Tensor<D>) -> Option<CubeTensor> {
    let tensor = tensor.try_into_primitive::<Wgpu>().ok()?;
    Some(into_contiguous(tensor.client.clone().resolve_tensor_float::<CubeBackend>(tensor)))
}

fn on_device_int(tensor: Tensor<1, Int>) -> Option<CubeTensor> {
    let tensor = tensor.try_into_primitive::<Wgpu>().ok()?;
    Some(into_contiguous(tensor.client.clone().resolve_tensor_int::<CubeBackend>(tensor)))
}

/// The buffers. All of them stay where they are as long as this lives.
pub struct Resident {
    whole: Tensor<1>,
    values: CubeTensor,
    moments: [CubeTensor; 2],
    progress: CubeTensor,
    losses: CubeTensor,
    places: Vec<Place>,
    rule: Rule,
}

impl Resident {
    /// Takes the buffers of the values of all tensors `[n]`, one or two moments `[parameters]` (others stand for those that a
    /// rule does not have), progress `[4 + 4 * steps]` and losses `[steps]`. `None` off wgpu.
    pub fn new(
        values: &Tensor<1>,
        moments: [&Tensor<1>; 2],
        progress: &Tensor<1, Int>,
        losses: &Tensor<1>,
        places: Vec<Place>,
        rule: Rule,
    ) -> Option<Self> {
        let [first, second] = moments;
        Some(Self {
            whole: values.clone(),
            values: on_device(values.clone())?,
            moments: [on_device(first.clone())?, on_device(second.clone())?],
            progress: on_device_int(progress.clone())?,
            losses: on_device(losses.clone())?,
            places,
            rule,
        })
    }

    /// The values at a place as a tensor of sides `dims`, which shares their memory: what is written to one is read from the
    /// other.
    pub fn view<const D: usize>(&self, place: &Place, dims: [usize; D]) -> Tensor<D> {
        let whole = self.whole.clone().into_dispatch();
        Tensor::from_dispatch(Dispatch::view(whole, place.offset, Shape::new(dims)))
    }

    /// Takes over all values as they are.
    pub fn fill(&self, tensors: Vec<Tensor<1>>) -> Option<()> {
        let places = self.places.iter().map(|place| Place { trained: false, ..*place }).collect();
        self.launch(places, tensors)
    }

    /// Steps all trained tensors by their gradients, and takes over the others that change, each in the order of the places.
    pub fn update(&self, sources: Vec<Tensor<1>>) -> Option<()> {
        // What stays as it is lies in the buffer already, and must not be bound beside it: WebGPU lets a shader write to a piece
        // of memory by one binding alone.
        let moving = self.places.iter().copied().zip(sources).filter(|(place, _)| place.group != Group::Fixed);
        let (places, sources) = moving.unzip();
        self.launch(places, sources)
    }

    fn launch(&self, places: Vec<Place>, sources: Vec<Tensor<1>>) -> Option<()> {
        let sources = sources.into_iter().map(on_device).collect::<Option<Vec<_>>>()?;
        let most = self.values.client.properties().hardware.max_bindings as usize;
        let at_once = most.saturating_sub(OWN_BINDINGS).clamp(1, 64);
        // Trained values alone have moments.
        let mut first = 0;
        for (places, sources) in places.chunks(at_once).zip(sources.chunks(at_once)) {
            let count: usize = places.iter().map(|place| place.len).sum();
            let groups = in_rows(count.div_ceil(THREADS as usize));
            let Rule { kind, momentum, nesterov, decay, scale, norm_rate } = self.rule;
            let params = [
                first as u32,
                count as u32,
                groups.0,
                kind,
                momentum.to_bits(),
                u32::from(nesterov),
                decay.to_bits(),
                scale.to_bits(),
            ];
            let own = [&self.values, &self.moments[0], &self.moments[1], &self.progress];
            let tensors: Vec<&CubeTensor> = own.into_iter().chain(sources).collect();
            run(Update { places: places.to_vec(), norm_rate }, THREADS, groups, &tensors, &params);
            first += places.iter().filter(|place| place.trained).map(|place| place.len).sum::<usize>();
        }
        Some(())
    }

    /// Keeps the loss `[1]` of the step, and counts on by a batch of so many images.
    pub fn advance(&self, loss: Tensor<1>, batch: usize) -> Option<()> {
        run(Advance, 1, (1, 1), &[&self.progress, &self.losses, &on_device(loss)?], &[batch as u32]);
        Some(())
    }

    /// Says where the next step is: the position of its batch, its number in the epoch, and the epoch.
    pub fn place_at(&self, position: usize, step: usize, epoch: usize) {
        self.write_progress(0, &[position as u32, step as u32, epoch as u32]);
    }

    /// Sets the factors of the steps from `step` on.
    pub fn set_factors(&self, step: usize, rows: &[[f32; 4]]) {
        let words: Vec<u32> = rows.iter().flatten().map(|factor| factor.to_bits()).collect();
        self.write_progress(HEAD + 4 * step, &words);
    }

    fn write_progress(&self, first: usize, words: &[u32]) {
        let handle = self.progress.handle.clone().offset_start(4 * first as u64);
        let behind = self.progress.meta.shape()[0] - first - words.len();
        let handle = handle.offset_end(4 * behind as u64);
        self.progress.client.write(&handle, Bytes::from_elems(words.to_vec()));
    }
}

wgsl!(Advance, "../../../shaders/advance.wgsl");

/// The update of tensors at these places.
struct Update {
    places: Vec<Place>,
    norm_rate: f32,
}

impl KernelSource for Update {
    fn source(&self) -> SourceTemplate {
        let (mut sources, mut pick, mut start, mut moments) = (String::new(), String::new(), 0, 0);
        for (i, Place { offset, len, trained, group }) in self.places.iter().enumerate() {
            let binding = OWN_BINDINGS + i;
            sources += &format!("@group(0) @binding({binding}) var<storage, read_write> source_{i}: array<f32>;\n");
            let end = start + len;
            let otherwise = if i == 0 { "    " } else { " else " };
            let (hold, factor) = match (trained, group) {
                (true, Group::Whitening) => {
                    ("        if !is_whitening_trained() {\n            return;\n        }\n", 1.0)
                }
                (true, Group::Normalization) => ("", self.norm_rate),
                _ => ("", 1.0),
            };
            let factor = if factor == 1.0 { String::new() } else { format!(" * {factor:?}") };
            pick += &format!(
                "{otherwise}if i < {end}u {{\n{hold}        at = {offset}u + i - {start}u;\n        value = source_{i}[i - \
                 {start}u]{factor};\n        trained = {trained};\n        k += {moments}u + i - {start}u;\n    }}"
            );
            start = end;
            moments += if *trained { *len } else { 0 };
        }
        SourceTemplate::new(include_str!("../../../shaders/update.wgsl"))
            .register("sources", sources)
            .register("pick", pick)
            .register("binding", (OWN_BINDINGS + self.places.len()).to_string())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info((self.places.clone(), self.norm_rate.to_bits()))
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}
