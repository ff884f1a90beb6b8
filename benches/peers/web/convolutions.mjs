// A network with convolutions in a tab, on the CPU: `resnet9` at a quarter of its width on the sample of CIFAR-10's images.
//
//   cd benches/peers/web && npm install && TINDERBOX_DATA=DIR node convolutions.mjs PROGRAM [CHECKOUT...]
//
// Prints seconds of an epoch of 2,000 images and milliseconds of one answer, medians of three rounds: with convolutions as they are by
// default, and as they are defined (`convolution = "exact"`). DIR has CIFAR-10. PROGRAM serves the page that is built in this checkout,
// or those of several, which are measured in turns.
import path from "node:path";
import { chromium } from "playwright-core";
import { median, serve } from "./page.mjs";

const [program, ...checkouts] = process.argv.slice(2);
if (!checkouts.length) checkouts.push(path.join(import.meta.dirname, "../../.."));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** The page of a checkout. */
async function open(checkout) {
  const { server, url } = await serve(program, checkout);
  const page = await browser.newPage();
  await page.goto(`${url}#device=cpu`);
  await page.waitForFunction(() => !document.getElementById("start").disabled);
  await page.click("#cifar-sample");
  await page.waitForFunction(() => document.getElementById("preset").value.startsWith("cifar10"));
  await page.selectOption("#preset", "cifar10-resnet9");
  return { name: path.basename(checkout), page, server };
}

const measure = (page, convolution) => page.evaluate(async (convolution) => {
  const { ask, chosenRecipe } = globalThis.tinderboxTest;
  const recipe = await chosenRecipe();
  const [epoch] = await ask("train", [{ ...recipe, network: { ...recipe.network, width: 0.25 }, convolution, fraction: 1, epochs: 1 }, false]);
  const seen = await ask("test_image", [0]);
  const one = [];
  for (let i = 0; i < 7; i++) {
    const { answers } = await ask("ask", [[3072], { rgba: new ArrayBuffer(4), width: 1, height: 1, seen }]);
    one.push(answers[0].milliseconds);
  }
  return { seconds: 2000 / epoch.images_per_second, one, loss: epoch.train_loss };
}, convolution);

const pages = [];
for (const checkout of checkouts) pages.push(await open(checkout));
const rows = pages.flatMap(({ name, page }) => ["fast", "exact"].map((convolution) => ({ name, page, convolution, found: [] })));
for (let round = 0; round < 3; round++) for (const row of rows) row.found.push(await measure(row.page, row.convolution));
console.log("| checkout | convolutions | s/epoch | train loss | ms for one image |\n|---|---|--:|--:|--:|");
for (const { name, convolution, found } of rows) {
  const [seconds, one] = [median(found.map(({ seconds }) => seconds)), median(found.map(({ one }) => median(one)))];
  console.log(`| ${name} | ${convolution} | ${seconds.toFixed(2)} | ${found[0].loss.toFixed(4)} | ${one.toFixed(1)} |`);
}
await browser.close();
for (const { server } of pages) server.kill();
