// The two networks in jax-js: a compiled step of SGD. Running statistics of batch normalization are left out, as in tf.js.
import { defaultDevice, init, jit, lax, nn, numpy as np, random, tree, valueAndGrad } from '@jax-js/jax';
import { EPSILON, LR, layersOf } from './layers.js';


function normalized(x, { scale, offset }, axes) {
  const shape = x.shape.map((n, i) => (axes.includes(i) ? 1 : n));
  const centred = x.ref.sub(np.mean(x, axes, { keepdims: true }));
  const variance = np.mean(np.square(centred.ref), axes, { keepdims: true });
  return centred.div(np.sqrt(variance.add(EPSILON))).mul(scale.reshape(shape)).add(offset.reshape(shape));
}
const dense = (x, { w, b }) => np.matmul(x, w).add(b);
const conv = (x, { w, b }) => lax.convGeneralDilated(x, w, [1, 1], 'SAME').add(b.reshape([1, b.shape[0], 1, 1]));
const pool = (x) => {
  const [n, c, h, w] = x.shape;
  return np.max(x.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
};

const NETWORKS = {
  linear_v1: (p, x) => {
    x = nn.relu(normalized(dense(x, p[0]), p[1], [0]));
    x = nn.relu(normalized(dense(x, p[2]), p[3], [0]));
    return dense(x, p[4]);
  },
  cnn: (p, x) => {
    x = pool(nn.relu(normalized(conv(x.reshape([-1, 1, 28, 28]), p[0]), p[1], [0, 2, 3])));
    x = pool(nn.relu(normalized(conv(x, p[2]), p[3], [0, 2, 3])));
    return dense(x.reshape([-1, 32 * 49]), p[4]);
  },
};
let seed = 0;
const drawn = (shape, inputs) => random.normal(random.key(seed++), shape).mul(Math.sqrt(2 / inputs));
const layer = (shape, inputs, outputs) => ({ w: drawn(shape, inputs), b: np.zeros([outputs]) });
const norm = (n) => ({ scale: np.ones([n]), offset: np.zeros([n]) });
const linear = (inputs, outputs) => layer([inputs, outputs], inputs, outputs);
const conv3 = (inputs, outputs) => layer([outputs, inputs, 3, 3], 9 * inputs, outputs);

/** A network to train on a device: a step on a batch, and the probabilities of one image. */
export async function start(name, device) {
  if (!(await init(device)).includes(device)) throw new Error(`jax-js has no ${device} here`);
  defaultDevice(device);
  const network = NETWORKS[name];
  let params = layersOf(name, { linear, norm, conv3 });
  const loss = (p, x, y) => np.mean(np.sum(nn.logSoftmax(network(p, x), -1).mul(y), -1)).neg();
  const step = jit((p, x, y) => {
    const [value, gradients] = valueAndGrad(loss)(tree.ref(p), x, y);
    return [value, tree.map((weight, gradient) => weight.sub(gradient.mul(LR)), p, gradients)];
  });
  const one = jit((p, x) => nn.softmax(network(p, x), -1));
  return {
    step(images, labels, n) {
      const [value, next] = step(params, np.array(images).reshape([n, 784]), np.array(labels).reshape([n, 10]));
      params = next;
      return { data: () => value.data() };
    },
    probabilities: (image) => one(tree.ref(params), np.array(image).reshape([1, 784])).data(),
  };
}
