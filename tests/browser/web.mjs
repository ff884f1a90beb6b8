// The page in headless Chromium: node tests/browser/web.mjs TINDERBOX RUN [SCREENSHOTS]
// RUN is a finished run on mnist-sample, whose weights `tinderbox serve` hands to the page. Without an adapter the page
// must do everything on the CPU; with SwiftShader as WebGPU adapter, the same after it was compared with the CPU.
// TINDERBOX_TEST_DATA=DIR has the real CIFAR-10; TINDERBOX_TEST_LONG=1 waits for all of the benchmark on WebGPU. ONLY=words runs the checks that have the words in their names.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const [program, run, screenshots] = process.argv.slice(2);
const work = mkdtempSync(path.join(tmpdir(), "tinderbox-web-"));
const runs = path.join(work, "runs");
const env = { ...process.env, TINDERBOX_DATA: process.env.TINDERBOX_TEST_DATA ?? "" };
const server = spawn(program, ["serve", run, "--port", "0", "--out", runs], { stdio: ["ignore", "pipe", "inherit"], env });
const url = await new Promise((found, failed) => {
  server.stdout.on("data", (data) => found(/http:\S+/.exec(data)[0]));
  server.on("exit", (code) => failed(new Error(`serve ended with ${code}`)));
});
const plain = ["--no-sandbox", "--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--no-first-run"];
// The last four let a software adapter present to a canvas; without them the device is lost at the first drawing.
const webgpu = [...plain, "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader",
  "--use-angle=swiftshader", "--use-vulkan=swiftshader", "--enable-features=Vulkan"];
let passed = 0;

async function withPage(args, options, test) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
  try {
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, ...options });
    const troubles = [];
    page.on("pageerror", (error) => troubles.push(error.message));
    page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
    page.on("request", (request) => {
      if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) troubles.push(`request to ${request.url()}`);
    });
    await test(page, troubles);
    assert.deepEqual(troubles, []);
  } finally {
    await browser.close();
  }
}

