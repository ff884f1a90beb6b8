// The page in headless Firefox, on the CPU: node tests/browser/firefox.mjs TINDERBOX RUN [SCREENSHOTS]
// Firefox is driven by Marionette, the protocol beneath its WebDriver, so no driver is needed: messages are JSON behind
// their length, a command [0, id, name, parameters] and its answer [1, id, error, result].
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const [program, run, screenshots] = process.argv.slice(2);
const work = mkdtempSync(path.join(tmpdir(), "tinderbox-firefox-"));
const PORT = 2828;

class Firefox {
  #next = 0;
  #waiting = new Map();
  #rest = Buffer.alloc(0);

  static async start() {
    // No request of its own, no first-run pages, and no sandbox, which needs more than a container gives.
    const settings = { "marionette.port": PORT, "app.update.enabled": false, "datareporting.policy.dataSubmissionEnabled": false,
      "browser.shell.checkDefaultBrowser": false, "network.captive-portal-service.enabled": false, "network.connectivity-service.enabled": false };
    writeFileSync(path.join(work, "user.js"), Object.entries(settings).map(([key, value]) => `user_pref(${JSON.stringify(key)}, ${JSON.stringify(value)});`).join("\n"));
    const firefox = new Firefox();
    firefox.process = spawn(process.env.FIREFOX ?? "firefox-esr", ["--headless", "--marionette", "--profile", work, "--no-remote"],
      { stdio: "ignore", env: { ...process.env, HOME: work, MOZ_DISABLE_CONTENT_SANDBOX: "1" } });
    const ended = new Promise((_, failed) => firefox.process.on("error", failed));
    await Promise.race([firefox.#connect(), ended]);
    await firefox.ask("WebDriver:NewSession", { capabilities: {} });
    await firefox.ask("WebDriver:SetTimeouts", { script: 120_000, pageLoad: 60_000 });
    return firefox;
  }

  async #connect() {
    for (let tries = 0; ; tries++) {
      try {
        await new Promise((done, failed) => {
          this.socket = connect(PORT, "127.0.0.1");
          this.socket.once("error", failed);
          this.socket.once("data", (greeting) => { this.#take(greeting, true); done(); });
        });
        break;
      } catch (error) {
        if (tries > 120) throw error;
        await new Promise((done) => setTimeout(done, 500));
      }
    }
    this.socket.on("data", (part) => this.#take(part, false));
  }

  #take(part, greeting) {
    this.#rest = Buffer.concat([this.#rest, part]);
    for (;;) {
      const colon = this.#rest.indexOf(":");
      const size = Number(this.#rest.subarray(0, Math.max(colon, 0)).toString());
      if (colon < 0 || this.#rest.length < colon + 1 + size) return;
      const message = JSON.parse(this.#rest.subarray(colon + 1, colon + 1 + size).toString());
      this.#rest = this.#rest.subarray(colon + 1 + size);
      if (greeting) continue;
      const [, id, error, result] = message;
      const { done, failed } = this.#waiting.get(id);
      if (error) failed(new Error(`${error.error}: ${error.message}`));
      else done(result);
    }
  }

  ask(name, parameters = {}) {
    return new Promise((done, failed) => {
      this.#waiting.set(++this.#next, { done, failed });
      const text = JSON.stringify([0, this.#next, name, parameters]);
      this.socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
  }

  /** What a function returns in the page. */
  async run(body, ...args) {
    const { value } = await this.ask("WebDriver:ExecuteScript", { script: `return (${body})(...arguments)`, args, sandbox: null });
    return value;
  }

  /** Waits until a function of the page returns something. */
  async until(body, what, timeout = 60_000) {
    for (const end = Date.now() + timeout; Date.now() < end; await new Promise((done) => setTimeout(done, 100))) {
      const found = await this.run(body);
      if (found) return found;
    }
    throw new Error(`${what}: not within ${timeout / 1000} s; the page says ${await this.run(() => document.body.innerText.slice(0, 600))}`);
  }

  async shot(name) {
    if (!screenshots) return;
    const { value } = await this.ask("WebDriver:TakeScreenshot", { full: true });
    writeFileSync(path.join(screenshots, `firefox-${name}.png`), Buffer.from(value, "base64"));
  }
}

const server = spawn(program, ["serve", run, "--port", "0", "--out", path.join(work, "runs")], { stdio: ["ignore", "pipe", "inherit"] });
const url = await new Promise((found, failed) => {
  server.stdout.on("data", (data) => found(/http:\S+/.exec(data)[0]));
  server.on("exit", (code) => failed(new Error(`serve ended with ${code}`)));
});
const firefox = await Firefox.start();
try {
  const start = Date.now();
  await firefox.ask("WebDriver:Navigate", { url: `${url}#epochs=3` });
  await firefox.run(() => {
    window.troubles = [];
    addEventListener("error", (event) => window.troubles.push(event.message));
    addEventListener("unhandledrejection", (event) => window.troubles.push(String(event.reason)));
  });
  await firefox.until(() => !document.getElementById("start").disabled, "the page is ready");
  console.log(`  ready after ${((Date.now() - start) / 1000).toFixed(1)} s: ${await firefox.run(() => document.getElementById("badge").textContent)}`);
  // A one, drawn by a pen.
  await firefox.run(() => {
    const pad = document.getElementById("pad"), box = pad.getBoundingClientRect();
    const tell = (type, x, y) => pad.dispatchEvent(new PointerEvent(type, { pointerId: 1, buttons: 1, bubbles: true, clientX: box.left + x, clientY: box.top + y }));
    pad.setPointerCapture = () => {};
    tell("pointerdown", 150, 45);
    for (let i = 1; i <= 12; i++) tell("pointermove", 150 - i, 45 + 15 * i);
    tell("pointerup", 138, 225);
  });
  await firefox.until(() => document.getElementById("answer").textContent.startsWith("1, "), "a one is recognized");
  await firefox.run(() => document.getElementById("start").click());
  await firefox.until(() => document.getElementById("progress").textContent.startsWith("epoch 3 of 3"), "three epochs");
  await firefox.until(() => !document.getElementById("start").disabled && document.getElementById("accuracy").textContent.includes("%"), "all test images are tested");
  const accuracy = await firefox.run(() => Number(/([\d.]+) %/.exec(document.getElementById("accuracy").textContent)[1]));
  assert.ok(accuracy > 88, String(accuracy));
  assert.equal(await firefox.run(() => document.querySelectorAll("#captions li").length), 60);
  assert.ok(await firefox.run(() => [...document.querySelectorAll("#stages canvas")].every((canvas) => canvas.width > 100)), "what the layers see is drawn");
  await firefox.shot("trained");
  assert.deepEqual(await firefox.run(() => window.troubles), []);
  // What was trained is there after a reload.
  await firefox.ask("WebDriver:Refresh");
  await firefox.until(() => document.querySelectorAll("#runs-rows tr").length === 1, "the run is kept");
  await firefox.until(() => !document.getElementById("start").disabled, "the page is ready again");
  assert.match(await firefox.run(() => document.getElementById("models").selectedOptions[0].textContent), /trained here/);
  console.log(`ok Firefox ${await firefox.run(() => /Firefox\/([\d.]+)/.exec(navigator.userAgent)[1])}: ${accuracy.toFixed(2)} %`);
} finally {
  server.kill();
  firefox.process.kill();
}
process.exit(0);
