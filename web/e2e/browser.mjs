// A browser in which errors, accessibility faults and pages that are too wide fail the run.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TIMEOUT_MS = 30_000;

/** Browsers report every status from 400 as an error of the console; the steps check those that they cause. */
const EXPECTED = /Failed to load resource/;

export async function openBrowser(base, shots) {
  mkdirSync(shots, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 850 } });
  page.setDefaultTimeout(TIMEOUT_MS);
  const faults = [];
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !EXPECTED.test(message.text())) faults.push(`${page.url()}: ${message.text()}`);
  });

  /** Open a page of the console, and wait for something on it. */
  async function go(path, selector) {
    await page.goto(`${base}/#${path}`);
    await page.waitForSelector(selector);
  }

  /** Take a screenshot of the page as it is, and check it. */
  async function check(name) {
    await page.waitForFunction(() => document.querySelector(".loading") === null);
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.screenshot({ path: `${shots}/${name}.png` });
    const found = await page.evaluate(async (source) => {
      if (window.axe === undefined) (0, eval)(source);
      const { violations } = await window.axe.run();
      const tooWide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      return { tooWide, violations: violations.map((rule) => `${rule.impact} ${rule.id}: ${rule.nodes[0].html}`) };
    }, AXE);
    faults.push(...found.violations.map((text) => `${name}: ${text}`));
    if (found.tooWide > 0) faults.push(`${name}: ${found.tooWide} px wider than the screen`);
  }

  /** Confirm the open dialog, with a reason if one is given. */
  async function confirm(reason) {
    if (reason) await page.fill("dialog textarea", reason);
    await page.click("dialog button.primary");
  }

  return { page, faults, go, check, confirm, close: () => browser.close() };
}