async function check(name, args, options, test) {
  if (process.env.ONLY && !name.includes(process.env.ONLY)) return;
  const start = Date.now();
  await withPage(args, options, test);
  console.log(`ok ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  passed += 1;
}

const ready = async (page, hash = "", timeout = 60_000) => {
  await page.goto(`${url}${hash}`);
  await page.waitForFunction(() => !document.getElementById("start").disabled, null, { timeout });
};
const text = (page, id) => page.locator(`#${id}`).innerText();
const unfold = (page, words) => page.locator("details", { has: page.locator("summary", { hasText: words }) }).evaluate((details) => { details.open = true; });
const shot = async (page, name) => screenshots && page.screenshot({ path: path.join(screenshots, `web-${name}.png`), fullPage: true });
// A field of the recipe, by the name of its option.
const field = (page, option) => page.locator(`.form [name="${option}"]`);
const refusal = (page, option, words) => page.locator(`#${option}-refusal`, { hasText: words });
async function fill(page, values) {
  for (const [option, value] of Object.entries(values)) {
    await field(page, option).fill(String(value));
    await field(page, option).dispatchEvent("change");
  }
}
const percent = (words) => Number(/([\d.]+) %/.exec(words)[1]);

// The weights at hand, as a file: its path and its metadata.
async function saved(page, name) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#save").dispatchEvent("click")]);
  const file = path.join(work, name);
  await download.saveAs(file);
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
  return { file, header };
}

async function train(page, timeout = 60_000) {
  await page.evaluate(() => { document.getElementById("progress").textContent = ""; }); // what it says of an earlier run
  await page.click("#start");
  await page.waitForFunction(() => /^epoch (\d+) of \1:/.test(document.getElementById("progress").textContent), null, { timeout });
  await page.waitForFunction(() => !document.getElementById("start").disabled, null, { timeout });
  await page.waitForFunction(() => document.getElementById("accuracy").textContent.includes("%"), null, { timeout }); // of what was trained
}

// A GPU takes over when it was tested, and has all that the page has.
async function webgpuReady(page, timeout) {
  await page.waitForFunction(() => /WebGPU ·/.test(document.getElementById("badge").textContent), null, { timeout });
  await page.waitForFunction(() => !document.getElementById("start").disabled, null, { timeout });
}

// A one, drawn by hand.
async function stroke(page) {
  const box = await page.locator("#pad").boundingBox();
  await page.mouse.move(box.x + 150, box.y + 45);
  await page.mouse.down();
  await page.mouse.move(box.x + 135, box.y + 235, { steps: 12 });
  await page.mouse.up();
}

async function draw(page) {
  await page.click("#clear");
  await stroke(page);
  await page.waitForFunction(() => document.querySelectorAll("#answers li").length === 10);
  // It is asked while it is drawn: the last answer is that to all of it.
  await page.waitForFunction(() => document.getElementById("answer").textContent.startsWith("1, "));
}

async function everything(page, { epochs, timeout }) {
  assert.equal(await page.locator("#captions li").count(), 60);
  await page.waitForFunction(() => document.querySelector("#screen canvas").width > 500); // shown a frame after it is drawn
  await page.click("#classify");
  await page.waitForFunction(() => document.getElementById("accuracy").textContent.includes("%"), null, { timeout });
  assert.ok(percent(await text(page, "accuracy")) > 85, await text(page, "accuracy"));
  await page.waitForFunction(() => document.querySelectorAll("#captions .right").length > 40); // drawn after it is said
  await page.selectOption("#filter", "3");
  await page.waitForFunction(() => [...document.querySelectorAll("#captions li")].every((li) => li.textContent.startsWith("3")));
  await draw(page);
  assert.match(await text(page, "answer"), /^1, /);
  await page.click("#undo");
  await page.waitForFunction(() => !document.querySelector("#answers li"));
  if (!epochs) return;

  await fill(page, { epochs });
  await page.dblclick("#start"); // the second click finds the button disabled
  await page.waitForFunction(() => document.getElementById("progress").textContent.startsWith("epoch"), null, { timeout });
  await page.waitForFunction((n) => document.getElementById("progress").textContent.startsWith(`epoch ${n} of ${n}`), epochs, { timeout });
  await page.waitForFunction(() => !document.getElementById("start").disabled, null, { timeout });
  assert.match(await text(page, "model-about"), /linear_v1 with batch normalization/);
  assert.match(await page.locator("#models option:checked").innerText(), /trained here/);
  await page.locator("#runs-rows tr", { hasText: "trained here" }).waitFor();
}

try {
  await check("the CPU, without an adapter", plain, {}, async (page) => {
    const start = Date.now();
    await ready(page);
    await draw(page);
    console.log(`  first answer after ${((Date.now() - start) / 1000).toFixed(2)} s, ${await page.locator(".latency").innerText()}`);
    assert.equal(await text(page, "badge"), "CPU · WebGPU finds no adapter");
    assert.match(await text(page, "data-about"), /drawn by the CPU/);
    await page.evaluate(() => {
      globalThis.longest = 0;
      new PerformanceObserver((list) => list.getEntries().forEach((e) => (globalThis.longest = Math.max(globalThis.longest, e.duration))))
        .observe({ type: "longtask", buffered: false });
    });
    await everything(page, { epochs: 3, timeout: 60_000 });
    console.log(`  ${await text(page, "progress")}; longest task of the page ${await page.evaluate(() => globalThis.longest)} ms`);
    assert.ok(percent(/accuracy.*/.exec(await text(page, "progress"))[0]) > 88);
    await shot(page, "cpu");

    // The weights can be taken home.
    const { file: weights, header } = await saved(page, "weights.safetensors");
    assert.ok("1.weight" in header, Object.keys(header).join(" "));
    // Natively they are as good as the page says.
    const measured = JSON.parse(execFileSync(program, ["evaluate", weights, "--json", "--device", "cpu"]));
    assert.equal(measured.accuracy.toFixed(2), percent(await text(page, "accuracy")).toFixed(2));
    // And back into the page.
    await page.setInputFiles("#file", weights);
    await page.waitForFunction(() => document.querySelector("#models option:checked").textContent === "weights.safetensors");
    // So do those of the site, whose hash was of another file.
    await page.selectOption("#models", "0");
    await page.waitForFunction(() => document.getElementById("model-about").textContent.length > 0);
    await page.waitForTimeout(300);
    const { file: site } = await saved(page, "site.safetensors");
    await page.setInputFiles("#file", site);
    await page.waitForFunction(() => document.querySelector("#models option:checked").textContent === "site.safetensors");
    assert.equal(await page.locator("#message").isVisible(), false, await text(page, "message"));
  });

  await check("steering a run", plain, {}, async (page) => {
    await ready(page, "#epochs=500&batch=50&seed=7");
    assert.equal(await field(page, "seed").inputValue(), "7");
    await page.click("#start");
    await page.waitForFunction(() => document.getElementById("progress").textContent.startsWith("epoch"));
    await page.click("#pause");
    await page.waitForTimeout(300);
    const paused = await text(page, "progress");
    await page.waitForTimeout(500);
    assert.equal(await text(page, "progress"), paused, "a paused run stands still");
    await page.click("#step");
    await fill(page, { lr: 0.01 });
    await page.click("#pause");
    await page.waitForFunction((before) => document.getElementById("progress").textContent !== before, paused);
    assert.ok(await field(page, "batch").isDisabled() && await field(page, "lr").isEnabled(), "what a run was begun with stays");
    await page.click("#stop");
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    assert.match(await text(page, "progress"), /^stopped after epoch \d+ of 500; |^Stopped before the first epoch ended/);
    assert.match(new URL(page.url()).hash, /lr=0.01.*seed=7/);
    assert.equal(await page.locator("#message").isVisible(), false);
  });

  await check("the same weights, the same answer natively", plain, {}, async (page) => {
    await ready(page);
    // A digit of 28x28 with a black border, which neither side changes.
    const png = await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(28, 28);
      const context = canvas.getContext("2d");
      context.fillRect(0, 0, 28, 28);
      context.fillStyle = "#fff";
      context.fillRect(12, 5, 4, 18);
      context.fillRect(9, 7, 4, 3);
      return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    });
    const image = path.join(work, "digit.png");
    writeFileSync(image, Buffer.from(png));
    const said = JSON.parse(execFileSync(program, ["predict", run, image, "--top", "10", "--json", "--device", "cpu"]));
    await page.setInputFiles("#file", image);
    await page.waitForFunction(() => document.querySelectorAll("#answers meter").length === 10);
    const found = await page.locator("#answers meter").evaluateAll((meters) => meters.map((meter) => meter.value));
    for (const { class: name, probability } of said[0].top) {
      assert.ok(Math.abs(found[Number(name)] - probability) < 1e-4, `${name}: ${found[Number(name)]} ${probability}`);
    }
  });

  await check("files that are none of ours", plain, {}, async (page) => {
    await ready(page);
    const refused = async (name, bytes, expected) => {
      const file = path.join(work, name);
      writeFileSync(file, bytes);
      await page.setInputFiles("#file", file);
      await page.waitForFunction((words) => document.getElementById("message").textContent.includes(words), expected);
    };
    await refused("bad.safetensors", Buffer.alloc(100, 255), "is no safetensors file");
    await refused("short.safetensors", Buffer.alloc(3), "is no safetensors file");
    const header = Buffer.from(JSON.stringify({ __metadata__: { other: "program" } }));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(header.length));
    await refused("foreign.safetensors", Buffer.concat([size, header]), "does not say which network");
    const weights = readFileSync(path.join(run, "weights.safetensors"));
    await refused("cut.safetensors", weights.subarray(0, weights.length / 2), "file not fully covered");
    await refused("NRUB.burnpack", Buffer.concat([Buffer.from("NRUB"), Buffer.alloc(100, 255)]), "is no burnpack file");
    await refused("t10k-images-idx3-ubyte.gz", Buffer.from("no gzip"), "is no gzip file, or is cut short");
    await refused("t10k-images-idx3-ubyte", Buffer.alloc(100), "there is no train-images-idx3-ubyte among these files");
    await refused("data_batch_1.bin", Buffer.alloc(3073), "there is no test_batch.bin among these files");
    await refused("cifar-10-binary.tar", Buffer.alloc(5000, 1), "cannot be read to its end as an archive");
    const file = path.join(work, "huge.safetensors"); // sparse
    writeFileSync(file, "");
    truncateSync(file, 300e6);
    await page.setInputFiles("#file", file);
    await page.waitForFunction(() => document.getElementById("message").textContent.includes("at most 256 MB"));
    await refused("picture.png", Buffer.from("this is no picture"), "is no image that this browser can read");
    await refused("notes.txt", Buffer.from("hello"), "expected an image, weights");
    await draw(page);
    assert.match(await text(page, "answer"), /^1, /, "the page is still usable");
    await field(page, "batch").fill("1");
    await page.click("#start");
    await page.waitForFunction(() => /batch/.test(document.getElementById("message").textContent));
    assert.equal(await page.locator("#start").isDisabled(), false);
  });

  await check("the server's answers", plain, {}, async (page, troubles) => {
    const get = (file, options) => fetch(url + file, options);
    const index = await get("");
    assert.match(index.headers.get("content-security-policy"), /default-src 'self'; script-src 'self' 'wasm-unsafe-eval'/);
    assert.equal((await get("pkg/tinderbox_web_bg.wasm")).headers.get("content-type"), "application/wasm");
    for (const file of ["../Cargo.toml", "%2e%2e/Cargo.toml", "models/../../Cargo.toml", "nothing", "//etc/passwd"]) {
      assert.equal((await get(file)).status, 404, file);
    }
    assert.equal((await get("", { method: "POST" })).status, 405);
    // A browser keeps to the policy: a script that somebody brings into the page does not run.
    await ready(page);
    await page.evaluate(() => document.body.append(Object.assign(document.createElement("script"), { textContent: "globalThis.brought = true" })));
    assert.equal(await page.evaluate(() => "brought" in globalThis), false);
    assert.match(troubles.splice(0).join("\n"), /^Executing inline script violates.*Content Security Policy[^\n]*$/);
  });

  await check("settings that make no sense", plain, {}, async (page) => {
    const nonsense = "model=foo&lr=abc&shuffle=x&width=0.125&device=foo&beside=nothing&main=nothing&loss=&colour=red";
    await ready(page, `#preset=cifar10-vgg11&${nonsense}&epochs=2`); // for other data
    await page.waitForFunction(() => document.getElementById("message").textContent.includes("The recipe cifar10-vgg11 is for CIFAR-10"));
    assert.equal(await page.inputValue("#preset"), "linear_v1-bn-ce");
    const values = async (...options) => Promise.all(options.map((option) => field(page, option).inputValue()));
    assert.deepEqual(await values("lr", "model", "epochs"), ["0.1", "linear_v1", "10"]);
    assert.equal(await field(page, "width").isVisible(), false);
    await page.goto("about:blank");
    await ready(page, `#preset=linear_v1-bn-ce&${nonsense}&epochs=2&momentum=0.5`);
    await page.waitForFunction(() => document.getElementById("message").textContent.includes('names the network "nothing"'));
    assert.deepEqual(await values("lr", "model", "epochs", "momentum", "loss"), ["0.1", "linear_v1", "2", "0.5", "ce"], "what can be is kept");
    await page.click("#shuffle");
    await unfold(page, "Choose a known network");
    await field(page, "model").selectOption("linear_v0");
    await field(page, "epochs").fill("1");
    await train(page);
    assert.match(await text(page, "model-about"), /^linear_v0, /);
    assert.equal(await page.locator("#message").isVisible(), false, await text(page, "message"));
  });

  await check("the form of the recipe", plain, {}, async (page) => {
    await ready(page);
    await unfold(page, "More of the recipe");
    await unfold(page, "Choose a known network");
    const visible = () => page.locator(".form [name]:visible").evaluateAll((controls) => controls.map(({ name }) => name));
    const values = () => page.locator(".form [name]:visible").evaluateAll((controls) => controls.map(({ name, value }) => `${name} ${value}`));
    const all = ["batch", "epochs", "lr", "seed", "loss", "label-smoothing", "schedule", "optimizer", "momentum", "nesterov", "weight-decay",
      "norm-rate", "whitening-epochs", "lookahead", "augment", "tta", "fraction", "patience", "convolution", "model", "batch-norm"];
    assert.deepEqual(await visible(), all);
    // What depends on a choice follows it.
    await field(page, "optimizer").selectOption("adamw");
    await field(page, "momentum").waitFor({ state: "hidden" });
    assert.deepEqual(await visible(), all.filter((option) => !["momentum", "nesterov", "norm-rate"].includes(option)));
    assert.deepEqual([await field(page, "lr").inputValue(), await field(page, "weight-decay").inputValue()], ["0.001", "0.01"]);
    await field(page, "loss").selectOption("mse");
    await field(page, "label-smoothing").waitFor({ state: "hidden" });
    // What cannot be is said at the field, and nothing trains.
    await fill(page, { schedule: "step:0:2" });
    await refusal(page, "schedule", "step").waitFor();
    await fill(page, { patience: 3 }); // which leaves it as it is
    assert.equal(await field(page, "schedule").inputValue(), "step:0:2");
    await page.click("#start");
    await page.locator("#message", { hasText: "step" }).waitFor();
    await fill(page, { schedule: "step:2:0.5", lr: 0.1 });
    await page.waitForFunction(() => !document.querySelector(".refusal:not(:empty)"));
    await fill(page, { patience: "", epochs: "" });
    await refusal(page, "epochs", "epochs: ").waitFor();
    await fill(page, { epochs: 7 });
    await page.waitForFunction(() => location.hash.includes("epochs=7"));
    // A link has all of it: also a learning rate that is again the preset's, and not that of another optimizer.
    assert.doesNotMatch(new URL(page.url()).hash, /patience|momentum/);
    const before = await values();
    assert.ok(["lr 0.1", "schedule step:2:0.5", "optimizer adamw", "epochs 7", "loss mse", "patience "].every((value) => before.includes(value)), before.join(", "));
    await page.reload();
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    await unfold(page, "More of the recipe");
    await unfold(page, "Choose a known network");
    assert.deepEqual(await values(), before);
    // Another preset is all new.
    await page.selectOption("#preset", "linear_v0-mse");
    await field(page, "batch-norm").waitFor({ state: "hidden" });
    assert.deepEqual([await field(page, "optimizer").inputValue(), await field(page, "epochs").inputValue()], ["sgd", "10"]);
    assert.equal(new URL(page.url()).hash, "#preset=linear_v0-mse");
  });

  await check("a network of own layers", plain, {}, async (page) => {
    await ready(page, "#epochs=2");
    await unfold(page, "Choose a known network");
    assert.equal(await field(page, "layers").isVisible(), false);
    await field(page, "model").selectOption({ label: "own layers" });
    await field(page, "layers").waitFor();
    assert.equal(await field(page, "layers").inputValue(), "flatten, linear 128, norm, relu, linear 64, norm, relu, linear classes", "to begin with, those at hand");
    assert.equal(await field(page, "batch-norm").isVisible(), false);
    await fill(page, { layers: "conv 4, relux, flatten, linear classes" });
    await refusal(page, "layers", "Did you mean 'relu'?").waitFor();
    const layers = "conv 4, norm, relu, pool max 2, flatten, linear classes";
    await fill(page, { layers });
    await page.waitForFunction(() => document.querySelectorAll("#layers li").length === 6);
    await train(page);
    assert.ok((await text(page, "model-about")).startsWith(`own layers (${layers}), trained with cross-entropy; `), await text(page, "model-about"));
    await shot(page, "own-layers");
    const { file, header } = await saved(page, "own-layers.safetensors");
    assert.ok("0.weight" in header && "5.weight" in header, Object.keys(header).join(" "));
    const measured = JSON.parse(execFileSync(program, ["evaluate", file, "--dataset", "mnist-sample", "--json", "--device", "cpu"]));
    assert.equal(measured.accuracy.toFixed(2), percent(await text(page, "accuracy")).toFixed(2));
    assert.ok(measured.accuracy > 70, String(measured.accuracy));
    await page.reload(); // the address has the layers
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    await unfold(page, "Choose a known network");
    assert.equal(await field(page, "layers").inputValue(), layers);
    await field(page, "model").selectOption("linear_v1"); // and back to the catalogue
    await field(page, "layers").waitFor({ state: "hidden" });
    assert.equal(await field(page, "batch-norm").inputValue(), "on");
  });

  await check("a network put together of blocks", plain, {}, async (page) => {
    await ready(page, "#preset=linear_v0-mse");
    const blocks = () => page.locator("#layers .open b").allInnerTexts();
    const become = (...expected) => page.waitForFunction((expected) =>
      [...document.querySelectorAll("#layers .open b")].map(({ textContent }) => textContent).join() === expected.join(), expected);
    await become("flatten", "linear classes");
    assert.match(await text(page, "network-about"), /2 layers, 7,850 parameters/);
    await page.selectOption("#add-layer", await page.locator("#add-layer option", { hasText: /^conv –/ }).getAttribute("value")); // before the last one, where it does not fit
    await become("flatten", "conv 16", "linear classes");
    await page.locator("#layers .refusal", { hasText: "layer 2, `conv 16`, gets 784 and needs maps" }).waitFor();
    await page.click("#start");
    await page.locator("#message", { hasText: "needs maps" }).waitFor();
    await page.getByRole("button", { name: "Move conv 16 up" }).click();
    await become("conv 16", "flatten", "linear classes");
    await page.waitForFunction(() => !document.querySelector("#layers .refusal"));
    assert.match(await page.locator("#layers li").first().innerText(), /→ 16×28×28, 160 parameters/);
    // The open block has a control for each part of a convolution.
    const editor = page.locator("#layers .editor");
    await editor.locator("label", { hasText: "channels" }).locator("input").fill("4");
    await editor.locator("label", { hasText: "channels" }).locator("input").blur();
    await become("conv 4", "flatten", "linear classes");
    await editor.locator("label", { hasText: "stride" }).locator("input").fill("2");
    await editor.locator("label", { hasText: "stride" }).locator("input").blur();
    await become("conv 4 stride 2", "flatten", "linear classes");
    await editor.locator("label", { hasText: "kernel" }).locator("input").fill("99");
    await editor.locator("label", { hasText: "kernel" }).locator("input").blur();
    await page.locator("#layers .refusal", { hasText: "kernel" }).waitFor();
    await editor.locator("label", { hasText: "kernel" }).locator("input").fill("");
    await editor.locator("label", { hasText: "kernel" }).locator("input").blur();
    await page.waitForFunction(() => !document.querySelector("#layers .refusal"));
    // By drag, and by the keyboard.
    await page.selectOption("#add-layer", "relu");
    await become("conv 4 stride 2", "relu", "flatten", "linear classes");
    await page.locator("#layers li").nth(1).dragTo(page.locator("#layers li").nth(2));
    await become("conv 4 stride 2", "flatten", "relu", "linear classes");
    await page.locator("#layers .open").nth(2).focus();
    await page.keyboard.press("Alt+ArrowUp");
    await become("conv 4 stride 2", "relu", "flatten", "linear classes");
    await page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).get("layers") === "conv 4 stride 2, relu, flatten, linear classes");
    await shot(page, "blocks");
    await fill(page, { epochs: 2 });
    await train(page);
    assert.match(await text(page, "progress"), /; done$/);
    assert.match(await text(page, "model-about"), /^own layers \(conv 4 stride 2, relu, flatten, linear classes\)/);
    await page.getByRole("button", { name: "Remove relu" }).click();
    await become("conv 4 stride 2", "flatten", "linear classes");
    // From nothing, by what is advised: the block that was added stays the open one, and the classes come last.
    await page.click("#empty-layers");
    await page.selectOption("#add-layer", "linear 64");
    await page.getByRole("button", { name: "Put flatten here" }).click();
    await become("flatten", "linear 64");
    assert.equal(await page.locator("#add-layer option").first().innerText(), "add a layer behind linear 64 …");
    await page.selectOption("#add-layer", "relu");
    await page.selectOption("#add-layer", "linear classes");
    await become("flatten", "linear 64", "relu", "linear classes");
  });

  await check("what it takes for what, and what it sees", plain, {}, async (page) => {
    await ready(page, "#preset=mnist-cnn&epochs=2");
    await train(page, 120_000);
    await page.locator("#confusion-table tbody tr").nth(9).waitFor();
    const counts = await page.locator("#confusion-table button").allInnerTexts();
    assert.equal(counts.reduce((sum, n) => sum + Number(n), 0), 1000, "every test image once");
    await page.locator("#confusion-table .wrong").first().click();
    await page.locator("#cell-title", { hasText: "taken for" }).waitFor();
    await page.locator("#cell .picture").first().click(); // which asks about it
    await page.waitForFunction(() => document.querySelectorAll("#answers li").length === 10);
    const said = /→ (\d), (\d+) %/.exec(await page.locator("#cell .picture").first().innerText());
    await page.waitForFunction(([name, sure]) => new RegExp(`^${name}, ${sure}`).test(document.getElementById("answer").textContent.replace(/\.\d/, "")) ||
      document.getElementById("answer").textContent.startsWith(`${name}, `), [said[1], said[2]]);
    const stages = await page.locator("#stages b").allInnerTexts();
    assert.deepEqual(stages, ["Weights of the first layer", "conv 16, norm, relu", "pool max 2", "conv 32, norm, relu", "pool max 2", "flatten, linear 10"]);
    await page.waitForFunction(() => document.querySelectorAll("#stages canvas")[1].width > 400);
    const light = await page.locator("#stages canvas").evaluateAll((canvases) => canvases.map((canvas) => {
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value, i) => i % 4 === 0 && value > 200);
    }));
    assert.ok(light.every(Boolean), `every canvas shows something: ${light}`);
    await shot(page, "inside");
  });

  await check("pictures of one's own", plain, {}, async (page) => {
    await ready(page);
    await unfold(page, "Pictures of your own");
    // Discs and bars of any colour and place: a zip of a folder a class, packed as others pack it.
    const made = path.join(work, "shapes");
    execFileSync(process.env.TINDERBOX_TEST_PYTHON ?? "python3", ["-c", `
import os, random, sys, zipfile
from PIL import Image, ImageDraw
random.seed(1)
root = sys.argv[1]
with zipfile.ZipFile(root + ".zip", "w", zipfile.ZIP_DEFLATED) as z:
    for kind in ("bar", "disc"):
        os.makedirs(f"{root}/{kind}", exist_ok=True)
        for i in range(30):
            image = Image.new("RGB", (64, 48), tuple(random.randrange(60) for _ in range(3)))
            x, y, colour = random.randrange(16, 48), random.randrange(14, 34), tuple(random.randrange(150, 256) for _ in range(3))
            box = (x - 10, y - 10, x + 10, y + 10) if kind == "disc" else (x - 2, y - 14, x + 2, y + 14)
            getattr(ImageDraw.Draw(image), "ellipse" if kind == "disc" else "rectangle")(box, fill=colour)
            image.save(f"{root}/{kind}/{i}.png")
            z.write(f"{root}/{kind}/{i}.png", f"shapes/{kind}/{i}.png")
`, made]);
    await page.setInputFiles("#pictures", `${made}.zip`);
    await page.waitForFunction(() => document.getElementById("pictures-about").textContent.startsWith("2 classes, 60 pictures"));
    // The same once more are not added again.
    await page.setInputFiles("#pictures", `${made}.zip`);
    await page.locator("#message", { hasText: "60 pictures were there already" }).waitFor();
    // Another class by hand, which is given a name and, by the very next click, a picture too few.
    await page.click("#add-class");
    await page.locator(".class input[aria-label='name of the class class 3']").fill("photo");
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.locator(".class").nth(2).locator("label.file").click()]);
    await page.waitForTimeout(600); // the class is drawn anew meanwhile
    await chooser.setFiles(["bar/0.png", "bar/1.png"].map((name) => path.join(made, name)));
    await page.waitForFunction(() => document.getElementById("pictures-about").textContent.startsWith("3 classes, 62 pictures"));
    await page.locator(".class").nth(2).locator(".thumbs button").first().click(); // chosen, and then removed
    await page.locator(".class").nth(2).getByRole("button", { name: "Remove 1 picture" }).click();
    await page.waitForFunction(() => document.getElementById("pictures-about").textContent.startsWith("3 classes, 61 pictures"));
    await page.click("#use-pictures");
    await page.locator("#message", { hasText: "the class 'photo' has 1 pictures: it needs two or more" }).waitFor();
    page.once("dialog", (dialog) => dialog.accept());
    await page.getByRole("button", { name: "Remove the class photo" }).click();
    await page.click("#use-pictures");
    await page.waitForFunction(() => document.getElementById("data-about").textContent.startsWith("your pictures: 48 images to train on and 12 to test with"));
    await page.waitForFunction(() => document.getElementById("preset").value === "cifar10-cnn");
    assert.match(await text(page, "progress"), /^Start trains a network on your pictures, here in this tab: 48 images of 2 classes/);
    assert.match(await text(page, "hint"), /The network is another one now: that of cifar10-cnn/);
    await fill(page, { epochs: 12 });
    await train(page, 120_000);
    assert.ok(percent(await text(page, "accuracy")) > 80, await text(page, "accuracy"));
    // One of them is asked about, in the pad.
    await page.setInputFiles("#file", path.join(made, "disc/3.png"));
    await page.waitForFunction(() => document.getElementById("answer").textContent.startsWith("disc, "));
    await shot(page, "pictures");
    // The zip that is saved is a data set for the program, whose network the page then uses.
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save-pictures")]);
    const zip = path.join(work, "pictures.zip");
    await download.saveAs(zip);
    const { file } = await saved(page, "shapes.safetensors");
    const measured = JSON.parse(execFileSync(program, ["evaluate", file, "--dataset", `folder:${zip}`, "--json", "--device", "cpu"]));
    assert.equal(measured.test_images, 12);
    assert.ok(measured.accuracy > 80, String(measured.accuracy));
    // A network for photographs, which the program has trained at their own size, answers here as there.
    const photos = path.join(work, "photos");
    execFileSync(program, ["train", "photos", "--dataset", `folder:${zip}`, "--epochs", "6", "--batch", "16", "--device", "cpu", "--out", photos, "--name", "run"]);
    const network = path.join(photos, readdirSync(photos)[0], "run/weights.safetensors");
    await page.setInputFiles("#file", network);
    await page.waitForFunction(() => document.querySelector("#models option:checked").textContent === "weights.safetensors");
    const disc = path.join(made, "disc/3.png");
    const said = JSON.parse(execFileSync(program, ["predict", network, disc, "--json", "--device", "cpu"]));
    await page.setInputFiles("#file", disc);
    await page.waitForFunction((name) => document.getElementById("answer").textContent.startsWith(`${name}, `), said[0].top[0].class);
    const meters = await page.locator("#answers meter").evaluateAll((meters) => meters.map((meter) => meter.value));
    assert.ok(Math.abs(Math.max(...meters) - said[0].top[0].probability) < 1e-3, `${meters} ${JSON.stringify(said)}`);
    await shot(page, "photos");
    // They are there after a reload, and so is the run, which brings its pictures to be trained further on.
    await page.reload();
    await page.waitForFunction(() => document.getElementById("pictures-about").textContent.startsWith("2 classes, 60 pictures"));
    await page.waitForFunction(() => !document.getElementById("start").disabled && document.getElementById("data-about").textContent.startsWith("MNIST"));
    await page.locator("#runs-rows tr", { hasText: "your pictures" }).getByRole("button", { name: /^Use/ }).click();
    await page.waitForFunction(() => document.getElementById("data-about").textContent.startsWith("your pictures: 48 images"));
    await page.waitForFunction(() => document.querySelectorAll("#layers li").length === 10);
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    await page.click("#further");
    await page.locator("#runs-rows tr", { hasText: "trained further here" }).waitFor();
    // Layers of one's own stay when pictures come that they take.
    await page.goto(page.url().split("#")[0]);
    await page.reload();
    await ready(page);
    await page.waitForFunction(() => document.getElementById("pictures-about").textContent.startsWith("2 classes, 60 pictures"));
    await unfold(page, "Choose a known network");
    await field(page, "model").selectOption({ label: "own layers" });
    await fill(page, { layers: "conv 4, relu, flatten, linear classes" });
    await unfold(page, "Pictures of your own");
    await page.click("#use-pictures");
    await page.locator("#hint", { hasText: "Your layers take these images too" }).waitFor();
    assert.equal(await field(page, "layers").inputValue(), "conv 4, relu, flatten, linear classes");
  });

  await check("a camera", [...plain, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"], { permissions: ["camera"] }, async (page) => {
    await ready(page);
    await page.click("#camera");
    await page.waitForFunction(() => document.querySelectorAll("#answers li").length === 10, null, { timeout: 20_000 });
    await page.click("#camera");
    assert.equal(await page.locator("#camera").innerText(), "Camera");
    await unfold(page, "Pictures of your own");
    await page.click("#add-class");
    await page.getByRole("button", { name: "Camera: take pictures of class 1" }).click();
    const snap = page.getByRole("button", { name: "Hold to take pictures" });
    await snap.waitFor();
    await snap.focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => /1 class, [1-9]/.test(document.getElementById("pictures-about").textContent));
    await page.waitForFunction(() => document.querySelectorAll(".thumbs img").length > 0);
  });

  await check("runs are kept, drawn beside each other, and trained further", plain, {}, async (page) => {
    await ready(page, "#epochs=3");
    await train(page);
    await page.locator("#runs-rows tr").first().waitFor();
    const first = percent(await text(page, "accuracy"));
    await page.reload();
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    assert.match(await page.locator("#models option:checked").innerText(), /trained here/, "the address names it");
    await page.click("#classify");
    await page.waitForFunction(() => document.getElementById("accuracy").textContent.includes("%"));
    assert.equal(percent(await text(page, "accuracy")), first);
    // Further, from its weights: at once better than a fresh start.
    await fill(page, { epochs: 1 });
    await page.click("#further");
    await page.locator("#runs-rows tr", { hasText: "trained further here" }).waitFor();
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    await page.waitForFunction(() => document.getElementById("accuracy").textContent.includes("%"));
    assert.ok(percent(await text(page, "accuracy")) > first - 1, `${await text(page, "accuracy")} after ${first}`);
    await page.locator("#runs-rows tr").nth(1).locator("input").check();
    await page.locator("#accuracy-chart .u-series", { hasText: "test accuracy, %: " }).waitFor();
    page.once("dialog", (dialog) => dialog.accept("my best"));
    await page.locator("#runs-rows tr").first().getByRole("button", { name: /^Rename/ }).click();
    await page.locator("#models option", { hasText: "my best" }).waitFor({ state: "attached" });
    await shot(page, "runs");
    page.once("dialog", (dialog) => dialog.accept());
    await page.locator("#runs-rows tr").nth(1).getByRole("button", { name: /^Delete/ }).click();
    await page.waitForFunction(() => document.querySelectorAll("#runs-rows tr").length === 1);
    await page.reload();
    await page.locator("#runs-rows td", { hasText: "my best" }).waitFor();
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    // Of a tab that ends within a run, the epochs that were kept are there.
    await fill(page, { epochs: 5000 });
    await page.click("#start");
    await page.waitForFunction(() => /^(epoch|training epoch) ([3-9]|\d\d)/.test(document.getElementById("progress").textContent), null, { timeout: 60_000 });
    await page.locator("#runs-rows tr", { hasText: /trains, \d+ of 5,000 epochs/ }).waitFor();
    await page.goto("about:blank");
    await page.goto(url);
    await page.locator("#runs-rows tr", { hasText: /stopped, \d+ of 5,000 epochs/ }).waitFor();
    // The network of a run comes with its layers, so that it can be trained further.
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    await page.click("#empty-layers");
    await page.selectOption("#add-layer", "linear 64");
    await page.getByRole("button", { name: "Put flatten here" }).click();
    await page.getByRole("button", { name: "Put linear classes at the end" }).click();
    await page.waitForFunction(() => document.querySelectorAll("#layers li").length === 3);
    await fill(page, { epochs: 1, lr: 10_000 });
    await page.click("#start");
    await page.locator("#hint button", { hasText: "Train at the learning rate 1000" }).waitFor();
    await page.waitForTimeout(500);
    assert.doesNotMatch(await text(page, "model-about"), /being trained/, "the network before answers again");
    await fill(page, { lr: 0.1 });
    await train(page);
    await page.reload();
    await page.goto(url); // without the layers in the address
    await page.waitForFunction(() => !document.getElementById("start").disabled && document.querySelectorAll("#layers li").length === 8);
    await page.locator("#runs-rows tr", { hasText: "own layers (flatten, linear 64, linear classes)" }).getByRole("button", { name: /^Use/ }).click();
    await page.waitForFunction(() => document.querySelectorAll("#layers li").length === 3);
    await page.click("#further");
    await page.locator("#runs-rows tr", { hasText: "trained further here" }).first().waitFor();
    await page.waitForFunction(() => !document.getElementById("start").disabled);
  });

  await check("what every layer makes of an image", plain, {}, async (page) => {
    await ready(page);
    const { counts, probabilities, logits } = await page.evaluate(async () => {
      const rgba = Uint8Array.from({ length: 4 * 28 * 28 }, (_, i) => (i % 4 === 3 ? 255 : (i >> 2) % 28 > 9 && (i >> 2) % 28 < 14 ? 220 : (i >> 9) % 8)); // a bar
      const { seen, answers: [{ probabilities }] } = await globalThis.tinderboxTest.ask("ask", [[784], { rgba: rgba.buffer, width: 28, height: 28 }]);
      const layers = [];
      for (let layer = 0; layer < 8; layer++) layers.push([...await globalThis.tinderboxTest.ask("activations", [seen, layer])]);
      return { counts: layers.map((layer) => layer.slice(0, 4)), probabilities: [...probabilities], logits: layers[7].slice(4) };
    });
    assert.deepEqual(counts, [784, 128, 128, 128, 64, 64, 64, 10].map((values) => [values, 1, 1, 1]), "flatten, linear, norm and relu twice, linear");
    const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
    const sum = powers.reduce((a, b) => a + b);
    powers.forEach((power, i) => assert.ok(Math.abs(power / sum - probabilities[i]) < 1e-5, `class ${i}`));
  });

  await check("data of one's own in MNIST's files", plain, {}, async (page) => {
    // Pictures of ten kinds, each bright in a place of its own, as Fashion-MNIST's files are named and laid out.
    const idx = (dims, values) => [0, 0, 8, dims.length, ...dims.flatMap((n) => [0, 0, n >> 8, n & 255]), ...values];
    const labels = (count) => Array.from({ length: count }, (_, i) => (7 * i + 3) % 10);
    const picture = (label, i) => Array.from({ length: 784 }, (_, at) => (Math.floor(at / 78.4) === label ? 200 : (at * 31 + i * 17) % 60));
    const files = [["train", 200], ["t10k", 50]].flatMap(([kind, count]) => [
      [`${kind}-images-idx3-ubyte`, idx([count, 28, 28], labels(count).flatMap(picture))],
      [`${kind}-labels-idx1-ubyte`, idx([count], labels(count))],
    ]);
    await ready(page);
    const dataTransfer = await page.evaluateHandle((files) => {
      const transfer = new DataTransfer();
      for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
      return transfer;
    }, files);
    await page.dispatchEvent("body", "drop", { dataTransfer });
    await page.waitForFunction(() => document.getElementById("data-about").textContent.startsWith("your files: 200 images to train on and 50 to test with"));
    await fill(page, { epochs: 3, batch: 20 });
    await train(page);
    assert.ok(percent(await text(page, "accuracy")) > 80, await text(page, "accuracy"));
    const { file, header } = await saved(page, "own.safetensors");
    assert.equal(JSON.parse(header.__metadata__.tinderbox).recipe.dataset, "own:your files");
    // Natively nobody has these pictures: another data set must be asked for by name.
    const { status, stdout, stderr } = spawnSync(program, ["evaluate", file, "--device", "cpu"], { encoding: "utf8" });
    assert.equal(status, 1, stdout + stderr);
    assert.match(stderr, /'your files'.*--dataset/s);
    assert.doesNotMatch(stdout, /accuracy/);
  });

  await check("models side by side, one of them as burnpack", plain, {}, async (page) => {
    const burnpack = path.join(work, "run.burnpack");
    execFileSync(program, ["export", run, "--to", "burnpack", "--out", burnpack]);
    await ready(page);
    await page.setInputFiles("#file", burnpack);
    await page.waitForFunction(() => document.querySelector("#models option:checked").textContent === "run.burnpack");
    const first = await page.locator("#models option").first().innerText(); // the same run as safetensors
    await unfold(page, "Open a file");
    await page.locator("#beside label", { hasText: first }).click();
    await page.locator("#beside label", { hasText: "softmax regression" }).first().click();
    await stroke(page);
    await page.waitForFunction(() => document.querySelectorAll("#answers > div").length === 3);
    const found = await page.locator("#answers meter").evaluateAll((meters) => meters.map((meter) => meter.value));
    assert.deepEqual(found.slice(0, 10), found.slice(10, 20), "burnpack and safetensors of one run");
    assert.notDeepEqual(found.slice(0, 10), found.slice(20, 30));
    assert.equal(await page.locator("#message").isVisible(), false, await text(page, "message"));
    await page.reload(); // the address knows them
    await page.waitForFunction(() => !document.getElementById("start").disabled);
    assert.ok(await page.locator("#beside label", { hasText: "softmax regression" }).first().locator("input").isChecked());
    await shot(page, "side-by-side");
  });

  await check("the program's runs, while they train", plain, {}, async (page) => {
    await ready(page);
    assert.equal(await page.locator("#watched").isVisible(), false);
    const train = (name, epochs) => ["train", "--dataset", "mnist-sample", "--device", "cpu", "--out", runs, "--name", name, "--epochs", epochs];
    const child = spawn(program, train("live", "20000"), { stdio: "ignore" });
    const row = (name) => page.locator("#watched-rows tr", { hasText: `mnist-sample/${name}` });
    try {
      await row("live").waitFor({ timeout: 20_000 });
      await row("live").locator("td", { hasText: /^trains, [\d,]+ of 20,000 epochs, / }).waitFor({ timeout: 20_000 });
      await row("live").locator("input").check();
      const drawn = () => page.evaluate(() => globalThis.tinderboxTest.state.overlaid[0]?.history.length ?? 0);
      await page.waitForFunction(() => globalThis.tinderboxTest.state.overlaid[0]?.history.length > 0);
      const before = await drawn();
      await page.waitForFunction((before) => globalThis.tinderboxTest.state.overlaid[0].history.length > before, before, { timeout: 10_000 });
      await page.locator("#accuracy-chart .u-series", { hasText: "mnist-sample/live" }).waitFor();
      await row("live").locator("summary").click();
      await row("live").locator("pre", { hasText: '"epochs": 20000' }).waitFor();
    } finally {
      child.kill("SIGINT");
      await new Promise((done) => child.on("exit", done));
    }
    execFileSync(program, train("short", "2"), { stdio: "ignore" });
    await row("short").locator("td", { hasText: "done, 2 of 2 epochs" }).waitFor({ timeout: 20_000 });
    await shot(page, "watched");
    const [report] = await Promise.all([page.waitForEvent("popup"), row("short").getByRole("link", { name: "Report" }).click()]);
    await report.locator("canvas").first().waitFor(); // its scripts run
    await report.close();
  });

  const cifar = path.join(process.env.TINDERBOX_TEST_DATA ?? "", "cifar-10-batches-bin");
  if (!process.env.TINDERBOX_TEST_DATA || !existsSync(cifar)) console.log("skipped: CIFAR-10 in the page (TINDERBOX_TEST_DATA has none)");
  else await check("CIFAR-10 by its files, and a convolutional network", plain, {}, async (page) => {
    const folder = path.join(work, "cifar-10-batches-bin");
    mkdirSync(folder);
    const cut = (name, records) => writeFileSync(path.join(folder, name), readFileSync(path.join(cifar, name)).subarray(0, 3073 * records));
    for (let i = 1; i <= 5; i++) cut(`data_batch_${i}.bin`, 200);
    cut("test_batch.bin", 200);
    await ready(page);
    await page.click("#cifar-sample"); // of the set that `serve` found
    await page.waitForFunction(() => document.getElementById("data-about").textContent.startsWith("CIFAR-10, a sample: 2,000 images to train on and 500 to test"));
    await page.setInputFiles("#file", ["data_batch_1.bin", "test_batch.bin"].map((name) => path.join(folder, name)));
    await page.waitForFunction(() => document.getElementById("data-about").textContent.startsWith("CIFAR-10, your files: 200 images to train on and 200 to test"));
    assert.deepEqual(await page.locator("#preset option").allInnerTexts(), ["cifar10-linear", "cifar10-cnn", "cifar10-vgg11", "cifar10-vgg16", "cifar10-resnet9", "cifar10-fast", "cifar10-muon"]);
    await page.click("#classify"); // the model at hand is one of digits
    await page.waitForFunction(() => document.getElementById("message").textContent.includes("takes images of 1x28x28, these are 3x32x32"));
    execFileSync("tar", ["czf", path.join(work, "cifar-10-binary.tar.gz"), "-C", work, "cifar-10-batches-bin"]);
    await page.setInputFiles("#file", path.join(work, "cifar-10-binary.tar.gz"));
    await page.waitForFunction(() => document.getElementById("data-about").textContent.includes("1,000 images to train on"));
    await page.selectOption("#preset", "cifar10-vgg11");
    await unfold(page, "More of the recipe");
    await unfold(page, "Choose a known network");
    await field(page, "width").waitFor();
    assert.deepEqual([await field(page, "width").inputValue(), await field(page, "fraction").inputValue()], ["0.25", "1"], "what suits a tab, and few images");
    await fill(page, { epochs: 1, width: 0.125, fraction: 0.5, batch: 50 });
    await train(page, 120_000);
    console.log(`  ${await text(page, "progress")}`);
    assert.equal(await page.evaluate(() => globalThis.tinderboxTest.state.curves.losses.length), 10, "half of 1,000 images in batches of 50");
    assert.match(await text(page, "model-about"), /vgg11 with batch normalization.*3×32×32, 10 classes/);
    assert.match(new URL(page.url()).hash, /preset=cifar10-vgg11.*width=0.125/);
    // A photograph: feature maps and filters.
    const png = await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(48, 32), context = canvas.getContext("2d");
      context.fillStyle = "#39c";
      context.fillRect(0, 0, 48, 32);
      context.fillStyle = "#862";
      context.fillRect(20, 10, 10, 15);
      return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    });
    writeFileSync(path.join(work, "photo.png"), Buffer.from(png));
    await page.setInputFiles("#file", path.join(work, "photo.png"));
    await page.waitForFunction(() => document.querySelectorAll("#answers li").length === 10);
    await page.locator("#stages figcaption", { hasText: "conv 8" }).first().waitFor();
    assert.match(await page.locator("#stages figcaption").nth(1).innerText(), /conv 8 bias off, norm, relu 8×32×32 maps/);
    await page.waitForFunction(() => document.querySelectorAll("#stages canvas")[1].width > 200);
    await shot(page, "cifar");
    await page.setViewportSize({ width: 390, height: 900 });
    await page.waitForFunction(() => document.getElementById("captions").style.gridTemplateColumns.startsWith("repeat(5"));
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await shot(page, "cifar-390");
    // The weights are of use natively, on the same images.
    const { file } = await saved(page, "vgg.safetensors");
    const said = JSON.parse(execFileSync(program, ["evaluate", file, "--dataset", "cifar10", "--data-dir", folder, "--json", "--device", "cpu"]));
    assert.equal(said.accuracy.toFixed(2), percent(await text(page, "accuracy")).toFixed(2));
  });

  for (const [name, args, row] of [["the CPU", plain, /flex/], ["WebGPU", webgpu, /WebGPU|Browser/i]]) {
    await check(`the benchmark on ${name}`, args, {}, async (page) => {
      await ready(page, "", 400_000);
      if (args === webgpu) await webgpuReady(page, 400_000);
      await page.click("#bench");
      const rows = page.locator("#bench-table tbody tr");
      if (args === webgpu && !process.env.TINDERBOX_TEST_LONG) { // all of it takes minutes on a software adapter
        await rows.nth(7).waitFor({ timeout: 200_000 });
        console.log(`  ${(await rows.allInnerTexts()).join("; ").replaceAll("\t", " ")}`);
        return;
      }
      await page.waitForFunction(() => !["", "measuring …"].includes(document.getElementById("bench-status").textContent), null, { timeout: 900_000 });
      assert.equal(await text(page, "bench-status"), "done");
      const [download] = await Promise.all([page.waitForEvent("download"), page.click("#bench-save")]);
      const report = path.join(work, "bench.json");
      await download.saveAs(report);
      assert.match(JSON.parse(readFileSync(report)).rows[0].device.api, row);
      assert.match(execFileSync(program, ["bench", "--compare", report, report]).toString(), /train_linear_v1/);
      assert.ok(await rows.count() >= 6);
      await shot(page, `bench-${name.split(" ").pop()}`);
    });
  }

  await check("an exported folder, on a static host, under a path, as brotli", plain, {}, async (page, troubles) => {
    const out = path.join(work, "site");
    execFileSync(program, ["export", run, "--to", "web", "--out", out], { stdio: ["ignore", "inherit", "ignore"] });
    const types = { html: "text/html", js: "text/javascript", css: "text/css", wasm: "application/wasm", svg: "image/svg+xml", json: "application/json" };
    let wire = 0;
    const host = createServer((request, response) => {
      const name = decodeURIComponent(new URL(request.url, "http://x").pathname).replace(/^\/some\/path\//, "") || "index.html";
      const file = path.join(out, name), packed = existsSync(`${file}.br`);
      if (!request.url.startsWith("/some/path/") || !existsSync(file)) return response.writeHead(404).end();
      const bytes = readFileSync(packed ? `${file}.br` : file);
      if (!name.startsWith("data/")) wire += bytes.length;
      response.writeHead(200, { "content-type": types[name.split(".").pop()] ?? "application/octet-stream", ...(packed && { "content-encoding": "br" }) });
      response.end(bytes);
    });
    await new Promise((done) => host.listen(0, "127.0.0.1", done));
    try {
      await page.goto(`http://127.0.0.1:${host.address().port}/some/path/`);
      await page.waitForFunction(() => document.getElementById("answer").textContent === "Draw a digit.");
      const first = wire; // the data come next
      await page.waitForFunction(() => !document.getElementById("start").disabled);
      await draw(page);
      assert.match(await text(page, "answer"), /^1, /);
      const program = statSync(path.join(out, "pkg/cpu/tinderbox_web_bg.wasm.br")).size;
      console.log(`  ${first.toLocaleString("en")} bytes over the wire until one can draw, of which the program is ${program.toLocaleString("en")}`);
      assert.ok(program < 2.5e6 && first < 4e6);
      // What was loaded once opens without a network.
      await page.waitForFunction(async () => (await caches.keys()).some((name) => name.startsWith("tinderbox ")), null, { timeout: 30_000 });
      await page.waitForFunction(() => navigator.serviceWorker.controller);
      host.closeAllConnections();
      await new Promise((done) => host.close(done));
      await page.reload();
      await page.waitForFunction(() => !document.getElementById("start").disabled);
      await draw(page);
      assert.match(await text(page, "answer"), /^1, /);
      troubles.splice(0, troubles.length, ...troubles.filter((trouble) => !/ERR_CONNECTION_REFUSED|ERR_FAILED/.test(trouble))); // its version, and runs
      troubles.splice(0, troubles.length, ...troubles.filter((trouble) => !trouble.startsWith("request to http://127.0.0.1")));
    } finally {
      host.close();
    }
  });

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1200, 390]) {
      await check(`looks, ${colorScheme}, ${width} wide`, plain, { colorScheme, viewport: { width, height: 900 } }, async (page) => {
        await ready(page, "#epochs=2");
        await page.click("#classify");
        await draw(page);
        await page.click("#start");
        await page.waitForFunction(() => document.getElementById("progress").textContent.startsWith("epoch 2 of 2"));
        await page.waitForFunction(() => !document.getElementById("start").disabled);
        await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `the page is ${overflow} pixels wider than the window`);
        await shot(page, `${colorScheme}-${width}`);
        await page.evaluate(readFileSync(require.resolve("axe-core"), "utf8")); // the page's policy allows no script of ours
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
        const told = serious.map((v) => `${v.id}: ${v.nodes[0].html} ${v.nodes[0].failureSummary}`).join("\n");
        assert.equal(serious.length, 0, told);
      });
    }
  }

  await check("WebGPU", webgpu, {}, async (page, troubles) => {
    const timeout = 400_000;
    const start = Date.now();
    await ready(page, "", timeout); // on the CPU, at once
    await draw(page);
    console.log(`  first answer after ${((Date.now() - start) / 1000).toFixed(1)} s, by the CPU`);
    await webgpuReady(page, timeout);
    console.log(`  ${await text(page, "badge")} after ${((Date.now() - start) / 1000).toFixed(1)} s`);
    assert.match(await text(page, "badge"), /WebGPU · gives the same results as the CPU/);
    assert.match(await page.getAttribute("#badge", "title"), /recorded once and replayed/);
    assert.match(await text(page, "data-about"), /drawn by the GPU/);
    await everything(page, { epochs: 2, timeout });
    console.log(`  ${await text(page, "progress")}`);
    await shot(page, "webgpu");
    // Layers that are fitted to the images have tensors that no step changes, and slow weights go into the buffer of all values.
    await unfold(page, "Choose a known network");
    await unfold(page, "More of the recipe");
    await field(page, "model").selectOption({ label: "own layers" });
    const layers = "normalize, whiten, gelu, pool max 4, norm scale off, gelu, flatten, linear classes";
    await fill(page, { layers, epochs: 1, "norm-rate": 4, lookahead: "5:0.9" });
    await train(page, timeout);
    console.log(`  ${await text(page, "progress")}`);
    assert.ok(percent(/accuracy .*/.exec(await text(page, "progress"))[0]) > 60, await text(page, "progress"));
    assert.deepEqual(troubles, [], "the browser refused none of the kernels");
    // The GPU is lost: the CPU takes over, and says so.
    await page.evaluate(() => globalThis.tinderboxTest.ask("lose"));
    await page.waitForFunction(() => /CPU · the GPU was lost/.test(document.getElementById("badge").textContent), null, { timeout: 60_000 });
    await page.waitForFunction(() => !document.getElementById("start").disabled, null, { timeout: 60_000 });
    await draw(page);
    assert.match(await text(page, "answer"), /^1, /);
    // Chromium reports the loss that we asked for.
    troubles.splice(0, troubles.length, ...troubles.filter((trouble) => trouble.startsWith("request to")));
  });
} finally {
  server.kill();
}
console.log(`${passed} passed, 0 failed`);
