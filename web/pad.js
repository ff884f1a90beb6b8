// The drawing pad, pictures, and what the model says of them.
import { $, guarded, state } from './common.js';
import { ask } from './lab.js';

const pad = $('pad'), pen = pad.getContext('2d', { willReadFrequently: true });
let strokes = [], picture = null, asked = 0;

export function paint() {
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, 280, 280);
  if (picture) pen.drawImage(picture, 0, 0, 280, 280);
  Object.assign(pen, { strokeStyle: '#fff', fillStyle: '#fff', lineWidth: 22, lineCap: 'round', lineJoin: 'round' });
  for (const stroke of strokes) {
    pen.beginPath();
    stroke.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (stroke.length === 1) pen.arc(...stroke[0], 1, 0, 7);
    pen.stroke();
  }
}

const place = (event) => {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
};
pad.onpointerdown = (event) => {
  pad.setPointerCapture(event.pointerId);
  picture = null;
  strokes.push([place(event)]);
  paint();
};
pad.onpointermove = (event) => {
  if (!event.buttons || !strokes.length) return;
  strokes.at(-1).push(place(event));
  paint();
};
pad.onpointerup = guarded(() => askAgain());
pad.onkeydown = (event) => {
  if (event.key === 'Delete' || event.key === 'Backspace' || event.key === 'Escape') $('clear').click();
  if (event.key === 'z' && (event.ctrlKey || event.metaKey)) $('undo').click();
};
$('undo').onclick = guarded(() => { strokes.pop(); paint(); return askAgain(); });
$('clear').onclick = guarded(() => { [strokes, picture] = [[], null]; paint(); return askAgain(); });

export async function takeImage(file) {
  if (file.size > 64e6) throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most 64 MB are taken`);
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no image that this browser can read`);
  }
  [strokes, picture] = [[], image];
  paint();
  await askAgain();
}

// What was asked last is what is shown: an older answer that comes late is dropped.
export async function askAgain() {
  const mine = ++asked;
  if (!state.about) return;
  if (!strokes.length && !picture) {
    $('answer').textContent = 'Draw a digit.';
    $('bars').replaceChildren();
    $('latency').textContent = '';
    return;
  }
  let [image, width, height] = [pen.getImageData(0, 0, 280, 280).data, 280, 280];
  if (picture) {
    const scale = Math.min(1, 1024 / Math.max(picture.width, picture.height));
    [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context.drawImage(picture, 0, 0, width, height);
    image = context.getImageData(0, 0, width, height).data;
  }
  const digit = state.about.shape.channels === 1;
  const answer = await ask('ask', [image.buffer, width, height, digit]);
  if (mine === asked) showAnswer(answer);
}

function showAnswer({ seen, probabilities, milliseconds, responses }) {
  const { classes, shape } = state.about;
  const best = probabilities.indexOf(Math.max(...probabilities));
  $('answer').textContent = `${classes[best]}, ${(100 * probabilities[best]).toFixed(1)} %`;
  $('bars').replaceChildren(...classes.map((name, i) => {
    const item = document.createElement('li');
    const [label, meter, value] = ['span', 'meter', 'span'].map((tag) => document.createElement(tag));
    [label.textContent, value.textContent] = [name, `${(100 * probabilities[i]).toFixed(1)} %`];
    [meter.value, meter.ariaLabel] = [probabilities[i], `probability of ${name}`];
    item.append(label, meter, value);
    return item;
  }));
  $('latency').textContent = `answered in ${milliseconds.toFixed(1)} ms`;
  grey($('seen'), shape.width, shape.height, (i) => shape.channels === 3
    ? [0, 1, 2].map((c) => seen[c * shape.width * shape.height + i]) : Array(3).fill(seen[i]));
  const [channels, height, width] = responses;
  const high = responses.slice(3).reduce((high, value) => Math.max(high, value), 1e-6);
  const across = width === 1 ? 16 : 8, down = Math.ceil(channels / across);
  grey($('responses'), Math.max(1, across * width), Math.max(1, down * height), (i) => {
    const [x, y] = [i % (across * width), Math.floor(i / (across * width))];
    const channel = Math.floor(y / height) * across + Math.floor(x / width);
    const value = responses[3 + (channel * height + y % height) * width + x % width] ?? 0;
    return Array(3).fill(255 * value / high);
  });
}

function grey(canvas, width, height, pixel) {
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...pixel(i), 255], 4 * i);
  canvas.getContext('2d').putImageData(image, 0, 0);
}
