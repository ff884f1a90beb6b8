// The page beside jax-js and TensorFlow.js, in one Chromium, on the same 4,000 digits, in turns:
//
//   cd benches/peers/web && npm install && node run.mjs PROGRAM [ROUNDS] [cpu|gpu]
//
// PROGRAM is a tinderbox whose page is built. Prints seconds of an epoch of training, medians of ROUNDS (5) after one to warm up, and
// milliseconds of one answer. `gpu` takes the adapter that the browser finds; CHROMIUM and CHROMIUM_ARGS say which browser.
// The peers train with plain SGD and keep no running statistics, which is less work than the page does.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { chromium } from "playwright-core";
import { median, serve } from "./page.mjs";

const [program, rounds = "5", where = "cpu"] = process.argv.slice(2);
const here = import.meta.dirname;
const args = ["--no-sandbox", "--enable-unsafe-webgpu", ...(process.env.CHROMIUM_ARGS ?? "").split(" ").filter(Boolean)];
const digits = path.join(here, "../../../data/mnist-sample");
const types = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };
const host = createServer((request, response) => {
  const name = new URL(request.url, "http://x").pathname;
  const file = name.startsWith("/data/") ? path.join(digits, name.slice(6)) : path.join(here, name);
  if (!existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": types[name.split(".").pop()] ?? "application/octet-stream" });
  response.end(readFileSync(file));
});
await new Promise((done) => host.listen(0, "127.0.0.1", done));
const { server, url } = await serve(program);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
/** What takes so many seconds for an epoch is measured once, not in every round. */
const SLOW = 20;
/** What has not ended its first epoch after so many seconds is given up. */
const HOPELESS = 300;
const inTime = (promise) => {
  const late = new Promise((_, failed) => setTimeout(() => failed(new Error(`no epoch in ${HOPELESS} s`)), HOPELESS * 1000).unref());
  return Promise.race([promise, late]);
};

/** The page with a network: one epoch of training, and one answer. */
async function ours(network, batch) {
  const page = await browser.newPage();
  const preset = network === "cnn" ? "mnist-cnn" : "linear_v1-bn-ce";
  await page.goto(`${url}#device=${where === "gpu" ? "webgpu" : "cpu"}&preset=${preset}`);
  await page.waitForFunction((badge) => badge.test(document.getElementById("badge").textContent) && !document.getElementById("start").disabled,
    where === "gpu" ? /WebGPU ·/ : /^CPU/, { timeout: 300_000 });
  return {
    // A run begins with steps that are compiled and recorded, so the last of three epochs is taken; the first in all says the rest.
    epoch: () => page.evaluate(async (batch) => {
      const { ask, chosenRecipe } = globalThis.tinderboxTest;
      const epochs = await ask("train", [{ ...await chosenRecipe(), batch_size: batch, epochs: 3 }, false]);
      const { images_per_second: rate, train_loss: loss } = globalThis.isWarm ? epochs.at(-1) : epochs[0];
      globalThis.isWarm = true;
      return { seconds: 4000 / rate, loss };
    }, batch),
    one: () => page.evaluate(async () => {
      const { ask } = globalThis.tinderboxTest;
      const seen = await ask("test_image", [0]);
      const { answers } = await ask("ask", [[784], { rgba: new ArrayBuffer(4), width: 1, height: 1, seen }]);
      return answers[0].milliseconds;
    }),
    close: () => page.close(),
  };
}

/** Another library's. */
async function theirs(library, device, network, batch) {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${host.address().port}/peers.html`);
  await page.waitForFunction(() => globalThis.isReady);
  await page.evaluate(([library, network, device]) => globalThis.begin(library, network, device), [library, network, device]);
  return { epoch: () => page.evaluate((batch) => globalThis.epoch(batch), batch), one: () => page.evaluate(() => globalThis.one()), close: () => page.close() };
}

const devices = where === "gpu" ? [["jax", "webgpu"], ["tf", "webgpu"], ["tf", "webgl"]] : [["jax", "wasm"], ["tf", "wasm"]];
console.log("| network, batch | | s/epoch, first | s/epoch | train loss | ms for one image |\n|---|---|---|---|---|---|");
for (const [network, batch] of [["linear_v1", 500], ["linear_v1", 100], ["cnn", 100]]) {
  const all = [["tinderbox", () => ours(network, batch)], ...devices.map(([library, device]) => [`${library} ${device}`, () => theirs(library, device, network, batch)])];
  const open = [];
  for (const [name, begin] of all) {
    try {
      const it = await begin();
      open.push({ name, it, first: await inTime(it.epoch()), epochs: [], ones: [] });
    } catch (error) {
      console.log(`| ${network}, ${batch} | ${name} | cannot: ${error.message.split("\n")[0].slice(0, 160)} | | | |`);
    }
  }
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const { it, first, epochs } of open) if (!round || first.seconds < SLOW) epochs.push(await it.epoch());
  }
  for (let round = 0; round < 20; round += 1) for (const { it, ones } of open) ones.push(await it.one());
  for (const { name, it, first, epochs, ones } of open) {
    const numbers = [first.seconds.toFixed(3), median(epochs.map(({ seconds }) => seconds)).toFixed(3), epochs.at(-1).loss.toFixed(3), median(ones).toFixed(2)];
    console.log(`| ${network}, ${batch} | ${name} | ${numbers.join(" | ")} |`);
    await it.close();
  }
}
await browser.close();
server.kill();
host.close();
