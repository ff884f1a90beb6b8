// How a kind of layer is written, such as `conv CHANNELS [kernel K=3] [bias off]`, read as parts that can be filled in.

/**
 * A part of a layer. `kind` says how it is written: a `value` alone, an `option` (its name, then a value) or a `flag`
 * (words
 * that are there or not).
 * @typedef {{
 *   kind: 'value' | 'option' | 'flag', name: string, value: string, default?: string, choices?: string[],
 * }} Part
 */

/**
 * The parts of a layer of which `text` is one; nothing where it has layers in brackets, or is not written in this way.
 * @param {string} usage
 * @param {string} text
 * @returns {Part[] | undefined}
 */
export function partsOf(usage, text) {
  if (/LAYERS/.test(usage) || text.includes('[')) return undefined;
  const [, ...pattern] = usage.match(/\[[^\]]*\]|\S+/g) ?? [];
  const [, ...found] = text.trim().split(/\s+/);
  const parts = pattern.map(partOf);
  for (const part of parts.filter(({ kind }) => kind === 'value')) part.value = found.shift() ?? '';
  while (found.length) {
    const part = parts.find(
      ({ kind, name }) => kind !== 'value' && found.join(' ').startsWith(kind === 'flag' ? name : `${name} `),
    );
    if (!part) return undefined;
    found.splice(0, part.name.split(' ').length);
    part.value = part.kind === 'flag' ? part.name : (found.shift() ?? '');
  }
  return parts;
}

/**
 * @param {string} pattern
 * @returns {Part}
 */
function partOf(pattern) {
  if (!pattern.startsWith('[')) {
    const isChoice = /^[a-z|]+$/.test(pattern); // `max|avg`, but not `OUTPUTS|classes`
    return {
      kind: 'value',
      name: pattern.toLowerCase().replaceAll('|', ' or '),
      value: '',
      ...(isChoice && { choices: pattern.split('|') }),
    };
  }
  const [name, value] = pattern.slice(1, -1).split(/ (?=[A-Z])/);
  if (value === undefined) return { kind: 'flag', name, value: '' };
  return { kind: 'option', name, value: '', default: value.split('=')[1] };
}

/**
 * The layer as text; a part that is empty is left out, and so has its default.
 * @param {string} name
 * @param {Part[]} parts
 */
export function textOf(name, parts) {
  const written = parts
    .filter(({ value }) => value !== '')
    .map(({ kind, name, value }) => (kind === 'option' ? `${name} ${value}` : value));
  return [name, ...written].join(' ');
}
