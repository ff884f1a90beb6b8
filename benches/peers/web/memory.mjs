// The memory that a tab takes with all of CIFAR-10, from its files and from its archive, and while it trains on a tenth of it:
//
//   cd benches/peers/web && npm install && node memory.mjs PROGRAM FOLDER
//
// PROGRAM is a tinderbox whose page is built; FOLDER is `cifar-10-batches-bin`, unpacked. Prints the most memory that the tab's
// process has in each phase, in MB, and how much of it is its own: the rest is the browser's code, which all tabs share.
// On Linux, with no other Chromium open.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./page.mjs";

const [program, folder] = process.argv.slice(2);
const work = mkdtempSync(path.join(tmpdir(), "memory-"));
const archive = path.join(work, "cifar-10-binary.tar.gz");
execFileSync("tar", ["czf", archive, "-C", path.dirname(folder), path.basename(folder)]);
const files = readdirSync(folder).filter((name) => name.endsWith(".bin")).map((name) => path.join(folder, name));
const { server, url } = await serve(program);

/** What the tab has at the moment, in MB, and the share that is its own: of the processes that draw pages it is the largest. */
function memory() {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer")) return [0, 0];
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const [whole, code] = ["VmRSS", "RssFile"].map((what) => Number(new RegExp(`${what}:\\s*(\\d+)`).exec(status)[1]) / 1000 * 1.024);
      return [whole, whole - code];
    } catch {
      return [0, 0]; // it has ended
    }
  });
  return all.reduce((most, one) => (one[0] > most[0] ? one : most));
}
let most = [0, 0];
const look = () => {
  const now = memory();
  if (now[0] > most[0]) most = now;
};
setInterval(look, 50).unref();
/** The most since the last phase. */
function peak() {
  look();
  const [whole, own] = most.map((megabytes) => megabytes.toFixed(0));
  most = [0, 0];
  return `${whole}, ${own} its own`;
}

console.log("| CIFAR-10 from | an empty page | the page | with the data | training |\n|---|---|---|---|---|");
for (const [name, chosen] of [["its files", files], ["its archive", [archive]]]) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  const page = await browser.newPage();
  const found = [peak()];
  await page.goto(url);
  await page.waitForFunction(() => !document.getElementById("start").disabled);
  found.push(peak());
  await page.setInputFiles("#file", chosen);
  await page.waitForFunction(() => /50,000 images to train on/.test(document.getElementById("data-about").textContent), null, { timeout: 120_000 });
  found.push(peak());
  await page.waitForFunction(() => document.getElementById("preset").value.startsWith("cifar10"));
  await page.selectOption("#preset", "cifar10-cnn");
  await page.evaluate(async () => {
    const { ask, chosenRecipe } = globalThis.tinderboxTest;
    await ask("train", [{ ...await chosenRecipe(), fraction: 0.1, epochs: 1 }, false]);
  });
  found.push(peak());
  await browser.close();
  most = [0, 0];
  console.log(`| ${[name, ...found].join(" | ")} |`);
}
server.kill();
rmSync(work, { recursive: true });
