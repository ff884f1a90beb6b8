// What of the page needs no browser: node --test tests/page
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const page = fileURLToPath(new URL('../../web/page', import.meta.url));
const { change, state, watch } = await import(path.join(page, 'store.js'));
const { guarded, latest, queue } = await import(path.join(page, 'actions.js'));
const { partsOf, textOf } = await import(path.join(page, 'usage.js'));
const { crc32, readZip, writeZip } = await import(path.join(page, 'zip.js'));
const { sendFiles } = await import(path.join(page, 'dataset.js'));
const { unzipped } = await import(path.join(page, 'files.js'));
const { inTar } = await import(path.join(page, 'tar.js'));
const { words } = await import(path.join(page, 'words.js'));
const { fieldsOf, textAt } = await import(path.join(page, 'form.js'));

const files = readdirSync(page, { recursive: true }).filter((name) => name.endsWith('.js'));
const text = (name) => readFileSync(path.join(page, name), 'utf8');

test('whoever watches is told once of all changes of a task, and no more when it has had enough', async () => {
  const told = [];
  const unwatch = watch(['message', 'paused'], () => told.push([state.message, state.paused]));
  change({ message: 'a' });
  change({ paused: true, message: 'b' });
  change({ activity: 'idle' });
  await Promise.resolve();
  assert.deepEqual(told, [['', false], ['b', true]]);
  unwatch();
  change({ message: 'c' });
  await Promise.resolve();
  assert.equal(told.length, 2);
});

test('a watcher may change what others watch', async () => {
  const unwatch = [
    watch(['message'], () => { if (state.message === 'first') change({ paused: false }); }),
    watch(['paused'], () => { if (state.message === 'first') change({ message: 'second' }); }),
  ];
  change({ message: 'first', paused: true });
  await new Promise((done) => setTimeout(done));
  assert.deepEqual([state.message, state.paused], ['second', false]);
  unwatch.forEach((end) => end());
});

test('a failure of an action is said', async () => {
  await guarded(() => { throw new Error('no'); })();
  assert.equal(state.message, 'no');
  await guarded(() => {})();
  assert.equal(state.message, '');
});

test('what is asked for while it is under way is done once more', async () => {
  let [begun, go] = [0, () => {}];
  const action = latest(() => { begun += 1; return new Promise((done) => { go = done; }); });
  const all = action();
  await action();
  await action();
  assert.equal(begun, 1);
  go();
  await new Promise((done) => setTimeout(done));
  assert.equal(begun, 2);
  go();
  await all;
  assert.equal(begun, 2);
});

test('a queue keeps the order, whatever fails', async () => {
  const inTurn = queue(), done = [];
  const after = (ms, what) => () => new Promise((resolve, reject) => setTimeout(() => { done.push(what); what === 'b' ? reject(new Error('b')) : resolve(what); }, ms));
  const all = await Promise.allSettled([inTurn(after(20, 'a')), inTurn(after(1, 'b')), inTurn(after(1, 'c'))]);
  assert.deepEqual(done, ['a', 'b', 'c']);
  assert.deepEqual(all.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
});

test('a layer is read by how its kind is written, and written back', () => {
  const conv = 'conv CHANNELS [kernel K=3] [stride S=1] [padding P=K/2] [bias off] [identity]';
  for (const [usage, layer] of [
    [conv, 'conv 8'], [conv, 'conv 8 kernel 5 stride 2 bias off identity'], ['relu', 'relu'], ['linear OUTPUTS|classes [bias off]', 'linear classes bias off'],
    ['pool max|avg SIZE [stride S=SIZE]', 'pool avg 2 stride 1'], ['norm [scale off] [momentum M=0.1] [epsilon E=1e-5]', 'norm scale off momentum 0.4 epsilon 1e-12'],
  ]) assert.equal(textOf(layer.split(' ')[0], partsOf(usage, layer)), layer);
  const parts = partsOf(conv, 'conv 8');
  assert.deepEqual(parts.map(({ name, kind, default: value }) => `${name} ${kind} ${value ?? ''}`.trim()),
    ['channels value', 'kernel option 3', 'stride option 1', 'padding option K/2', 'bias off flag', 'identity flag']);
  assert.deepEqual(partsOf('pool max|avg SIZE [stride S=SIZE]', 'pool max 2')[0].choices, ['max', 'avg']);
  assert.equal(partsOf('residual [LAYERS]', 'residual [relu]'), undefined);
  assert.equal(partsOf(conv, 'conv 8 colour 3'), undefined, 'what is not understood is left as text');
});

test('a zip that was written is read again, by this page and by others', async () => {
  const entries = [['cats/1.png', 'first'], ['dogs/ä.png', 'second'.repeat(100)], ['empty', '']].map(([name, text]) => ({ name, blob: new Blob([text]) }));
  const zip = await writeZip(entries);
  const read = await readZip(zip, 'a.zip');
  assert.deepEqual(await Promise.all(read.map(async ({ name, blob }) => [name, await blob.text()])),
    await Promise.all(entries.map(async ({ name, blob }) => [name, await blob.text()])));
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926, 'the check value of CRC-32');
});

