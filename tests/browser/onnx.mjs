// An exported ONNX file in onnxruntime-web in headless Chromium, against `tinderbox predict`:
// node tests/browser/onnx.mjs TINDERBOX RUN
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [program, run] = process.argv.slice(2);
const work = mkdtempSync(path.join(tmpdir(), "tinderbox-onnx-"));
const model = path.join(work, "model.onnx"), image = path.join(work, "digit.png");
execFileSync(program, ["export", run, "--to", "onnx", "--out", model]);
const runtime = fileURLToPath(new URL("node_modules/onnxruntime-web/dist/", import.meta.url));
const types = { ".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
const host = createServer((request, response) => {
  const name = path.basename(request.url.split("?")[0]);
  const file = name === "model.onnx" ? model : path.join(runtime, name);
  try {
    const body = name ? readFileSync(file) : "<!doctype html><title>onnx</title>";
    response.writeHead(200, { "content-type": types[path.extname(name) || ".html"] ?? "application/octet-stream" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((done) => host.listen(0, "127.0.0.1", done));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--no-proxy-server"] });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${host.address().port}/`);
  // A digit of 28x28 with a black border, which `predict` does not change.
  const { png, probabilities } = await page.evaluate(async () => {
    const ort = await import("/ort.wasm.min.mjs");
    ort.env.wasm.numThreads = 1;
    const canvas = new OffscreenCanvas(28, 28), context = canvas.getContext("2d");
    context.fillRect(0, 0, 28, 28);
    context.fillStyle = "#fff";
    context.fillRect(12, 5, 4, 18);
    context.fillRect(9, 7, 4, 3);
    const { data } = context.getImageData(0, 0, 28, 28);
    const pixels = Float32Array.from({ length: 784 }, (_, i) => data[4 * i] / 255);
    const session = await ort.InferenceSession.create("/model.onnx", { executionProviders: ["wasm"] });
    const { logits } = await session.run({ images: new ort.Tensor("float32", pixels, [1, 1, 28, 28]) });
    const powers = [...logits.data].map((logit) => Math.exp(logit - Math.max(...logits.data)));
    const sum = powers.reduce((a, b) => a + b);
    const bytes = [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    return { png: bytes, probabilities: powers.map((power) => power / sum) };
  });
  writeFileSync(image, Buffer.from(png));
  const [{ top }] = JSON.parse(execFileSync(program, ["predict", run, image, "--top", "10", "--json", "--device", "cpu"]));
  const largest = Math.max(...top.map(({ class: name, probability }) => Math.abs(probability - probabilities[Number(name)])));
  assert.ok(top.length === 10 && largest < 1e-5, `the largest difference of a probability is ${largest}`);
  console.log(`ok onnxruntime-web answers as tinderbox does, within ${largest.toExponential(1)}`);
} finally {
  await browser.close();
  host.close();
}
