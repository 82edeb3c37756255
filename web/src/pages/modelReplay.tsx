import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { figure, plural } from "../ui/format";
import { Pairs, Time } from "../ui/parts";
import { useParameters } from "../ui/range";
import { Loaded } from "../ui/states";
import { ListTable } from "../ui/listTable";
import { Scatter } from "../ui/scatter";

type Found = Schemas["Replay"];

const COUNTS = [50, 200, 1_000] as const;

/** What the second of two versions would have said where the first decided. */
export function Replay({ name, a, b }: { name: string; a: number; b: number }) {
  const [parameters, change] = useParameters();
  const alerts = Number(parameters.get("alerts") ?? COUNTS[1]);
  const query = useQuery({
    queryKey: ["models", name, "replay", a, b, alerts],
    queryFn: () =>
      body(api.GET("/api/v1/models/{name}/replay", { params: { path: { name }, query: { a, b, alerts } } })),
    retry: false,
  });
  return (
    <section className="card">
      <h2>What version {b} would have said</h2>
      <label className="field">
        About the last
        <select value={alerts} onChange={(event) => change({ alerts: event.target.value })}>
          {COUNTS.map((number) => (
            <option key={number} value={number}>
              {number} alerts
            </option>
          ))}
        </select>
      </label>
      <Loaded query={query}>
        {(found) => (
          <>
            <Counts found={found} />
            <Slider key={`${a} ${b}`} found={found} />
            {found.scores.length > 0 && <Scores found={found} />}
            {found.items.length > 0 && <Windows found={found} />}
          </>
        )}
      </Loaded>
    </section>
  );
}

function Counts({ found }: { found: Found }) {
  return (
    <>
      <p role="status">
        Of {plural(found.alerts, "alert")}, version {found.b} raises {found.same} like version {found.a} and loses{" "}
        {found.lost}. It would have raised {found.gained} more.
      </p>
      <Pairs
        items={[
          ["Raised by neither", found.neither > 0 && found.neither],
          ["Other windows that were scored", found.windows],
          ["Since", found.since && <Time key="since" at={found.since} />],
          ["Alerts whose window is no longer stored", found.approximate > 0 && found.approximate],
        ]}
      />
    </>
  );
}

/** Choose a threshold of the second version, and see how many alerts a day it would give. */
function Slider({ found }: { found: Found }) {
  const id = useId();
  const [parameters, change] = useParameters();
  const { points, days, threshold_b } = found;
  if (points.length < 2) return null;
  const own = points.findLastIndex((point) => point.threshold >= threshold_b);
  const at = Math.min(points.length - 1, Number(parameters.get("point") ?? Math.max(0, own)));
  const point = points[at];
  if (point === undefined) return null;
  const whole = Math.max(days, 1);
  const daily = `${figure(point.sessions / whole)} alerts a day`;
  return (
    <div className="field">
      <label htmlFor={id}>Threshold of version {found.b}</label>
      <input
        id={id}
        type="range"
        min={0}
        max={points.length - 1}
        value={at}
        aria-valuetext={`${figure(point.threshold)}, ${daily}`}
        onChange={(event) => change({ point: event.target.value })}
      />
      <output htmlFor={id}>
        At {figure(point.threshold)}: <strong>{daily}</strong> ({plural(point.sessions, "session")} in{" "}
        {whole === 1 ? "a day" : `${figure(whole)} days`}, before grouping). Its own threshold is {figure(threshold_b)}.
      </output>
    </div>
  );
}

/** The scores of both versions; lines show the thresholds. */
function Scores({ found }: { found: Found }) {
  const dots = found.scores.map(({ a, b, alert }) => ({ x: a, y: b, marked: alert }));
  const windows = found.alerts + found.windows;
  return (
    <figure>
      <Scatter
        dots={dots}
        x={{ label: `Score of version ${found.a}`, threshold: found.threshold_a }}
        y={{ label: `Score of version ${found.b}`, threshold: found.threshold_b }}
        label={`Scores of ${plural(dots.length, "window")} by versions ${found.a} and ${found.b}`}
      />
      <figcaption>
        {dots.length < windows ? `${dots.length} of ${plural(windows, "window")}` : plural(windows, "window")}; those
        that raised an alert are red. Dashed lines are the thresholds: below and right of both is what version {found.b}{" "}
        loses, above and left what it gains.
      </figcaption>
    </figure>
  );
}

function Windows({ found }: { found: Found }) {
  return (
    <ListTable
      label="Windows on which the versions differ"
      columns={["Change", "Window", "Last line", `Score of ${found.a}`, `Score of ${found.b}`]}
    >
      {found.items.map((item) => (
        <tr key={item.id}>
          <td>
            <span className={`badge ${item.change === "lost" ? "" : "status-open"}`}>{item.change}</span>
          </td>
          <th scope="row" className="prose">
            {item.alert ? <Link to={`/alerts/${item.id}`}>{item.title}</Link> : item.title}
          </th>
          <td>
            <Time at={item.time} />
          </td>
          <td className="number">{figure(item.score_a)}</td>
          <td className="number">{figure(item.score_b)}</td>
        </tr>
      ))}
    </ListTable>
  );
}
