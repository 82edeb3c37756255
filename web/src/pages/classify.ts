/** Requests that classify lines. */
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { upload } from "../api/upload";

export type Analysis = Schemas["AnalyzeResult"] | Schemas["PredictResult"];
export type AnalysedLine = Schemas["PredictedLog"] & { reasons?: string };
export type Choice = Pick<Schemas["PredictRequest"], "model_type" | "bert_variant">;

/** Classify pasted text, with reasons. */
export function analyseText(text: string, choice: Choice): Promise<Analysis> {
  const given = { logs: text, include_probabilities: true, include_templates: true, ...choice };
  return body(api.POST("/api/analyze", { body: given }));
}

/** Classify a file. */
export function analyseFile(file: File, choice: Choice, onSent: (share: number) => void): Promise<Analysis> {
  const form = new FormData();
  form.set("file", file);
  for (const [name, value] of Object.entries(choice)) form.set(name, value);
  return upload<Analysis>("/api/predict-batch", form, onSent);
}

const COLUMNS = ["line", "class", "confidence", "log_type", "template", "reasons", "raw"] as const;

/** Results as CSV. Text that a spreadsheet would run as a formula gets an apostrophe in front of it. */
export function asCsv(lines: readonly AnalysedLine[]): string {
  const rows = lines.map((line, index) => [
    index + 1,
    line.prediction.class_name,
    line.prediction.confidence,
    line.log_type,
    line.template ?? "",
    line.reasons ?? "",
    line.raw,
  ]);
  return [COLUMNS, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
}

function cell(value: string | number): string {
  if (typeof value === "number") return String(value);
  const safe = /^ *[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Let the browser save a text as a file. */
export function save(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
