// Keeps the page for when there is no network. It is a service worker: it answers what the page asks the site for.
//
// `version.json` names all files of the site, and has another version whenever one of them was changed. A page that is
// opened is given what is kept if the site still has that version, or cannot be reached; else it comes from the site.

/** @typedef {{ version: string, files: string[], isGone?: false } | { isGone: true }} Found */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const NAME = 'tinderbox ';
const PATIENCE = 2000; // milliseconds that a site may take to tell its version

/** The version of the site; nothing where it cannot be reached. @returns {Promise<Found | undefined>} */
async function siteVersion() {
  try {
    const response = await fetch('version.json', { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
    if (response.status === 404) return { isGone: true }; // something else is at this address by now
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}

const keptNames = async () => (await caches.keys()).filter((name) => name.startsWith(NAME));
/** Put last into what is kept of a version: without it the version is not whole. */
const WHOLE = 'whole';

/** The name under which the newest whole version is kept. */
async function keptName() {
  for (const name of (await keptNames()).reverse()) if (await caches.match(WHOLE, { cacheName: name })) return name;
  return undefined;
}

/** The program for WebGPU is of no use where there is none. */
const isOfUse = (/** @type {string} */ file) => 'gpu' in navigator || !file.startsWith('pkg/tinderbox_web');

/** Keeps all files of a version, and then none of any other. @param {{ version: string, files: string[] }} of */
async function keep({ version, files }) {
  const cache = await caches.open(NAME + version);
  const get = async (/** @type {string} */ file) => {
    const response = await fetch(file, { cache: 'no-cache' });
    if (!response.ok) throw new Error(`${file}: ${response.status}`);
    // An answer that was redirected cannot open a page.
    const { body, headers, redirected } = response;
    await cache.put(file, redirected ? new Response(body, { headers }) : response);
  };
  try {
    await Promise.all(files.filter(isOfUse).map(get));
    await cache.put(WHOLE, new Response(''));
  } catch (error) {
    // all or nothing
    await caches.delete(NAME + version);
    throw error;
  }
  for (const name of await keptNames()) if (name !== NAME + version) await caches.delete(name);
}

worker.addEventListener('install', (event) => {
  worker.skipWaiting();
  event.waitUntil(siteVersion().then((found) => (found && !found.isGone ? keep(found) : undefined)));
});
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));

/** Whether pages are given what the site has, since that is newer than what is kept. */
let isOld = false;

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin || url.pathname.endsWith('version.json')) return;
  event.respondWith(
    (async () => {
      if (request.mode === 'navigate') {
        const found = await siteVersion();
        if (found?.isGone) {
          await worker.registration.unregister();
          for (const name of await keptNames()) await caches.delete(name);
          return fetch(request);
        }
        isOld = found !== undefined && (await keptName()) !== NAME + found.version;
        if (found && isOld) event.waitUntil(keep(found).catch(() => {}));
      }
      const file = url.pathname.endsWith('/') ? new URL('index.html', url).href : url.href;
      const name = isOld ? undefined : await keptName();
      const kept = name ? await caches.match(file, { cacheName: name, ignoreSearch: true }) : undefined;
      return kept ?? fetch(request);
    })(),
  );
});
