// The elements of the page, and the making of new ones.

/**
 * The elements that are more than an HTMLElement, by their id.
 * @typedef {Record<'shuffle' | 'classify' | 'undo' | 'clear' | 'start' | 'pause' | 'step' | 'stop' | 'further' | 'save'
 *     | 'bench' | 'bench-save' | 'camera' | 'add-class' | 'use-pictures' | 'save-pictures'
 *     | 'to-pictures' | 'cifar-sample' | 'empty-layers' | 'message-close', HTMLButtonElement>
 *   & Record<'device' | 'filter' | 'models' | 'preset' | 'add-layer', HTMLSelectElement>
 *   & Record<'pad' | 'seen', HTMLCanvasElement>
 *   & {
 *     file: HTMLInputElement, pictures: HTMLInputElement, beside: HTMLFieldSetElement, recipe: HTMLFormElement,
 *     'bench-table': HTMLTableElement, 'progress-bar': HTMLProgressElement, live: HTMLVideoElement,
 *     'inside-details': HTMLDetailsElement, 'pictures-details': HTMLDetailsElement,
 *     'more-of-try': HTMLDetailsElement,
 *   }} Elements
 */
/**
 * @template {string} K
 * @param {K} id
 */
export const $ = (id) =>
  /** @type {K extends keyof Elements ? Elements[K] : HTMLElement} */ (
    /** @type {unknown} */ (document.getElementById(id))
  );

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown> | string} [properties] of the element; text alone is its text
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, typeof properties === 'string' ? { textContent: properties } : properties);
  made.append(...children);
  return made;
}

/** A row of a list of runs; on a narrow screen every cell says what its column is. @param {HTMLElement[]} cells */
export function rowOfRun(cells) {
  const heads = document.querySelectorAll('#runs-table > thead th');
  cells.forEach((cell, i) => {
    cell.dataset.label = heads[i]?.textContent ?? '';
  });
  return element('tr', {}, ...cells);
}

/**
 * A button; an icon alone needs a `label`, which says what it does.
 * @param {string} text
 * @param {() => unknown} onclick
 * @param {string} [label]
 */
export function button(text, onclick, label) {
  const made = element('button', { type: 'button', textContent: text, onclick });
  if (label) made.ariaLabel = made.title = label;
  return made;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} options
 */
export function contextOf(canvas, options = {}) {
  // Every browser that runs WebAssembly has it.
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', options));
}

/**
 * An image as a network sees it, channel by channel, on a canvas of its size.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} pixels
 * @param {import('./store.js').Shape} shape
 */
export function paintPixels(canvas, pixels, { channels, height, width }) {
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height),
    plane = height * width;
  for (let at = 0; at < plane; at++) {
    for (let c = 0; c < 3; c++) image.data[4 * at + c] = pixels[(c % channels) * plane + at];
    image.data[4 * at + 3] = 255;
  }
  contextOf(canvas).putImageData(image, 0, 0);
}

/**
 * Shows a part of the page anew; the control that had the focus, or the one in its place, has it again.
 * @param {HTMLElement} part
 * @param {() => void} show
 */
export function keepingFocus(part, show) {
  const controls = () => /** @type {HTMLElement[]} */ ([...part.querySelectorAll('button, input, select, summary, a')]);
  const at = controls().indexOf(/** @type {HTMLElement} */ (document.activeElement));
  show();
  if (at < 0) return;
  const now = controls();
  now[Math.min(at, now.length - 1)]?.focus();
}
