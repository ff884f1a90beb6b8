//! A trained network as an ONNX file: `images`, `[batch, channels, height, width]` in [0, 1], in, `logits` out, batch
//! normalization by its running statistics. Operators of set 17, which every runtime of 2022 and later has.

mod proto;

use prost::Message;
use safetensors::SafeTensors;

use crate::model::{LOGIT_SCALE, Model};
use crate::recipe::{Architecture, Pool};
use crate::weights::{self, About};
use proto::{Attribute, Dimension, Entry, Graph, Node, OperatorSet, Shape, Tensor, TensorType, Type, ValueInfo};

/// Of tensors.
const FLOAT: i32 = 1;
/// Of the format, from ONNX 1.12.
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 17;
/// As in the networks' batch normalization.
const EPSILON: f32 = 1e-5;

/// The bytes of an ONNX file. `model` must not be on an autodiff device.
///
/// # Errors
/// What burn's writer of weights says.
pub fn to_bytes(model: &Model, about: &About) -> Result<Vec<u8>, String> {
    // Names and layouts are those of PyTorch, which ONNX shares.
    let file = weights::to_bytes(model, "")?;
    let tensors = SafeTensors::deserialize(&file).map_err(|e| e.to_string())?;
    let mut writer = Writer { tensors, nodes: Vec::new(), next: 0 };
    writer.network(about);
    let shape = about.shape;
    let images = [shape.channels, shape.height, shape.width];
    let initializer = |(name, view): (String, safetensors::tensor::TensorView<'_>)| Tensor {
        dims: view.shape().iter().map(|&side| side as i64).collect(),
        data_type: FLOAT,
        name,
        raw_data: view.data().to_vec(),
    };
    let mut initializers: Vec<Tensor> = writer.tensors.tensors().into_iter().map(initializer).collect();
    if about.recipe.model == Architecture::Resnet9 {
        let raw_data = (LOGIT_SCALE as f32).to_le_bytes().to_vec();
        initializers.push(Tensor { dims: Vec::new(), data_type: FLOAT, name: "logit_scale".into(), raw_data });
    }
    let graph = Graph {
        node: writer.nodes,
        name: about.recipe.short_name(),
        initializer: initializers,
        input: vec![value("images", &images)],
        output: vec![value("logits", &[about.classes.len()])],
    };
    let entry = |key: &str, value: String| Entry { key: key.into(), value };
    let file = proto::Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
        metadata: vec![
            entry("tinderbox", about.to_json()),
            entry("classes", serde_json::json!(about.classes).to_string()),
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

fn integer(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, kind: 2, ..Default::default() }
}

fn integers(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: ints.to_vec(), kind: 7, ..Default::default() }
}

/// Puts operators one behind the other; each method takes the name of a value and returns that of the next.
struct Writer<'a> {
    tensors: SafeTensors<'a>,
    nodes: Vec<Node>,
    next: usize,
}

impl Writer<'_> {
    /// The same steps as the models' `forward`, which the tests hold against it.
    fn network(&mut self, about: &About) {
        let recipe = &about.recipe;
        let input = "images".to_string();
        let logits = match recipe.model {
            Architecture::LinearV0 => {
                let x = self.op("Flatten", &[&input], vec![integer("axis", 1)]);
                self.linear("fc1", x)
            }
            Architecture::LinearV1 => {
                let mut x = self.op("Flatten", &[&input], vec![integer("axis", 1)]);
                for layer in 1..=2 {
                    x = self.linear(&format!("fc{layer}"), x);
                    x = self.norm(&format!("bn{layer}"), x);
                    x = self.op("Relu", &[&x], Vec::new());
                }
                self.linear("fc3", x)
            }
            Architecture::Vgg11 | Architecture::Vgg16 => {
                let mut x = input;
                for stage in 0.. {
                    let blocks: Vec<String> =
                        (0..).map(|b| format!("stages.{stage}.{b}")).take_while(|b| self.has(b)).collect();
                    if blocks.is_empty() {
                        break;
                    }
                    x = blocks.iter().fold(x, |x, block| self.block(block, x));
                    x = self.pool(recipe.pool, 2, x);
                }
                let x = self.op("Flatten", &[&x], vec![integer("axis", 1)]);
                self.linear("head", x)
            }
            Architecture::Resnet9 => {
                let x = self.block("prep", input);
                let x = self.block("layer1", x);
                let x = self.pool(Pool::Max, 2, x);
                let x = self.residual("residual1", x);
                let x = self.block("layer2", x);
                let x = self.pool(Pool::Max, 2, x);
                let x = self.block("layer3", x);
                let x = self.pool(Pool::Max, 2, x);
                let x = self.residual("residual3", x);
                let x = self.pool(Pool::Max, 4, x);
                let x = self.op("Flatten", &[&x], vec![integer("axis", 1)]);
                let x = self.linear("head", x);
                self.op("Mul", &[&x, "logit_scale"], Vec::new())
            }
        };
        self.nodes.push(Node {
            input: vec![logits],
            output: vec!["logits".into()],
            name: "logits".into(),
            op_type: "Identity".into(),
            attribute: Vec::new(),
        });
    }

    fn op(&mut self, op_type: &str, input: &[&str], attribute: Vec<Attribute>) -> String {
        self.next += 1;
        let name = format!("{}_{}", op_type.to_lowercase(), self.next);
        self.nodes.push(Node {
            input: input.iter().map(ToString::to_string).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op_type.into(),
            attribute,
        });
        name
    }

    /// Whether the network has a block of this name.
    fn has(&self, block: &str) -> bool {
        self.tensors.names().iter().any(|name| **name == *format!("{block}.conv.weight"))
    }

    fn linear(&mut self, layer: &str, x: String) -> String {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{layer}.{part}"));
        self.op("Gemm", &[&x, &weight, &bias], vec![integer("transB", 1)])
    }

    /// Batch normalization, where the network has it.
    fn norm(&mut self, layer: &str, x: String) -> String {
        let parts = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{layer}.{part}"));
        if self.tensors.tensor(&parts[0]).is_err() {
            return x;
        }
        let [weight, bias, mean, variance] = &parts;
        let epsilon = Attribute { name: "epsilon".into(), f: EPSILON, kind: 1, ..Default::default() };
        self.op("BatchNormalization", &[&x, weight, bias, mean, variance], vec![epsilon])
    }

    /// A 3x3 convolution with zero padding, batch normalization and ReLU.
    fn block(&mut self, block: &str, x: String) -> String {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{block}.conv.{part}"));
        let has_bias = self.tensors.tensor(&bias).is_ok();
        let inputs: Vec<&str> = [&*x, &*weight].into_iter().chain(has_bias.then_some(&*bias)).collect();
        let x = self.op("Conv", &inputs, vec![integers("kernel_shape", &[3, 3]), integers("pads", &[1, 1, 1, 1])]);
        let x = self.norm(&format!("{block}.norm"), x);
        self.op("Relu", &[&x], Vec::new())
    }

    fn residual(&mut self, pair: &str, x: String) -> String {
        let inner = self.block(&format!("{pair}.0"), x.clone());
        let inner = self.block(&format!("{pair}.1"), inner);
        self.op("Add", &[&x, &inner], Vec::new())
    }

    fn pool(&mut self, pool: Pool, side: i64, x: String) -> String {
        let op_type = if pool == Pool::Max { "MaxPool" } else { "AveragePool" };
        self.op(op_type, &[&x], vec![integers("kernel_shape", &[side, side]), integers("strides", &[side, side])])
    }
}
