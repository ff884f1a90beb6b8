// The settings of the page. They live in the address after the #, so that a link shows what one sees.

const defaults = { device: '', preset: '', shuffle: '1', filter: '', main: '', beside: '' };
const address = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const own = Object.entries(defaults).map(([key, value]) => [key, address[key] ?? value]);
/** @type {typeof defaults} */
export const settings = Object.fromEntries(own);
if (!['', 'cpu', 'webgpu'].includes(settings.device)) settings.device = '';
if (!Number.isSafeInteger(Number(settings.shuffle))) settings.shuffle = '1';
// So do the fields of the recipe that differ from the preset's, by the names of their options.
let options = Object.fromEntries(Object.entries(address).filter(([key]) => !(key in defaults)));

export const keptOptions = () => options;

/**
 * @param {keyof typeof defaults} key
 * @param {string | number} value
 */
export function keep(key, value) {
  settings[key] = String(value);
  write();
}

/** @param {Record<string, string>} changed */
export function keepOptions(changed) {
  options = changed;
  write();
}

function write() {
  const isDefault = (/** @type {string} */ key) => defaults[/** @type {keyof typeof defaults} */ (key)];
  const changed = Object.entries(settings).filter(([key, value]) => value !== isDefault(key));
  const all = new URLSearchParams([...changed, ...Object.entries(options)]).toString();
  history.replaceState(null, '', all ? `#${all}` : location.pathname + location.search);
}