test('a zip file of others may be packed; one that is broken is refused', async () => {
  const bytes = new Uint8Array(await (await writeZip([{ name: 'a/b.png', blob: new Blob(['x'.repeat(50)]) }])).arrayBuffer());
  const refused = (changed, words) => assert.rejects(readZip(new Blob([changed]), 'a.zip'), words);
  await refused(new Uint8Array(0), /table of contents is missing/);
  await refused(bytes.slice(0, 40), /table of contents is missing/);
  await refused(bytes.slice(10), /is cut/);
  const at = bytes.findIndex((_, i) => new DataView(bytes.buffer).getUint32(Math.min(i, bytes.length - 4), true) === 0x02014b50);
  const other = (offset, value) => { const copy = bytes.slice(); copy[at + offset] = value; return copy; };
  await refused(other(8, 1), /is encrypted/);
  await refused(other(10, 99), /packed in a way \(99\)/);
  await refused(other(10, 8), /cannot be unpacked/);
  await refused(other(27, 0x7f), /unpacks to more than 400 MB/);
  for (let i = 0; i < 500; i++) { // whatever is changed: read, or refused with words
    const copy = bytes.slice();
    copy[Math.floor(Math.random() * copy.length)] ^= 1 << Math.floor(Math.random() * 8);
    await readZip(new Blob([copy]), 'a.zip').catch((error) => assert.match(error.message, /a\.zip|400 MB|b\.png/));
  }
});

/** An archive of files of these contents, with these options of `tar`. */
function packed(contents, pack, names = ['.']) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tar-'));
  try {
    for (const [name, text] of Object.entries(contents)) {
      mkdirSync(path.join(folder, path.dirname(name)), { recursive: true });
      writeFileSync(path.join(folder, name), text);
    }
    return new Blob([execFileSync('tar', [...pack, '-f', '-', ...names], { cwd: folder, maxBuffer: 1e8 })]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the files of an archive stream by, folders and odd files left out; one that is broken is refused', async () => {
  const deep = `${'deep/'.repeat(40)}d.bin`;
  const contents = { 'inner/a.bin': '', 'inner/b.bin': 'b'.repeat(512), 'c.bin': 'c'.repeat(70_000), [deep]: 'd' };
  const plainNames = Object.fromEntries(Object.entries(contents).map(([name, text]) => [path.basename(name), text]));
  const read = async (blob, name = 'some.tar', wanted = () => true) => {
    const found = {};
    for await (const { name: inside, length, pieces } of inTar(unzipped({ name, blob }), 'some.tar')) {
      assert.equal(length, plainNames[inside].length);
      if (!wanted(inside)) continue;
      found[inside] = '';
      for await (const bytes of pieces) found[inside] += new TextDecoder().decode(bytes);
    }
    return found;
  };
  for (const format of ['gnu', 'pax', 'ustar']) {
    assert.deepEqual(await read(packed(contents, ['-c', `--format=${format}`])), plainNames, format);
  }
  const [plain, zipped] = [packed(contents, ['-c']), packed(contents, ['-cz'])];
  assert.deepEqual(await read(zipped, 'some.tar.gz'), plainNames);
  assert.deepEqual(Object.keys(await read(plain, 'some.tar', (name) => name === 'c.bin')), ['c.bin'], 'what nobody reads is passed over');
  await assert.rejects(read(zipped.slice(0, 100), 'cut.tar.gz'), /cut\.tar\.gz is no gzip file, or is cut short/);
  await assert.rejects(read(zipped.slice(0, zipped.size - 8), 'cut.tar.gz'), /cut\.tar\.gz is no gzip file, or is cut short/);

  const bytes = new Uint8Array(await packed({ 'c.bin': plainNames['c.bin'] }, ['-c'], ['c.bin']).arrayBuffer());
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const whole = bytes.slice(0, Math.ceil(end / 512) * 512);
  assert.deepEqual(await read(new Blob([whole])), { 'c.bin': plainNames['c.bin'] }, 'without the empty blocks at its end');
  const changed = (at, byte) => bytes.map((old, i) => (i === at ? byte : old));
  for (const other of [whole.slice(0, -600), bytes.slice(0, 700), bytes.slice(1), new Uint8Array(0), changed(130, 57), changed(124, 45)]) {
    await assert.rejects(read(new Blob([other])), /some\.tar cannot be read to its end as an archive/);
  }
});

