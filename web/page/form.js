// A form made of the JSON schema of a recipe: one labelled control for every leaf that applies.
//
// The form knows no field by its name. What is chosen or typed is handed on; what it may be, and what follows from it,
// is for whoever takes it.
import { wordsOf } from './actions.js';

/**
 * A leaf of the schema; `src/recipe/schema.rs` says what it has beyond the standard.
 * @typedef {{
 *   title: string, description: string, order: number, option: string,
 *   type?: 'string' | 'boolean' | 'integer' | 'number' | 'array', enum?: string[], examples?: string[],
 *   minimum?: number, exclusiveMinimum?: number, maximum?: number, exclusiveMaximum?: number,
 *   applies?: { key: string, values: unknown[] }, defaultBy?: { key: string }, instead?: string, optional?: boolean,
 * }} Leaf
 */
/** @typedef {{ properties: Record<string, Leaf | { properties: Record<string, Leaf> }> }} Schema */
/** @typedef {Leaf & { key: string }} Field */
/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */
/**
 * A field's control and what is around it; `shown` is the value that it was last given, so another is the visitor's.
 * @typedef {{ field: Field, control: Control, around: HTMLElement, refusal: HTMLElement, shown: string }} Row
 */

/**
 * All leaves, each with its key, such as `optimizer.kind`, in the order of the form.
 * @param {Schema} schema
 * @returns {Field[]}
 */
export function fieldsOf(schema) {
  const leaves = Object.entries(schema.properties).flatMap(([table, property]) =>
    'properties' in property
      ? Object.entries(property.properties).map(([key, leaf]) => ({ ...leaf, key: `${table}.${key}` }))
      : [{ ...property, key: table }],
  );
  return leaves.sort((a, b) => a.order - b.order);
}

/**
 * The value of a recipe at a key.
 * @param {object} recipe
 * @param {string} key
 */
const valueAt = (recipe, key) => key.split('.').reduce((value, part) => value?.[part], /** @type {any} */ (recipe));

/**
 * A value as one types it; nothing where there is none.
 * @param {object} recipe
 * @param {string} key
 * @returns {string}
 */
export function textAt(recipe, key) {
  const value = valueAt(recipe, key);
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return Array.isArray(value) ? value.join(', ') : String(value ?? '');
}

/**
 * Whether a field has a place in a recipe; a choice that something else can stand for always has.
 * @param {Field} field
 * @param {object} recipe
 */
function applies({ applies, instead, enum: names }, recipe) {
  if (applies) return applies.values.includes(valueAt(recipe, applies.key));
  return !instead || Boolean(names) || valueAt(recipe, instead) === undefined;
}

/** @param {string[]} values */
const optionsOf = (values) => values.map((value) => new Option(value, value));

/**
 * @param {Field} field
 * @param {Field[]} fields
 * @returns {HTMLSelectElement}
 */
function choice(field, fields) {
  const select = document.createElement('select');
  select.append(...optionsOf(field.enum ?? ['on', 'off']));
  const other = fields.find(({ key }) => key === field.instead);
  if (other) select.append(new Option(`own ${other.title}`, other.key));
  return select;
}

/** @param {Field} field */
function number({ minimum, exclusiveMinimum, maximum, exclusiveMaximum, type }) {
  const input = document.createElement('input');
  input.type = 'number';
  input.step = type === 'integer' ? '1' : 'any';
  input.min = String(minimum ?? exclusiveMinimum ?? '');
  const most = maximum ?? exclusiveMaximum;
  // What is larger would not survive JavaScript.
  if (most !== undefined || type === 'integer') input.max = String(Math.min(most ?? Infinity, Number.MAX_SAFE_INTEGER));
  return input;
}

/**
 * The control of a field by its kind.
 * @param {Field} field
 * @param {Field[]} fields
 * @returns {Control}
 */
function controlOf(field, fields) {
  if (field.enum || field.type === 'boolean') return choice(field, fields);
  if (field.type === 'array') return Object.assign(document.createElement('textarea'), { rows: 3, spellcheck: false });
  return field.type === 'string' ? document.createElement('input') : number(field);
}

/**
 * @param {Field} field
 * @param {Field[]} fields
 * @returns {Row}
 */
function rowOf(field, fields) {
  const around = document.createElement('div'),
    label = document.createElement('label'),
    refusal = document.createElement('p');
  const control = controlOf(field, fields);
  control.name = field.option;
  control.required = !field.optional;
  around.title = field.description;
  around.className = control instanceof HTMLTextAreaElement ? 'field whole' : 'field';
  refusal.id = `${field.option}-refusal`;
  refusal.className = 'refusal';
  refusal.setAttribute('role', 'alert');
  control.setAttribute('aria-describedby', refusal.id);
  label.append(field.title, control);
  around.append(label, refusal);
  if (field.examples) {
    const examples = document.createElement('datalist');
    examples.id = `${field.option}-examples`;
    examples.append(...optionsOf(field.examples));
    control.setAttribute('list', examples.id);
    around.append(examples);
  }
  return { field, control, around, refusal, shown: '' };
}

/**
 * Says at the field why its value was refused, or no longer does.
 * @param {Row} row
 * @param {string} words
 */
function refuse({ control, refusal }, words) {
  control.setCustomValidity(words);
  control.setAttribute('aria-invalid', String(Boolean(words)));
  refusal.textContent = words;
}

/**
 * Makes the form. `into` says where the control of a field goes. `change` takes a key and what the visitor typed or
 * chose, nothing where an optional field was emptied or one was chosen that stands for another; if it throws, the words
 * are shown at the field. `show` shows a recipe; `refused` is the first control whose value was refused.
 * @param {Field[]} fields
 * @param {(field: Field) => HTMLElement} into
 * @param {(key: string, text: string) => Promise<void>} change
 */
export function makeForm(fields, into, change) {
  const rows = fields.map((field) => rowOf(field, fields));
  for (const row of rows) {
    into(row.field).append(row.around);
    row.control.addEventListener('change', () => take(row));
  }

  /** @param {Row} row */
  async function take(row) {
    const { control, field } = row;
    const typed = control.value;
    control.setCustomValidity('');
    try {
      if (!control.checkValidity()) throw new Error(`${field.title}: ${control.validationMessage}`);
      row.shown = typed;
      await (typed === field.instead ? change(typed, '') : change(field.key, typed));
      refuse(row, '');
    } catch (error) {
      refuse(row, wordsOf(error));
    }
  }

  /**
   * Shows a recipe; what the visitor is typing stays, unless all is new.
   * @param {object} recipe
   */
  function show(recipe, allIsNew = false) {
    for (const row of rows) {
      const here = applies(row.field, recipe);
      const isTyped = row.control.value !== row.shown || row.control.validationMessage;
      if (here && !row.around.hidden && isTyped && !allIsNew) continue;
      row.around.hidden = !here;
      row.shown = textAt(recipe, row.field.key) || (row.field.enum && row.field.instead) || '';
      row.control.value = row.shown;
      refuse(row, '');
    }
  }

  return { show, refused: () => rows.find(({ refusal }) => refusal.textContent)?.control };
}
