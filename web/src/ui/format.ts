const NUMBER = new Intl.NumberFormat("en-GB");
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" });

/** The threshold of a model whose normal windows all score 0 is the least number above it. */
const LEAST = 1e-37;

export function count(value: number): string {
  return NUMBER.format(value);
}

/** A noun with its number; the plural adds an s. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < LEAST) return "just above 0";
  return Math.abs(value) >= 1_000 ? count(Math.round(value)) : String(Number(value.toPrecision(4)));
}

/** A difference with its sign. */
export function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${figure(value)}`;
}

/** Names with their numbers, the largest first. */
export function largestFirst(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).sort(([, a], [, b]) => b - a);
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < 0.01 ? 2 : 1)} %`;
}

/** A time of the API in UTC, to the second. */
export function time(text: string | null | undefined): string {
  if (!text) return "–";
  const parsed = Date.parse(text);
  return Number.isNaN(parsed) ? text : DATE.format(parsed);
}

/** The name of a class, kind or step for people. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
] as const;

/** A length of time in its largest unit. */
export function duration(seconds: number): string {
  const unit = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  return unit ? plural(Math.floor(seconds / unit[1]), unit[0]) : plural(Math.round(seconds), "second");
}

/** How long ago a time was, in its largest unit. */
export function ago(text: string): string {
  const seconds = Math.round((Date.now() - Date.parse(text)) / 1_000);
  return Math.abs(seconds) < 60 ? "just now" : `${duration(seconds)} ago`;
}
