//! A trained network as an ONNX file: `images`, `[batch, channels, height, width]` in [0, 1], in, `logits` out, batch
//! normalization by its running statistics. Operators of set 17, which every runtime of 2022 and later has.

mod proto;

use ::safetensors::SafeTensors;
use prost::Message;

use super::metadata::Metadata;
use super::safetensors::to_bytes;
use crate::error::{Error, Result};
use crate::network::Model;
use crate::network::layers::{OnnxAttribute, OnnxGraph};
use proto::{Attribute, Dimension, Entry, Node, OperatorSet, Shape, Tensor, TensorType, Type, ValueInfo};

/// The number of single precision among the types of tensors.
const FLOAT: i32 = 1;
/// The version of the format, from ONNX 1.12.
const IR_VERSION: i64 = 8;
/// The version of the set of operators.
const OPERATORS: i64 = 17;

/// The bytes of an ONNX file. `model` must not be on an autodiff device.
///
/// # Errors
/// Invalid data or device: the weights cannot be written, or what holds them is gone.
pub fn to_onnx(model: &Model, metadata: &Metadata) -> Result<Vec<u8>> {
    // Names and layouts are those of PyTorch, which ONNX shares.
    let file = to_bytes(model, "")?;
    let tensors = SafeTensors::deserialize(&file).map_err(|e| Error::invalid(e.to_string()).caused_by(e))?;
    let mut graph = Graph::default();
    let logits = model.network().onnx(&mut graph, "images".into());
    graph.nodes.push(Node {
        input: vec![logits],
        output: vec!["logits".into()],
        name: "logits".into(),
        op_type: "Identity".into(),
        attribute: Vec::new(),
    });
    let shape = metadata.shape;
    let images = [shape.channels, shape.height, shape.width];
    let initializer = |(name, view): (String, ::safetensors::tensor::TensorView<'_>)| Tensor {
        dims: view.shape().iter().map(|&side| side as i64).collect(),
        data_type: FLOAT,
        name,
        raw_data: view.data().to_vec(),
    };
    let graph = proto::Graph {
        node: graph.nodes,
        name: metadata.recipe.short_name(),
        initializer: tensors.tensors().into_iter().map(initializer).chain(graph.constants).collect(),
        input: vec![value("images", &images)],
        output: vec![value("logits", &[metadata.classes.len()])],
    };
    let entry = |key: &str, value: String| Entry { key: key.into(), value };
    let file = proto::Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
        metadata: vec![
            entry("tinderbox", metadata.to_json()),
            entry("classes", serde_json::json!(metadata.classes).to_string()),
        ],
    };
    Ok(file.encode_to_vec())
}

/// A value of any batch size.
fn value(name: &str, sides: &[usize]) -> ValueInfo {
    let batch = Dimension { value: None, parameter: Some("batch".into()) };
    let fixed = sides.iter().map(|&side| Dimension { value: Some(side as i64), parameter: None });
    let shape = Shape { dim: std::iter::once(batch).chain(fixed).collect() };
    let tensor = TensorType { element: FLOAT, shape: Some(shape) };
    ValueInfo { name: name.into(), kind: Some(Type { tensor: Some(tensor) }) }
}

/// The operators and constants of a graph that grows.
#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl OnnxGraph for Graph {
    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, OnnxAttribute)]) -> String {
        let name = format!("{}_{}", operator.to_lowercase(), self.nodes.len() + 1);
        self.nodes.push(Node {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.into(),
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        });
        name
    }

    fn constant(&mut self, value: f32) -> String {
        let name = format!("constant_{}", self.constants.len() + 1);
        let raw_data = value.to_le_bytes().to_vec();
        self.constants.push(Tensor { dims: Vec::new(), data_type: FLOAT, name: name.clone(), raw_data });
        name
    }
}

fn attribute(name: &str, value: &OnnxAttribute) -> Attribute {
    let named = Attribute { name: name.into(), ..Default::default() };
    match value {
        OnnxAttribute::Float(f) => Attribute { f: *f, kind: 1, ..named },
        OnnxAttribute::Int(i) => Attribute { i: *i, kind: 2, ..named },
        OnnxAttribute::Ints(ints) => Attribute { ints: ints.clone(), kind: 7, ..named },
    }
}
