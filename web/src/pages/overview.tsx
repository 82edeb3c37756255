import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { AlertItem, DriftEvent, Schemas } from "../api/types";
import { ago, count, percent, plural, words } from "../ui/format";
import { Bars, Heading } from "../ui/parts";
import { given, iso, RangePicker, rangeOf, useParameters } from "../ui/range";
import { Loaded } from "../ui/states";
import { type ChartMarker, type ChartSeries, TimeChart } from "../ui/timeChart";

const ALERTS = 500;
const TEMPLATES = 1_000;
const REFRESH_MS = 30_000;

/** Lines, alerts, models and regions of a range on one page. */
export function OverviewPage() {
  const [parameters, change] = useParameters();
  const range = given({ ...rangeOf(parameters, 24) });
  const alerts = useQuery({
    queryKey: ["alerts", "overview", range],
    refetchInterval: REFRESH_MS,
    queryFn: () => body(api.GET("/api/v1/alerts", { params: { query: { wanted: {}, ...range, limit: ALERTS } } })),
  });
  const lines = useQuery({
    queryKey: ["templates", "overview", range],
    refetchInterval: REFRESH_MS,
    queryFn: () => body(api.GET("/api/v1/templates", { params: { query: { ...range, limit: TEMPLATES } } })),
  });
  const markers = useMarkers();
  const { since, until } = lines.data ?? {};
  const axis = useMemo(
    (): [number, number] | undefined =>
      since && until ? [Date.parse(since) / 1_000, Date.parse(until) / 1_000] : undefined,
    [since, until],
  );
  const brush = (since: number, until: number) =>
    change({ hours: undefined, custom: "1", since: iso(since * 1_000), until: iso(until * 1_000) });
  return (
    <>
      <Heading title="Overview" />
      <form className="filters" onSubmit={(event) => event.preventDefault()}>
        <RangePicker defaultHours={24} />
      </form>
      <section className="card">
        <h2>Lines</h2>
        <Loaded query={lines}>
          {(list) => <LinesChart list={list} axis={axis} markers={markers} onBrush={brush} />}
        </Loaded>
      </section>
      <section className="card">
        <h2>Alerts</h2>
        <Loaded query={alerts}>
          {(page) => (
            <Scores
              alerts={page.items}
              more={page.next_cursor !== null}
              axis={axis}
              markers={markers}
              onBrush={brush}
            />
          )}
        </Loaded>
      </section>
      <div className="columns">
        <Loaded query={alerts}>{(page) => <Counts alerts={page.items} />}</Loaded>
        <Models />
        <Regions />
      </div>
    </>
  );
}

interface ChartProps {
  /** All charts of the page have the same one. */
  axis: readonly [number, number] | undefined;
  markers: ChartMarker[];
  onBrush: (since: number, until: number) => void;
}

/** The sum of all templates; exact as long as all of them are listed. */
function LinesChart({ list, axis, markers, onBrush }: ChartProps & { list: Schemas["TemplateList"] }) {
  const { times, series } = useMemo(() => linesOver(list), [list]);
  return (
    <>
      <p>
        <Link to="/templates">
          {plural(list.total_lines, "line")} of {plural(list.total_templates, "template")}
        </Link>
        {list.total_templates > list.items.length &&
          `; the chart shows the ${count(list.items.length)} templates with most lines`}
        . Draw over a chart to narrow the range.
      </p>
      <TimeChart
        label={`${count(list.total_lines)} lines over time`}
        times={times}
        series={series}
        range={axis}
        markers={markers}
        onBrush={onBrush}
      />
    </>
  );
}

function linesOver(list: Schemas["TemplateList"]): { times: number[]; series: ChartSeries[] } {
  const minutes = (Date.parse(list.until) - Date.parse(list.since)) / 60_000;
  const parts = list.items[0]?.sparkline.length ?? 0;
  const step = Math.ceil(minutes / (parts || 1)) * 60;
  const start = Date.parse(list.since) / 1_000;
  const times = Array.from({ length: parts }, (_, index) => start + index * step);
  const values = times.map((_, index) => list.items.reduce((sum, item) => sum + (item.sparkline[index] ?? 0), 0));
  return { times, series: [{ label: "Lines", kind: "bars", colour: "--chart", values }] };
}

