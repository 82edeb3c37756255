import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useParams } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { count, plural } from "../ui/format";
import { CopyButton, Heading, Pairs, Time } from "../ui/parts";
import { customRange, given, iso, RangePicker, rangeOf, useParameters } from "../ui/range";
import { Loaded } from "../ui/states";
import { type ChartSeries, TimeChart } from "../ui/timeChart";
import { TemplateLines, TemplateRelatives } from "./templateLines";

const STEPS_MINUTES = [1, 5, 15, 60, 240, 1_440];
const MOST_POINTS = 300;
const LEVEL_COLOURS: Record<string, string> = {
  fatal: "--critical",
  error: "--high",
  warn: "--medium",
  warning: "--medium",
};

/** One template over time, by level. */
export function LifePage() {
  const { id = "" } = useParams();
  const [parameters, change] = useParameters();
  const range = rangeOf(parameters, 24);
  const minutes = (Date.parse(range.until ?? iso(Date.now())) - Date.parse(range.since ?? "")) / 60_000;
  const step = STEPS_MINUTES.find((length) => minutes / length <= MOST_POINTS) ?? 1_440;
  const within = given({ ...range, region: parameters.get("region") });
  const wanted = { ...within, step_minutes: step };
  const query = useQuery({
    queryKey: ["template", id, wanted],
    placeholderData: keepPreviousData,
    queryFn: () => body(api.GET("/api/v1/templates/{identity}", { params: { path: { identity: id }, query: wanted } })),
  });
  const brush = (since: number, until: number) => change(customRange(since * 1_000, until * 1_000));
  return (
    <>
      <p>
        <Link to={`/templates?${parameters}`}>← Templates</Link>
      </p>
      <Heading title="Template">
        <CopyButton text={() => window.location.href}>Copy link</CopyButton>
      </Heading>
      <Loaded query={query}>
        {(life) => (
          <>
            <pre className="card">{life.text}</pre>
            <form className="filters" onSubmit={(event) => event.preventDefault()}>
              <RangePicker defaultHours={24} />
              <label className="field">
                Region
                <select
                  value={parameters.get("region") ?? ""}
                  onChange={(event) => change({ region: event.target.value })}
                >
                  <option value="">All</option>
                  {life.regions.map((region) => (
                    <option key={region} value={region}>
                      {region}
                    </option>
                  ))}
                </select>
              </label>
            </form>
            <LifeChart life={life} onBrush={brush} />
            <section className="card">
              <Pairs
                items={[
                  ["Regions", life.regions.join(", ")],
                  ["First seen", <Time key="first" at={life.first_seen} />],
                  ["Last seen", <Time key="last" at={life.last_seen} />],
                  ["First line", <code key="example">{life.example}</code>],
                  ["Id", <code key="id">{life.id}</code>],
                  [
                    "Alerts",
                    <Link key="alerts" to={`/alerts?view=alerts&text=${encodeURIComponent(life.text.slice(0, 200))}`}>
                      Alerts that it caused
                    </Link>,
                  ],
                ]}
              />
            </section>
            <TemplateRelatives relatives={life.relatives} />
          </>
        )}
      </Loaded>
      <TemplateLines id={id} wanted={within} />
    </>
  );
}

function LifeChart({
  life,
  onBrush,
}: {
  life: Schemas["TemplateLife"];
  onBrush: (since: number, until: number) => void;
}) {
  const { times, series, scores } = useMemo(() => chartOf(life), [life]);
  const sum = (value: (point: Schemas["LifePoint"]) => number) =>
    life.points.reduce((total, point) => total + value(point), 0);
  const total = sum((point) => point.lines);
  const windows = sum((point) => point.windows);
  return (
    <section className="card">
      <p>
        {plural(total, "line")} in this range, in parts of {plural(life.step_minutes, "minute")}. Draw over the chart to
        narrow the range.
      </p>
      <TimeChart
        label={`${count(total)} lines of the template over time`}
        times={times}
        series={series}
        onBrush={onBrush}
      />
      {windows > 0 && (
        <>
          <p>
            {plural(windows, "scored window")} with a line of it, {count(sum((point) => point.anomalous))} anomalous;{" "}
            {plural(
              sum((point) => point.alerts),
              "alert",
            )}{" "}
            with a line of it, as the cause or not.
          </p>
          <TimeChart label="Scores of these windows over time" times={times} series={scores} onBrush={onBrush} />
        </>
      )}
    </section>
  );
}

/** Lines as bars, with a line for each level of note; parts without lines are zero. */
function chartOf(life: Schemas["TemplateLife"]): { times: number[]; series: ChartSeries[]; scores: ChartSeries[] } {
  const step = life.step_minutes * 60;
  const byTime = new Map(life.points.map((point) => [Date.parse(point.time) / 1_000, point]));
  const known = [...byTime.keys()];
  const [first, last] = [known[0], known[known.length - 1]];
  const times =
    first === undefined || last === undefined
      ? []
      : Array.from({ length: (last - first) / step + 1 }, (_, index) => first + index * step);
  const levels = [...new Set(life.points.flatMap((point) => Object.keys(point.levels)))].filter(
    (level) => level in LEVEL_COLOURS,
  );
  const lines: ChartSeries = {
    label: "Lines",
    kind: "bars",
    colour: "--chart",
    values: times.map((at) => byTime.get(at)?.lines ?? 0),
  };
  const quantiles = [
    ["Median score", "median", "--chart"],
    ["99 %", "p99", "--medium"],
  ] as const;
  return {
    times,
    scores: quantiles.map(([label, name, colour]): ChartSeries => ({
      label,
      kind: "line",
      colour,
      values: times.map((at) => byTime.get(at)?.scores?.[name] ?? null),
    })),
    series: [
      lines,
      ...levels.map((level): ChartSeries => ({
        label: level,
        kind: "line",
        colour: LEVEL_COLOURS[level] as string,
        values: times.map((at) => byTime.get(at)?.levels[level] ?? 0),
      })),
    ],
  };
}
