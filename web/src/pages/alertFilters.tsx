import { CLASSES, SEVERITIES } from "../api/types";
import type { operations } from "../api/schema";
import { words } from "../ui/format";
import { given, RangePicker, rangeOf, useParameters } from "../ui/range";
import { AddressField } from "../ui/addressField";

type Query = NonNullable<operations["list_alerts_api_v1_alerts_get"]["parameters"]["query"]>;

const CHOICES = {
  severity: SEVERITIES.slice(1),
  status: ["open", "acknowledged", "resolved"],
  answer: ["none", "right", "wrong", "normal"],
  line_class: CLASSES.slice(1),
} as const;
const LABELS: Record<keyof typeof CHOICES, string> = {
  severity: "Severity from",
  status: "Status",
  answer: "Answer",
  line_class: "Class",
};
const ANSWER_NONE = "not answered";
const TEXTS = {
  region: "Region",
  kind: "Kind of reason",
  model: "Model",
  source: "Source",
  session: "Session",
} as const;
const NAMES = [...Object.keys(CHOICES), ...Object.keys(TEXTS), "version", "group", "text"];

/** The filters and the range in the address, as parameters of the API, which checks them. */
export function alertQuery(parameters: URLSearchParams): Query {
  return alertSearch(parameters) as Query;
}

/** The same as text for an address of the API. */
export function alertSearch(parameters: URLSearchParams): Record<string, string> {
  return { ...textsOf(parameters), ...given({ ...rangeOf(parameters) }) };
}

function textsOf(parameters: URLSearchParams): Record<string, string> {
  return Object.fromEntries([...parameters].filter(([name, value]) => value && NAMES.includes(name)));
}

export function AlertFilters() {
  const [parameters, change] = useParameters();
  const active = NAMES.filter((name) => parameters.has(name));
  return (
    <form className="filters" role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      <label className="field grow">
        Text
        <AddressField
          type="search"
          placeholder="In the title or the template"
          value={parameters.get("text") ?? ""}
          maxLength={200}
          onValue={(value) => change({ text: value })}
        />
      </label>
      <RangePicker />
      {Object.entries(CHOICES).map(([name, values]) => (
        <label key={name} className="field">
          {LABELS[name as keyof typeof CHOICES]}
          <select value={parameters.get(name) ?? ""} onChange={(event) => change({ [name]: event.target.value })}>
            <option value="">{name === "severity" ? "info" : "Any"}</option>
            {values.map((value) => (
              <option key={value} value={value}>
                {value === "none" ? ANSWER_NONE : words(value)}
              </option>
            ))}
          </select>
        </label>
      ))}
      <details className="more" open={Object.keys(TEXTS).some((name) => parameters.has(name)) || undefined}>
        <summary>More filters</summary>
        <div className="filters">
          {Object.entries(TEXTS).map(([name, label]) => (
            <label key={name} className="field">
              {label}
              <AddressField value={parameters.get(name) ?? ""} onValue={(value) => change({ [name]: value })} />
            </label>
          ))}
          <label className="field">
            Version
            <AddressField
              type="number"
              min={0}
              value={parameters.get("version") ?? ""}
              onValue={(value) => change({ version: value })}
            />
          </label>
        </div>
      </details>
      {active.length > 0 && (
        <button type="button" onClick={() => change(Object.fromEntries(active.map((name) => [name, undefined])))}>
          Clear filters
        </button>
      )}
    </form>
  );
}
