// Fails if the JavaScript of the first load is larger than the budget, gzipped.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 600_000;
const OUT = new URL("../engine/console/", import.meta.url);

const page = readFileSync(new URL("index.html", OUT), "utf8");
if (/<script(?![^>]*\bsrc=)/.test(page)) throw new Error("index.html has an inline script, which the CSP forbids");

const files = [...page.matchAll(/(?:src|href)="\.?\/?([^"]+\.js)"/g)].map((found) => found[1]);
if (files.length === 0) throw new Error("index.html loads no script");
const bytes = files.reduce((sum, file) => sum + gzipSync(readFileSync(new URL(file, OUT))).length, 0);
console.log(`first load: ${files.length} scripts, ${(bytes / 1000).toFixed(1)} kB gzipped of ${BUDGET_BYTES / 1000}`);
if (bytes > BUDGET_BYTES)
  throw new Error(`the first load has ${bytes} bytes of JavaScript; at most ${BUDGET_BYTES} are allowed`);
