// The two networks in TensorFlow.js. Running statistics of batch normalization are left out, as in jax.js.
import { EPSILON, LR, layersOf } from './layers.js';

const { tf } = globalThis;

function normalized(x, [scale, offset], axes) {
  const { mean, variance } = tf.moments(x, axes);
  return tf.batchNorm(x, mean, variance, offset, scale, EPSILON);
}
const dense = (x, [w, b]) => tf.add(tf.matMul(x, w), b);
const conv = (x, [w, b]) => tf.add(tf.conv2d(x, w, 1, 'same'), b);
const pool = (x) => tf.maxPool(x, 2, 2, 'valid');

const NETWORKS = {
  linear_v1: (p, x) => {
    x = tf.relu(normalized(dense(x, p[0]), p[1], [0]));
    x = tf.relu(normalized(dense(x, p[2]), p[3], [0]));
    return dense(x, p[4]);
  },
  cnn: (p, x) => {
    x = pool(tf.relu(normalized(conv(tf.reshape(x, [-1, 28, 28, 1]), p[0]), p[1], [0, 1, 2])));
    x = pool(tf.relu(normalized(conv(x, p[2]), p[3], [0, 1, 2])));
    return dense(tf.reshape(x, [-1, 32 * 49]), p[4]);
  },
};
const layer = (shape, inputs, outputs) => [
  tf.variable(tf.randomNormal(shape, 0, Math.sqrt(2 / inputs))),
  tf.variable(tf.zeros([outputs])),
];
const norm = (n) => [tf.variable(tf.ones([n])), tf.variable(tf.zeros([n]))];
const linear = (inputs, outputs) => layer([inputs, outputs], inputs, outputs);
const conv3 = (inputs, outputs) => layer([3, 3, inputs, outputs], 9 * inputs, outputs);

/** A network to train on a device: a step on a batch, and the probabilities of one image. */
export async function start(name, device) {
  tf.wasm.setWasmPaths('/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
  if (!(await tf.setBackend(device))) throw new Error(`tf.js has no ${device} here`);
  await tf.ready();
  const network = NETWORKS[name];
  const params = layersOf(name, { linear, norm, conv3 });
  const optimizer = tf.train.sgd(LR);
  return {
    step(images, labels, n) {
      const value = tf.tidy(() => {
        const x = tf.tensor2d(images, [n, 784]);
        const y = tf.tensor2d(labels, [n, 10]);
        return optimizer.minimize(() => tf.losses.softmaxCrossEntropy(y, network(params, x)), true);
      });
      return { data: () => value.data().finally(() => value.dispose()) };
    },
    async probabilities(image) {
      const all = tf.tidy(() => tf.softmax(network(params, tf.tensor2d(image, [1, 784]))));
      return all.data().finally(() => all.dispose());
    },
  };
}
