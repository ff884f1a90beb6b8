// A report in headless Chromium: node tests/browser/report.mjs REPORT.html [SCREENSHOTS]
// Light and dark, desktop and phone: no error, no request, no overflow, no serious accessibility violation; curves are
// drawn, hovering shows their values, and the switches change them.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const [report, screenshots] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
});
let passed = 0;
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1100, 390]) {
      const name = `${colorScheme}-${width}`;
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      const troubles = [];
      page.on("pageerror", (error) => troubles.push(error.message));
      page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
      page.on("request", (request) => {
        if (!/^(file|data):/.test(request.url())) troubles.push(`request to ${request.url()}`);
      });
      await page.goto(pathToFileURL(path.resolve(report)).href);
      assert.equal(await page.locator(".chart canvas").count(), 3, `${name}: three charts`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${name}: the page is ${overflow} pixels wider than the window`);

      const chart = page.locator("#test_accuracy .u-over");
      await chart.scrollIntoViewIfNeeded();
      const before = await page.locator("#test_accuracy .u-legend").innerText();
      await chart.hover();
      const hovered = await page.locator("#test_accuracy .u-legend").innerText();
      assert.match(hovered, /\d+\.\d\d/, `${name}: hovering shows a value: ${hovered}`);
      assert.notEqual(before, hovered);

      const image = () => page.locator("#train_loss canvas").evaluate((canvas) => canvas.toDataURL());
      for (const id of ["log", "time"]) { // losses of several kinds are logarithmic from the beginning
        const drawn = await image();
        await page.click(`#${id}`);
        assert.ok(await image() !== drawn, `${name}: the switch ${id} redraws`);
        await page.click(`#${id}`);
        assert.ok(await image() === drawn, `${name}: and back`);
      }

      await page.addScriptTag({ path: require.resolve("axe-core") });
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
      const told = serious.map((v) => `${v.id}: ${v.nodes[0].html} ${v.nodes[0].failureSummary}`).join("\n");
      assert.equal(serious.length, 0, `${name}: ${told}`);
      assert.deepEqual(troubles, [], name);
      if (screenshots) await page.screenshot({ path: path.join(screenshots, `report-${name}.png`), fullPage: true });
      await page.close();
      console.log(`ok ${name}`);
      passed += 1;
    }
  }
} finally {
  await browser.close();
}
console.log(`${passed} passed, 0 failed`);
