// Uses every page of a running service as its first administrator: node e2e/story.mjs SETUP_LINK FOLDER_OF_SCREENSHOTS
// When "waiting for an alert" is printed, the caller stores an alert with the title "arrived live".
import { openBrowser } from "./browser.mjs";

const PASSWORD = "correct horse battery";
const ROW = "tr[data-row]";
const addresses = {};

const [link, shots] = process.argv.slice(2);
const { page, faults, go, check, confirm, close } = await openBrowser(new URL(link).origin, shots);

async function setUpAndLogIn() {
  await page.goto(link);
  await page.waitForSelector("[name=name]");
  await check("setup");
  await logIn();
  await page.click("text=Log out");
  await page.waitForSelector("h1:has-text('Log in')");
  await check("login");
  await logIn();
}

async function logIn() {
  await page.fill("[name=name]", "ann");
  await page.fill("[name=password]", PASSWORD);
  await page.click("button.primary");
  await page.waitForSelector("text=Log out");
}

async function watchAlerts() {
  await go("/alerts", ROW);
  await page.waitForSelector("button.stream.live");
  console.log("waiting for an alert");
  await page.waitForSelector(`${ROW} >> text=arrived live`);
  await check("alerts");
  await page.fill("input[type=search]", "arrived live");
  await page.waitForURL(/text=arrived/);
  await page.waitForSelector("text=1 group");
  await page.click("text=Clear filters");
  await backInAField();
}

/** A filter shows what the address has, also if that changed while the field had the focus. */
async function backInAField() {
  await go("/alerts?text=arrived", "text=1 group");
  await page.focus("input[type=search]");
  await page.goBack();
  await page.waitForURL((url) => !url.hash.includes("text="));
  await page.keyboard.press("Tab");
  const left = await page.inputValue("input[type=search]");
  if (left !== "") throw new Error(`the field still has ${left}`);
}

async function decide() {
  await go("/alerts", ROW);
  await page.locator(`${ROW} input[type=checkbox]`).first().click();
  await page.click(".bulk >> text=Acknowledge");
  await confirm("looking");
  await page.waitForSelector("text=1 group changed");
  await page.click(`${ROW} a >> nth=0`);
  await page.waitForSelector("text=Life of the group");
  addresses.alert = new URL(page.url()).hash.slice(2);
  await check("alert");
  await page.click(".bulk >> text=Resolve");
  await confirm("fixed");
  await page.waitForSelector("text=The group is resolved");
  await page.click(".bulk >> text=Reopen");
  await confirm();
  await page.waitForSelector("text=The group is open");
  await page.click(".bulk >> text=Wrong");
  await confirm("harmless");
  await page.waitForSelector("text=answered: wrong");
  await page.click(".bulk >> text=Silence…");
  await page.click("dialog >> text=Preview");
  await page.waitForSelector("text=It would have hidden");
  await check("silence");
  await confirm("known");
  await page.waitForSelector("text=The silence silence-1 was added");
}

async function read() {
  await go("/overview", ".u-over");
  await page.waitForSelector("h2:has-text('Region eu')");
  await page.click("text=Mark a deploy…");
  await page.fill("dialog [name=label]", "release 7");
  await confirm();
  await page.click("summary:has-text('markers')");
  await page.waitForSelector("li:has-text('release 7')");
  await check("overview");
  await go("/templates", ROW);
  await check("templates");
  await page.click(`${ROW} a >> nth=0`);
  await page.waitForSelector("text=First line");
  await page.waitForSelector("th:has-text('disk 1 failed')");
  await page.waitForSelector("text=/of the \\d+ newest in this range/");
  await check("template");
  await go("/templates/diff", ROW);
  await check("diff");
  await go("/drift", "details.card");
  await page.click("details.card summary >> nth=0");
  await check("drift");
}

async function useModelsAndRounds() {
  await go("/models", "text=Compare two");
  for (const index of [0, 1]) await page.locator("main input[type=checkbox]").nth(index).click();
  await check("models");
  await page.click("text=Compare two");
  await page.waitForSelector("th:has-text('Field')");
  await page.waitForSelector("text=Of 150 alerts");
  await page.locator("input[type=range]").press("ArrowRight");
  await page.waitForURL(/point=/);
  await page.waitForSelector("svg[aria-label^='Scores of 150 windows']");
  await check("compare");
  await go("/models", "text=Roll back…");
  await page.click("text=Roll back…");
  await confirm("noise");
  await page.waitForSelector("dialog >> text=is current");
  await page.keyboard.press("Escape");
  await go("/rounds", "text=Round 1");
  await page.waitForSelector("text=No logs left a region: 80,080 bytes");
  await check("rounds");
  await page.click("text=Start a round…");
  await confirm("release 7");
  await page.waitForSelector("li:has-text('release 7')");
  await go("/rounds/audit", "text=are as they were written");
  await check("round-audit");
}