test('a device is given each file once, whatever the order, the packing and the doubles', async () => {
  const size = 1 << 20; // of a portion
  const [first, second] = ['1', '2'].map((byte) => byte.repeat(size + 5));
  const contents = { 'data_batch_2.bin': second, 'data_batch_1.bin': first, 'test_batch.bin': 'ttt' };
  const zip = (text) => new Response(new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))).blob();
  const device = () => {
    const given = { calls: [], files: {} };
    const ask = async (call, args, transfer = []) => {
      given.calls.push(call);
      const [names, second, count] = structuredClone(args, { transfer });
      if (call === 'begin_files') given.begun = names.map((name, i) => [name, second[i]]);
      if (call !== 'add_bytes') return { identity: call };
      given.files[names] = (given.files[names] ?? '') + new TextDecoder().decode(second.subarray(0, count));
      return second;
    };
    return { given, ask };
  };
  const archive = packed({ ...contents, 'data_batch_7.bin': 'x', '._data_batch_1.bin': 'x', 'readme.html': 'x' }, ['-cz']);
  const loose = Object.entries(contents).map(([name, text]) => ({ name, blob: new Blob([text]) }));
  const doubled = [...loose, { name: 'test_batch.bin.gz', blob: await zip('ttt') }];
  for (const files of [loose, doubled, [{ name: 'cifar.tar.gz', blob: archive }], [...loose, { name: 'cifar.tar.gz', blob: archive }]]) {
    const { given, ask } = device();
    assert.deepEqual(await sendFiles({ ask }, '', files), { identity: 'load_data' });
    assert.deepEqual(given.files, contents);
    assert.deepEqual(given.begun, [['data_batch_1.bin', size + 5], ['data_batch_2.bin', size + 5], ['test_batch.bin', 3]]);
    assert.deepEqual(given.calls, ['begin_files', ...Array(5).fill('add_bytes'), 'load_data'], 'in whole portions');
  }
  const { ask } = device();
  const nothing = [{ name: 'nothing.tar', blob: packed({ 'readme.html': 'x' }, ['-c']) }];
  await assert.rejects(sendFiles({ ask }, '', nothing), /nothing\.tar holds none of CIFAR-10's files/);
  const huge = ['a.bin', 'b.bin'].map((name) => ({ name, blob: { size: 300e6 } }));
  await assert.rejects(sendFiles({ ask }, '', huge), /more than 400 MB together/);
});

test('fields are in the order of the form, and a value is as one types it', () => {
  const schema = { properties: { b: { order: 2, option: 'b' }, a: { properties: { c: { order: 1, option: 'c' } } } } };
  assert.deepEqual(fieldsOf(schema).map(({ key }) => key), ['a.c', 'b']);
  assert.deepEqual([textAt({ a: { c: true } }, 'a.c'), textAt({ b: ['x', 'y'] }, 'b'), textAt({}, 'a.c')], ['on', 'x, y', '']);
});

test('every word that the page names is there, and none is left over', () => {
  const named = [...readFileSync(path.join(page, 'index.html'), 'utf8').matchAll(/data-(?:words|label|title)="(\w+)"/g)].map(([, key]) => key);
  assert.deepEqual([...new Set(named)].sort(), Object.keys(words.page).sort());
});

test('no script imports in a circle', () => {
  const imports = new Map(files.map((name) => [name, [...text(name).matchAll(/^import .*?'(\..*?)'/gms)]
    .map(([, from]) => path.normalize(path.join(path.dirname(name), from))).filter((from) => files.includes(from))]));
  const visit = (name, above) => {
    assert.ok(!above.includes(name), [...above, name].join(' -> '));
    for (const from of imports.get(name)) visit(from, [...above, name]);
  };
  for (const name of files) visit(name, []);
});

test('no line is longer than 120 characters', () => {
  for (const name of [...files, 'index.html', 'style.css']) {
    text(name).split('\n').forEach((line, i) => assert.ok(line.length <= 120, `${name}:${i + 1} has ${line.length}`));
  }
});
