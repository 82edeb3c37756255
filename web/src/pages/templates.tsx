import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { count, plural, time } from "../ui/format";
import { Heading, Tabs, Time } from "../ui/parts";
import { customRange, given, RangePicker, rangeOf, useParameters } from "../ui/range";
import { Sparkline } from "../ui/sparkline";
import { Empty, Loaded } from "../ui/states";
import { type Column, Table } from "../ui/table";
import { AddressField } from "../ui/addressField";

type TemplateItem = Schemas["TemplateItem"];

const LIMIT = 1_000;
const DAY_MS = 86_400_000;
export const TEMPLATE_TABS = [
  ["/templates", "List"],
  ["/templates/diff", "Difference of two ranges"],
] as const;

/** Templates of a range with exact counts. */
export function TemplatesPage() {
  const [parameters, change] = useParameters();
  const range = rangeOf(parameters, 24);
  const wanted = {
    ...given({ ...range, region: parameters.get("region"), text: parameters.get("text") }),
    limit: LIMIT,
  };
  const query = useQuery({
    queryKey: ["templates", wanted],
    placeholderData: keepPreviousData,
    queryFn: () => body(api.GET("/api/v1/templates", { params: { query: wanted } })),
  });
  const columns = useMemo(() => templateColumns(lifeSearch(parameters)), [parameters]);
  return (
    <>
      <Heading title="Templates" />
      <Tabs label="Templates" items={TEMPLATE_TABS} />
      <form className="filters" role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
        <label className="field grow">
          Text
          <AddressField
            type="search"
            maxLength={200}
            value={parameters.get("text") ?? ""}
            onValue={(value) => change({ text: value })}
          />
        </label>
        <RangePicker defaultHours={24} />
        <label className="field">
          Region
          <AddressField value={parameters.get("region") ?? ""} onValue={(value) => change({ region: value })} />
        </label>
      </form>
      <Loaded query={query}>
        {(list) => (
          <>
            <p>
              {plural(list.total_lines, "line")} of {plural(list.total_templates, "template")} from {time(list.since)}{" "}
              to {time(list.until)} UTC
              {list.items.length === LIMIT && `; the ${count(LIMIT)} with most lines are listed`}
            </p>
            {list.items.length > 0 ? (
              <Table label="Templates" rows={list.items} columns={columns} rowKey={(row) => row.id} />
            ) : (
              <NoLines onChoose={change} />
            )}
          </>
        )}
      </Loaded>
    </>
  );
}

function lifeSearch(parameters: URLSearchParams): string {
  const kept = ["hours", "since", "until", "region"].flatMap((name) =>
    parameters.has(name) ? [[name, parameters.get(name) as string]] : [],
  );
  return new URLSearchParams(kept).toString();
}

function templateColumns(search: string): Column<TemplateItem>[] {
  return [
    {
      id: "text",
      header: "Template",
      cell: (row) => (
        <Link to={`/templates/${row.id}?${search}`} title={row.example}>
          <code>{row.text}</code>
        </Link>
      ),
      sort: (row) => row.text,
    },
    {
      id: "spark",
      header: "Over time",
      width: 140,
      from: "medium",
      cell: (row) => <Sparkline values={row.sparkline} />,
    },
    {
      id: "lines",
      header: "Lines",
      width: 110,
      numeric: true,
      cell: (row) => count(row.lines),
      sort: (row) => row.lines,
    },
    {
      id: "alerts",
      header: "Alerts",
      width: 80,
      from: "medium",
      numeric: true,
      cell: (row) => count(row.alerts),
      sort: (row) => row.alerts,
    },
    {
      id: "anomalous",
      header: "Anomalous windows",
      width: 150,
      from: "large",
      numeric: true,
      cell: (row) => row.windows > 0 && `${count(row.anomalous)} of ${count(row.windows)}`,
      sort: (row) => row.anomalous / Math.max(1, row.windows),
    },
    { id: "levels", header: "Levels", width: 190, from: "large", cell: (row) => levels(row.levels) },
    {
      id: "first",
      header: "First seen",
      width: 205,
      from: "large",
      cell: (row) => <Time at={row.first_seen} />,
      sort: (row) => row.first_seen,
    },
    {
      id: "last",
      header: "Last seen",
      width: 205,
      from: "medium",
      cell: (row) => <Time at={row.last_seen} />,
      sort: (row) => row.last_seen,
    },
  ];
}

function levels(counts: Record<string, number>): string {
  return Object.entries(counts)
    .filter(([name]) => name !== "none")
    .map(([name, value]) => `${name} ${count(value)}`)
    .join(", ");
}

/** Logs of the past have no lines in the last hours; the newest alert shows where there are some. */
function NoLines({ onChoose }: { onChoose: (values: Record<string, string | undefined>) => void }) {
  const newest = useQuery({
    queryKey: ["alerts", "newest"],
    queryFn: () => body(api.GET("/api/v1/alerts", { params: { query: { limit: 1 } } })),
  });
  const at = newest.data?.items[0]?.last_time;
  const choose = (end: number) => onChoose(customRange(end - DAY_MS, end));
  return (
    <Empty>
      No lines were counted in this range.{" "}
      {at && (
        <button type="button" onClick={() => choose(Date.parse(at) + 60_000)}>
          Show the day before the newest alert ({time(at)})
        </button>
      )}
    </Empty>
  );
}