async function trainModels() {
  await go("/models", "text=Train…");
  await page.click("text=Train…");
  await page.selectOption("dialog select >> nth=0", "file");
  await check("train");
  const lines = ["one", "two", "three", "four", "five", "six"].flatMap((word) => [
    `disk ${word} broken,hardware_issue`,
    `user ${word} came,normal`,
  ]);
  const buffer = Buffer.from(["message,class", ...lines].join("\n"));
  await page.setInputFiles("dialog [name=data]", { name: "lines.csv", mimeType: "text/csv", buffer });
  await page.selectOption("dialog [name=detector]", "random_forest");
  await page.fill("dialog [name=model]", "lines");
  await page.fill("dialog [name=settings]", '{"encoder": "hashing:16", "candidates": 0, "trees": 20}');
  await confirm();
  await page.waitForSelector("h1:has-text('random_forest as lines')");
  await page.waitForSelector("a:has-text('lines version 1')", { timeout: 120_000 });
  await page.waitForSelector("h2:has-text('Report')");
  await page.waitForSelector("pre:has-text('published lines version 1')");
  addresses.job = new URL(page.url()).hash.slice(2);
  await check("job");
  await go("/jobs", "th:has-text('random_forest as lines')");
  await check("jobs");
}

async function answerQuestions() {
  await go("/ask", "text=Question 1 of 3");
  await check("ask");
  await page.keyboard.press("a");
  await page.waitForSelector("text=Question 2 of 3");
  await page.keyboard.press("s");
  await page.waitForSelector("text=Question 3 of 3");
  await page.keyboard.press("u");
  await page.waitForSelector("text=Question 2 of 3");
  await page.keyboard.press("u");
  await page.waitForSelector("text=Question 1 of 3");
  await page.waitForSelector("text=No window was answered here");
  for (const place of [2, 3]) {
    await page.keyboard.press("n");
    await page.waitForSelector(`text=Question ${place} of 3`);
  }
  await page.keyboard.press("n");
  await page.waitForSelector("text=The questions are answered");
  await page.waitForSelector("text=10 sessions labelled");
  await page.click("text=More questions");
  await page.waitForSelector("text=Nothing to ask");
}

async function undoWhatBecameNormal() {
  await go("/became-normal", "text=3 windows became normal");
  await page.click("text=Undo: call it anomalous");
  await page.waitForSelector("text=ann called it anomalous: 3 labels for the next round");
  await check("became-normal");
  await page.click("text=Withdraw");
  await page.waitForSelector("text=Undo: call it anomalous");
}

async function analyse() {
  await go("/analyse", "textarea");
  await page.fill("textarea", "Nov 30 04:00:01 host sshd[1]: Failed password for root\nall is well");
  await page.click("button.primary");
  await page.waitForSelector("h2:has-text('2 lines')");
  await check("analyse");
}

/** Reach, move in and open things by keys only. */
async function useKeys() {
  await go("/overview", ".u-over");
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await page.waitForSelector(ROW);
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await page.waitForSelector(".bulk >> text=Acknowledge");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForSelector("text=Life of the group");
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.waitForSelector(ROW);
  await page.keyboard.press("?");
  await page.waitForSelector("dialog:has-text('Keys')");
  await check("keys");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.keyboard.press("/");
  await page.keyboard.type("disk");
  await page.waitForURL(/text=disk/);
}

async function administer() {
  await go("/settings/users", "text=Add a user…");
  await page.click("text=Add a user…");
  await page.fill("dialog [name=name]", "bob");
  await page.fill("dialog [name=password]", PASSWORD);
  await confirm();
  await page.waitForSelector("th:has-text('bob')");
  await check("users");
  await go("/settings/tokens", "text=Make a token…");
  await page.click("text=Make a token…");
  await page.fill("dialog [name=name]", "dashboard");
  await confirm();
  await page.waitForSelector("dialog pre.token:has-text('drl_')");
  await page.keyboard.press("Escape");
  await page.waitForSelector("th:has-text('dashboard')");
  await check("tokens");
  await go("/settings/silences", "text=silence-1");
  await check("silences");
  await go("/settings/channels", "th:has-text('webhook-1')");
  await page.click("[aria-label='Test webhook-1']");
  await page.waitForSelector("text=does not answer");
  await check("channels");
  await go("/settings/audit", "text=channel.tested");
  await check("audit");
}

async function useDarkAndNarrow() {
  await page.selectOption(".account select", "dark");
  await page.setViewportSize({ width: 360, height: 740 });
  for (const path of [
    "alerts",
    "overview",
    "templates",
    "templates/diff",
    "templates/0000000000000000",
    "models",
    "models/floor/compare?a=1&b=2",
    "models/floor/2",
    "jobs",
    addresses.job,
    addresses.alert,
    "drift",
    "rounds",
    "ask",
    "became-normal",
    "analyse",
    "settings/users",
    "settings/tokens",
    "settings/silences",
    "settings/channels",
    "settings/audit",
  ]) {
    await go(`/${path}`, "main h1");
    await check(`narrow-${path.replaceAll(/[^a-z-]+/g, "-")}`);
  }
}

try {
  for (const part of [
    setUpAndLogIn,
    watchAlerts,
    decide,
    read,
    useModelsAndRounds,
    trainModels,
    answerQuestions,
    undoWhatBecameNormal,
    analyse,
    useKeys,
    administer,
    useDarkAndNarrow,
  ]) {
    await part();
    console.log(`done: ${part.name}`);
  }
} catch (error) {
  await page.screenshot({ path: `${shots}/failed.png` });
  throw error;
} finally {
  await close();
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
