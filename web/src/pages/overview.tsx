import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { ago, count, largestFirst, percent, plural } from "../ui/format";
import { Bars, Heading } from "../ui/parts";
import { customRange, given, RangePicker, rangeOf, useParameters } from "../ui/range";
import { Loaded } from "../ui/states";
import { type ChartMarker, type ChartSeries, TimeChart } from "../ui/timeChart";
import { MarkDeploy } from "./markDeploy";
import { Regions } from "./regions";

const REFRESH_MS = 30_000;
type Series = Schemas["Series"];

/** Lines, alerts, models and regions of a range on one page. */
export function OverviewPage() {
  const [parameters, change] = useParameters();
  const range = given({ ...rangeOf(parameters, 24) });
  const series = useQuery({
    queryKey: ["series", range],
    refetchInterval: REFRESH_MS,
    queryFn: () => body(api.GET("/api/v1/series", { params: { query: range } })),
  });
  const brush = (since: number, until: number) => change(customRange(since * 1_000, until * 1_000));
  return (
    <>
      <Heading title="Overview">
        <MarkDeploy />
      </Heading>
      <form className="filters" onSubmit={(event) => event.preventDefault()}>
        <RangePicker defaultHours={24} />
      </form>
      <Loaded query={series}>
        {(found) => (
          <>
            <Charts found={found} onBrush={brush} />
            <Markers markers={found.markers} />
            <div className="columns">
              <Counts found={found} />
              <Models />
            </div>
          </>
        )}
      </Loaded>
      <Regions />
    </>
  );
}

/** Lines, alerts and scores on one axis with the same markers. */
function Charts({ found, onBrush }: { found: Series; onBrush: (since: number, until: number) => void }) {
  const drawn = useMemo(() => chartsOf(found), [found]);
  const shared = { times: drawn.times, range: drawn.range, markers: drawn.markers, onBrush };
  return (
    <>
      <section className="card">
        <h2>Lines</h2>
        <p>
          <Link to="/templates">{plural(found.lines, "line")}</Link>, in parts of {plural(found.step_minutes, "minute")}
          . Draw over a chart to narrow the range.
        </p>
        <TimeChart label={`${count(found.lines)} lines over time`} series={drawn.lines} {...shared} />
      </section>
      <section className="card">
        <h2>Alerts</h2>
        <p>
          <Link to="/alerts">{plural(found.alerts, "alert")}</Link>, {count(found.answered)} answered
          {found.alerts > 0 && ` (${percent(found.answered / found.alerts)})`}
        </p>
        <TimeChart label={`${count(found.alerts)} alerts over time`} series={drawn.alerts} {...shared} />
      </section>
      <section className="card">
        <h2>Windows</h2>
        <p>
          {plural(found.windows, "window")} scored, {count(drawn.anomalous)} anomalous
          {found.windows > 0 && ` (${percent(drawn.anomalous / found.windows)})`}. The chart has the median and the 99 %
          quantile of their scores, and the highest score of an alert.
        </p>
        <TimeChart label="Scores of windows and alerts over time" series={drawn.scores} {...shared} />
      </section>
    </>
  );
}

function chartsOf({ points, since, until, markers }: Series) {
  const seconds = (text: string) => Date.parse(text) / 1_000;
  const bars = (label: string, colour: string, values: number[]): ChartSeries => ({
    label,
    kind: "bars",
    colour,
    values,
  });
  const line = (label: string, colour: string, values: (number | null)[]): ChartSeries => ({
    label,
    kind: "line",
    colour,
    values,
  });
  return {
    times: points.map((point) => seconds(point.time)),
    range: [seconds(since), seconds(until)] as const,
    markers: markers.map((found): ChartMarker => ({ time: seconds(found.time), label: found.label })),
    lines: [
      bars(
        "Lines",
        "--chart",
        points.map((point) => point.lines),
      ),
    ],
    alerts: [
      bars(
        "Alerts",
        "--high",
        points.map((point) => point.alerts),
      ),
    ],
    anomalous: points.reduce((sum, point) => sum + point.anomalous, 0),
    scores: [
      line(
        "Median",
        "--chart",
        points.map((point) => point.scores?.median ?? null),
      ),
      line(
        "99 %",
        "--medium",
        points.map((point) => point.scores?.p99 ?? null),
      ),
      {
        label: "Highest of an alert",
        kind: "points",
        colour: "--high",
        values: points.map((point) => point.highest_score),
      },
    ] satisfies ChartSeries[],
  };
}

/** The markers of the charts as text, for those who do not see them, with links to what they are about. */
function Markers({ markers }: { markers: Schemas["Marker"][] }) {
  if (markers.length === 0) return null;
  return (
    <details className="card">
      <summary>{plural(markers.length, "marker")}: deploys, drift, rounds, versions</summary>
      <ul className="events">
        {[...markers].reverse().map((marker) => (
          <li key={`${marker.kind} ${marker.id} ${marker.time}`}>
            {ago(marker.time)}: <MarkerLink marker={marker} />
          </li>
        ))}
      </ul>
    </details>
  );
}

function MarkerLink({ marker }: { marker: Schemas["Marker"] }) {
  const page = { deploy: "", drift: "/drift", round: "/rounds", version: `/models/${marker.id}`, rollback: "/models" };
  const to = page[marker.kind];
  return to ? <Link to={to}>{marker.label}</Link> : <>{marker.label}</>;
}

function Counts({ found }: { found: Series }) {
  const parts = [
    ["Alerts by kind", found.kinds],
    ["Alerts by severity", found.severities],
    ["Alerts by region", found.regions],
  ] as const;
  return (
    <>
      {parts.map(([title, counts]) => (
        <section className="card" key={title}>
          <h2>{title}</h2>
          <Bars items={largestFirst(counts)} text={count} />
        </section>
      ))}
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
