import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { count, figure, plural } from "../ui/format";
import { CopyButton, Heading, Tabs } from "../ui/parts";
import { given, iso, TimeField, useParameters } from "../ui/range";
import { Empty, Loaded } from "../ui/states";
import { type Column, Table } from "../ui/table";
import { TEMPLATE_TABS } from "./templates";
import { AddressField } from "../ui/addressField";

type Change = Schemas["TemplateChange"];
type Totals = Pick<
  Schemas["TemplateDiff"],
  "kinds" | "lines_before" | "lines_after" | "minutes_before" | "minutes_after"
> & { lines_by_kind: Record<string, number[]> };

const KINDS: readonly Change["kind"][] = ["new", "gone", "more", "fewer", "same"];
const HOUR_MS = 3_600_000;
const LIMIT = 500;
/** Label, length of both ranges, and how much earlier the first one is, in hours. */
const PRESETS = [
  ["Last hour and the hour before", 1, 1],
  ["Last 24 hours and the 24 before", 24, 24],
  ["Last 24 hours and the same a week before", 24, 168],
  ["Last 7 days and the 7 before", 168, 168],
] as const;

/** What is new, gone, more or less frequent in the second of two ranges. */
export function DiffPage() {
  const [parameters, change] = useParameters();
  const wanted = rangesOf(parameters);
  const kind = KINDS.find((name) => name === parameters.get("kind")) ?? null;
  const query = useQuery({
    queryKey: ["diff", wanted, kind, parameters.get("version_a"), parameters.get("version_b")],
    placeholderData: keepPreviousData,
    queryFn: () =>
      body(
        api.GET("/api/v1/templates/diff", {
          params: { query: { ...asked(wanted, parameters), ...(kind ? { kind } : {}), limit: LIMIT } },
        }),
      ),
  });
  const columns = useMemo(changeColumns, []);
  return (
    <>
      <Heading title="Difference of two ranges">
        <CopyButton text={() => window.location.href}>Copy link</CopyButton>
      </Heading>
      <Tabs label="Templates" items={TEMPLATE_TABS} />
      <form className="filters" onSubmit={(event) => event.preventDefault()}>
        <label className="field">
          Ranges
          <select value="" onChange={(event) => change(preset(Number(event.target.value)))}>
            <option value="" disabled>
              Choose…
            </option>
            {PRESETS.map(([label], index) => (
              <option key={label} value={index}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </form>
      <div className="columns">
        {(["a", "b"] as const).map((name) => (
          <fieldset key={name} className="filters">
            <legend>{name === "a" ? "First range" : "Second range"}</legend>
            <TimeField
              label="From (UTC)"
              value={wanted[`since_${name}`]}
              onChange={(value) => change({ ...wanted, [`since_${name}`]: value })}
            />
            <TimeField
              label="To (UTC)"
              value={wanted[`until_${name}`]}
              onChange={(value) => change({ ...wanted, [`until_${name}`]: value })}
            />
            <label className="field">
              Region
              <AddressField
                value={parameters.get(`region_${name}`) ?? ""}
                onValue={(value) => change({ ...wanted, [`region_${name}`]: value })}
              />
            </label>
            <label className="field">
              Or the time of model version
              <AddressField
                type="number"
                min={1}
                value={parameters.get(`version_${name}`) ?? ""}
                onValue={(value) => change({ [`version_${name}`]: value })}
              />
            </label>
          </fieldset>
        ))}
      </div>
      <Loaded query={query}>
        {(diff) => {
          const rows = diff.changes;
          return (
            <>
              <Summary
                diff={diff}
                chosen={kind}
                onChoose={(chosen) => change({ kind: chosen === kind ? undefined : chosen })}
              />
              {rows.length > 0 ? (
                <Table label="Changed templates" rows={rows} columns={columns} rowKey={(row) => row.id} />
              ) : (
                <Empty>No templates to compare in these ranges.</Empty>
              )}
            </>
          );
        }}
      </Loaded>
    </>
  );
}

function Summary({
  diff,
  chosen,
  onChoose,
}: {
  diff: Totals;
  chosen: string | null;
  onChoose: (kind: string) => void;
}) {
  return (
    <div className="scroll" role="region" aria-label="Summary" tabIndex={0}>
      <table className="summary">
        <caption className="hidden">Templates and lines by kind of change</caption>
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col">Templates</th>
            <th scope="col">Lines before</th>
            <th scope="col">Lines after</th>
          </tr>
        </thead>
        <tbody>
          {KINDS.map((kind) => (
            <tr key={kind}>
              <th scope="row">
                <button type="button" aria-pressed={chosen === kind} onClick={() => onChoose(kind)}>
                  {kind}
                </button>
              </th>
              <td>{count(diff.kinds[kind] ?? 0)}</td>
              <td>{count(diff.lines_by_kind[kind]?.[0] ?? 0)}</td>
              <td>{count(diff.lines_by_kind[kind]?.[1] ?? 0)}</td>
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">All</th>
            <td>{count(Object.values(diff.kinds).reduce((sum, value) => sum + value, 0))}</td>
            <td>
              {count(diff.lines_before)} in {plural(diff.minutes_before, "minute")}
            </td>
            <td>
              {count(diff.lines_after)} in {plural(diff.minutes_after, "minute")}
            </td>
          </tr>
        </tfoot>
      </table>
    </div>
  );
}

function changeColumns(): Column<Change>[] {
  return [
    {
      id: "kind",
      header: "Kind",
      width: 90,
      cell: (row) => <span className={`badge change-${row.kind}`}>{row.kind}</span>,
      sort: (row) => row.kind,
    },
    {
      id: "text",
      header: "Template",
      cell: (row) => (
        <Link to={`/templates/${row.id}`}>
          <code>{row.text || row.id}</code>
        </Link>
      ),
      sort: (row) => row.text,
    },
    {
      id: "before",
      header: "Before",
      width: 100,
      numeric: true,
      from: "medium",
      cell: (row) => count(row.before),
      sort: (row) => row.before,
    },
    {
      id: "after",
      header: "After",
      width: 100,
      numeric: true,
      from: "medium",
      cell: (row) => count(row.after),
      sort: (row) => row.after,
    },
    {
      id: "rate",
      header: "Lines a minute",
      width: 180,
      numeric: true,
      from: "medium",
      cell: (row) => `${figure(row.rate_before)} → ${figure(row.rate_after)}`,
      sort: (row) => Math.abs(row.rate_after - row.rate_before),
    },
  ];
}

function preset(index: number) {
  const [, hours, shift] = PRESETS[index] ?? PRESETS[1];
  const end = Math.floor(Date.now() / 60_000) * 60_000;
  const start = end - hours * HOUR_MS;
  return {
    since_a: iso(start - shift * HOUR_MS),
    until_a: iso(end - shift * HOUR_MS),
    since_b: iso(start),
    until_b: iso(end),
  };
}

function rangesOf(parameters: URLSearchParams) {
  const names = ["since_a", "until_a", "since_b", "until_b"] as const;
  const others = given({ region_a: parameters.get("region_a"), region_b: parameters.get("region_b") });
  const ranges = preset(1);
  for (const name of names) ranges[name] = parameters.get(name) ?? ranges[name];
  return { ...ranges, ...others };
}

/** What to ask for: each range, or the version instead of it. */
function asked(wanted: ReturnType<typeof rangesOf>, parameters: URLSearchParams) {
  const { since_a, until_a, since_b, until_b, ...regions } = wanted;
  const version_a = Number(parameters.get("version_a"));
  const version_b = Number(parameters.get("version_b"));
  return {
    ...regions,
    ...(version_a > 0 ? { version_a } : { since_a, until_a }),
    ...(version_b > 0 ? { version_b } : { since_b, until_b }),
  };
}
