import { useSearchParams } from "react-router";

const HOUR_MS = 3_600_000;
const PRESETS = [
  ["1", "Last hour"],
  ["24", "Last 24 hours"],
  ["168", "Last 7 days"],
  ["720", "Last 30 days"],
] as const;

export interface Range {
  since: string | undefined;
  until: string | undefined;
}

/** Search parameters with a way to change some of them; an empty value removes one. */
export function useParameters() {
  const [parameters, setParameters] = useSearchParams();
  const change = (values: Record<string, string | undefined>) =>
    setParameters(
      (before) => {
        const after = new URLSearchParams(before);
        for (const [name, value] of Object.entries(values)) {
          if (value) after.set(name, value);
          else after.delete(name);
        }
        return after;
      },
      { replace: true },
    );
  return [parameters, change] as const;
}

/** The range in the address: `hours` back from now, or `since` and `until`. */
export function rangeOf(parameters: URLSearchParams, defaultHours?: number): Range {
  const hours =
    Number(parameters.get("hours") ?? 0) ||
    (parameters.has("since") || parameters.has("until") ? 0 : (defaultHours ?? 0));
  if (hours > 0) return { since: iso(minute(Date.now()) - hours * HOUR_MS), until: undefined };
  return { since: parameters.get("since") ?? undefined, until: parameters.get("until") ?? undefined };
}

/** Parameters of the address for a range in milliseconds. */
export function customRange(since: number, until: number) {
  return { hours: undefined, custom: "1", since: iso(since), until: iso(until) };
}

/** Parameters without those that are empty. */
export function given<T extends Record<string, string | null | undefined>>(values: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value)) as { [K in keyof T]?: string };
}

/** Whole minutes, so that a rendered range stays the same for a while and its answer stays in the cache. */
function minute(ms: number): number {
  return Math.floor(ms / 60_000) * 60_000;
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Choose a range of event time; it becomes part of the address. */
export function RangePicker({ defaultHours }: { defaultHours?: number }) {
  const [parameters, change] = useParameters();
  const custom = parameters.has("since") || parameters.has("until") || parameters.has("custom");
  const chosen = custom ? "custom" : (parameters.get("hours") ?? String(defaultHours ?? ""));
  const choose = (value: string) => {
    if (value === "custom") change({ hours: undefined, custom: "1", ...rangeOf(parameters, defaultHours ?? 24) });
    else change({ hours: value, custom: undefined, since: undefined, until: undefined });
  };
  return (
    <>
      <label className="field">
        Range
        <select value={chosen} onChange={(event) => choose(event.target.value)}>
          {defaultHours === undefined && <option value="">All</option>}
          {PRESETS.map(([hours, text]) => (
            <option key={hours} value={hours}>
              {text}
            </option>
          ))}
          <option value="custom">From … to …</option>
        </select>
      </label>
      {custom && (
        <>
          <TimeField label="From (UTC)" value={parameters.get("since")} onChange={(since) => change({ since })} />
          <TimeField label="To (UTC)" value={parameters.get("until")} onChange={(until) => change({ until })} />
        </>
      )}
    </>
  );
}

/** A time in UTC, as the API shows times. */
export function TimeField({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string | null | undefined;
  onChange: (value: string | undefined) => void;
}) {
  return (
    <label className="field">
      {label}
      <input
        type="datetime-local"
        value={value?.slice(0, 16) ?? ""}
        onChange={(event) => onChange(event.target.value ? `${event.target.value}:00Z` : undefined)}
      />
    </label>
  );
}