function Scores({ alerts, more, axis, markers, onBrush }: ChartProps & { alerts: AlertItem[]; more: boolean }) {
  const { times, series } = useMemo(() => {
    const scored = alerts.filter((alert) => alert.score !== null).reverse();
    const values = (pick: (alert: AlertItem) => number | null) => scored.map(pick);
    return {
      times: scored.map((alert) => Date.parse(alert.last_time) / 1_000),
      series: [
        { label: "Score of an alert", kind: "points", colour: "--high", values: values((alert) => alert.score) },
        {
          label: "Threshold",
          kind: "line",
          dashed: true,
          colour: "--muted",
          values: values((alert) => alert.threshold),
        },
      ] satisfies ChartSeries[],
    };
  }, [alerts]);
  return (
    <>
      <p>
        <Link to="/alerts">{more ? `The newest ${count(alerts.length)} alerts` : plural(alerts.length, "alert")}</Link>{" "}
        of the range
      </p>
      <TimeChart
        label="Scores of alerts over time"
        times={times}
        series={series}
        range={axis}
        markers={markers}
        onBrush={onBrush}
      />
    </>
  );
}

function Counts({ alerts }: { alerts: AlertItem[] }) {
  const by = (pick: (alert: AlertItem) => string) => {
    const counts = new Map<string, number>();
    for (const alert of alerts) counts.set(pick(alert), (counts.get(pick(alert)) ?? 0) + 1);
    return [...counts].sort(([, a], [, b]) => b - a);
  };
  const answered = alerts.filter((alert) => alert.answer !== null).length;
  return (
    <>
      <section className="card">
        <h2>Alerts by kind</h2>
        <Bars items={by((alert) => alert.line_class || alert.kind)} text={count} />
      </section>
      <section className="card">
        <h2>Alerts by severity</h2>
        <Bars items={by((alert) => alert.severity)} text={count} />
      </section>
      <section className="card">
        <h2>Alerts by region</h2>
        <Bars items={by((alert) => alert.region)} text={count} />
        <p>
          {plural(answered, "alert")} of {count(alerts.length)} answered
          {alerts.length > 0 && ` (${percent(answered / alerts.length)})`}
        </p>
      </section>
    </>
  );
}

function Models() {
  const query = useQuery({ queryKey: ["models"], queryFn: () => body(api.GET("/api/v1/models")) });
  return (
    <section className="card">
      <h2>Models</h2>
      <Loaded query={query}>
        {(models) => (
          <ul className="events">
            {models.length === 0 && <li>The model store is empty.</li>}
            {models.map((model) => {
              const current = model.versions.find((found) => found.current);
              return (
                <li key={model.name}>
                  <Link to={`/models/${model.name}/${model.current ?? ""}`}>
                    {model.name} {model.current ?? "without a version"}
                  </Link>
                  {current?.created && `, made ${ago(current.created)}`}
                </li>
              );
            })}
          </ul>
        )}
      </Loaded>
    </section>
  );
}

function Regions() {
  const query = useQuery({
    queryKey: ["rounds"],
    queryFn: () => body(api.GET("/api/v1/rounds", { params: { query: { limit: 50 } } })),
  });
  return (
    <section className="card">
      <h2>Regions in rounds</h2>
      <Loaded query={query}>
        {(report) => (
          <ul className="events">
            {report.regions.map((region) => (
              <li key={region.name}>
                <strong>{region.name}</strong>: attended {plural(region.attended, "round")}
                {region.missed > 0 && `, missed the last ${region.missed}`}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </section>
  );
}

/** Drift and rounds on the axis of time; without a region or a coordinator there are none. */
function useMarkers(): ChartMarker[] {
  const drift = useQuery({
    queryKey: ["drift"],
    queryFn: () => body(api.GET("/api/v1/drift-events", { params: { query: { limit: 100 } } })),
  });
  const rounds = useQuery({
    queryKey: ["rounds"],
    queryFn: () => body(api.GET("/api/v1/rounds", { params: { query: { limit: 50 } } })),
  });
  return useMemo(() => {
    const events = ((drift.data?.items ?? []) as unknown as DriftEvent[]).map((event) => ({
      time: Date.parse(event.time) / 1_000,
      label: words(event.over ? "drift over" : event.type),
    }));
    const ended = (rounds.data?.rounds ?? []).flatMap((round) =>
      round.ended ? [{ time: Date.parse(round.ended) / 1_000, label: `round ${round.number}` }] : [],
    );
    return [...events, ...ended];
  }, [drift.data, rounds.data]);
}
