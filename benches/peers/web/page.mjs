// What the scripts here share: the page that a program serves, and the middle of some values.
import { spawn } from "node:child_process";

/** Starts `tinderbox serve` in a folder, and says where the page is. */
export async function serve(program, cwd = process.cwd()) {
  const server = spawn(program, ["serve", "--port", "0"], { cwd, stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((found) => server.stdout.on("data", (data) => found(/http:\S+/.exec(data)[0])));
  return { server, url };
}

export const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
