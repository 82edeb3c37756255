/** Requests that classify lines. */
import { api, body, csrfHeaders, problemOf } from "../api/client";
import type { Schemas } from "../api/types";

export type Analysis = Schemas["AnalyzeResult"] | Schemas["PredictResult"];
export type AnalysedLine = Schemas["PredictedLog"] & { reasons?: string };
export type Choice = Pick<Schemas["PredictRequest"], "model_type" | "bert_variant">;

/** Classify pasted text, with reasons. */
export function analyseText(text: string, choice: Choice): Promise<Analysis> {
  const given = { logs: text, include_probabilities: true, include_templates: true, ...choice };
  return body(api.POST("/api/analyze", { body: given }));
}

/** Classify a file. XMLHttpRequest because `fetch` does not report how much of a body was sent. */
export function analyseFile(file: File, choice: Choice, onSent: (share: number) => void): Promise<Analysis> {
  const form = new FormData();
  form.set("file", file);
  for (const [name, value] of Object.entries(choice)) form.set(name, value);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/predict-batch");
    request.responseType = "json";
    for (const [name, value] of Object.entries(csrfHeaders())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () =>
      request.status < 400 && request.response
        ? resolve(request.response as Analysis)
        : reject(problemOf(request.status, request.response));
    request.onerror = () =>
      reject(problemOf(0, { detail: "The service does not answer, or it closed the connection." }));
    request.send(form);
  });
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
