import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { DriftEvent } from "../api/types";
import { count, figure, percent, words } from "../ui/format";
import { Heading, ModelLink, Pairs, Time } from "../ui/parts";
import { useParameters } from "../ui/range";
import { Empty, Loaded } from "../ui/states";
import { type ChartSeries, TimeChart } from "../ui/timeChart";
import { ListTable } from "../ui/listTable";
import { Value } from "./modelCard";

const LIMIT = 500;
const TEMPLATES = 10;

/** Drift events and regressions of the region. */
export function DriftPage() {
  const [parameters, change] = useParameters();
  const query = useQuery({
    queryKey: ["drift", LIMIT],
    refetchInterval: 10_000,
    queryFn: () => body(api.GET("/api/v1/drift-events", { params: { query: { limit: LIMIT } } })),
  });
  return (
    <>
      <Heading title="Drift" />
      <Loaded query={query}>
        {({ items }) => {
          const events = items as unknown as DriftEvent[];
          const detectors = [...new Set(events.map((event) => event.detector))].sort();
          const detector = parameters.get("detector");
          const shown = detector ? events.filter((event) => event.detector === detector) : events;
          if (events.length === 0) return <Empty>No drift was detected.</Empty>;
          return (
            <>
              <form className="filters" onSubmit={(event) => event.preventDefault()}>
                <label className="field">
                  Detector
                  <select value={detector ?? ""} onChange={(event) => change({ detector: event.target.value })}>
                    <option value="">All</option>
                    {detectors.map((name) => (
                      <option key={name} value={name}>
                        {words(name)}
                      </option>
                    ))}
                  </select>
                </label>
              </form>
              <Statistics events={shown} />
              {shown.map((event) => (
                <Event key={event.id} event={event} />
              ))}
            </>
          );
        }}
      </Loaded>
    </>
  );
}

/** Statistics of several detectors have different units, so the chart shows their ratio to the limit. */
function Statistics({ events }: { events: DriftEvent[] }) {
  const { times, series } = useMemo(() => {
    const ordered = events
      .filter((event) => event.threshold !== 0)
      .sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
    return {
      times: ordered.map((event) => Date.parse(event.time) / 1_000),
      series: [
        {
          label: "Statistic / limit",
          kind: "points",
          colour: "--high",
          values: ordered.map((event) => event.statistic / event.threshold),
        },
        { label: "Limit", kind: "line", dashed: true, colour: "--muted", values: ordered.map(() => 1) },
      ] satisfies ChartSeries[],
    };
  }, [events]);
  return (
    <section className="card">
      <h2>Statistic against its limit</h2>
      <TimeChart label="Statistics of drift events divided by their limits" times={times} series={series} />
    </section>
  );
}

function Event({ event }: { event: DriftEvent }) {
  const title = event.type === "regression" ? "Regression" : event.kind ? words(event.kind) : "Drift";
  return (
    <details className="card">
      <summary>
        <span className={`badge ${event.over ? "status-resolved" : "status-open"}`}>
          {event.over ? "over" : event.type}
        </span>{" "}
        <strong>{title}</strong> in {event.region}, <Time at={event.time} />: {words(event.detector)}{" "}
        {figure(event.statistic)} of {figure(event.threshold)}
      </summary>
      <Pairs
        items={[
          ["Since", <Time key="since" at={event.since} />],
          ["Windows", count(event.windows)],
          ["Model", <ModelLink key="model" name={event.model.name} version={event.model.version} />],
          ["Evidence", Object.keys(event.evidence).length > 0 && <Value key="evidence" value={event.evidence} />],
        ]}
      />
      {event.templates.length > 0 && (
        <ListTable label="Templates that carry it" columns={["Template", "Share of windows then", "Now"]}>
          {event.templates.slice(0, TEMPLATES).map((found) => (
            <tr key={found.id}>
              <td>
                <Link to={`/templates/${found.id}`}>
                  <code>{found.text || found.id}</code>
                </Link>
              </td>
              <td className="number">{percent(found.reference_share)}</td>
              <td className="number">{percent(found.current_share)}</td>
            </tr>
          ))}
        </ListTable>
      )}
    </details>
  );
}
