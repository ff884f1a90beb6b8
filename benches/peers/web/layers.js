// The layers of the two networks, for both libraries, each made by the library's own functions.
export const EPSILON = 1e-5;
export const LR = 0.1;
export const layersOf = (name, { linear, norm, conv3 }) =>
  ({
    linear_v1: () => [linear(784, 128), norm(128), linear(128, 64), norm(64), linear(64, 10)],
    cnn: () => [conv3(1, 16), norm(16), conv3(16, 32), norm(32), linear(1568, 10)],
  })[name]();
