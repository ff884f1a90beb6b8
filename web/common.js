// What all parts of the page share: its elements, its settings, its state, and how a failure is said.
export const $ = (id) => document.getElementById(id);

// What is empty here is the preset's own.
export const RECIPE = ['epochs', 'batch', 'rate', 'seed', 'model', 'norm', 'width', 'loss', 'optimizer', 'momentum', 'schedule', 'augment', 'fraction'];
const defaults = { device: '', preset: '', shuffle: 1, filter: '', main: '', beside: '', ...Object.fromEntries(RECIPE.map((key) => [key, ''])) };
// They live in the address after the #, so that a link shows what one sees.
export const settings = { ...defaults, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
if (!['', 'cpu', 'webgpu'].includes(settings.device)) settings.device = '';
if (!Number.isSafeInteger(Number(settings.shuffle))) settings.shuffle = 1;
export function keep(key, value) {
  settings[key] = value;
  const changed = Object.entries(settings).filter(([k, v]) => String(v) !== String(defaults[k]));
  history.replaceState(null, '', changed.length ? `#${new URLSearchParams(changed)}` : location.pathname + location.search);
}

export const state = { labels: null, said: null, shown: [], models: [], beside: [], about: null, shape: null, history: [], points: null, steps: 0 };

export function say(text) {
  $('message').textContent = text;
  $('message').hidden = !text;
}

// Runs a visitor's action; whatever fails is said, and the page stays usable.
export const guarded = (action) => async (...args) => {
  try {
    say('');
    await action(...args);
  } catch (error) {
    say(error.message);
  }
};
