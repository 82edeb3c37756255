import { useQuery } from "@tanstack/react-query";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { count, duration, largestFirst, percent, plural } from "../ui/format";
import { Bars, ModelLink, Pairs } from "../ui/parts";
import { Loaded } from "../ui/states";

const REFRESH_MS = 30_000;

/** One card a region: lag, model, blind spots, labels, and the workers of its engine. */
export function Regions() {
  const query = useQuery({
    queryKey: ["regions"],
    refetchInterval: REFRESH_MS,
    queryFn: () => body(api.GET("/api/v1/regions")),
  });
  return (
    <Loaded query={query}>
      {(regions) => (
        <div className="columns">
          {regions.map((region) => (
            <Region key={region.name} region={region} />
          ))}
        </div>
      )}
    </Loaded>
  );
}

function Region({ region }: { region: Schemas["RegionHealth"] }) {
  const { model, blind, labels, workers } = region;
  return (
    <section className="card">
      <h2>Region {region.name}</h2>
      <Pairs
        items={[
          ["Last line", region.lag_s === null ? "none was counted" : `${duration(region.lag_s)} ago`],
          ["Last 24 hours", `${plural(region.lines, "line")}, ${plural(region.alerts, "alert")}`],
          [
            "Model",
            model === null ? (
              "none is published"
            ) : (
              <>
                <ModelLink name={model.name} version={model.version} />, {duration(model.age_s)} old
              </>
            ),
          ],
          [
            "Never trained on",
            blind &&
              `${percent(blind.share)} of the lines: ${plural(blind.templates, "template")} newer than the model`,
          ],
          [
            "Training store",
            labels &&
              `${plural(labels.windows, "window")}: ${count(labels.anomalous)} anomalous, ${count(labels.normal)} normal, ` +
                `${count(labels.unlabelled)} without a label`,
          ],
        ]}
      />
      {workers?.length === 0 && <p>No engine of this region answers on this machine.</p>}
      {workers?.map((worker) => (
        <Worker key={worker.worker} worker={worker} />
      ))}
    </section>
  );
}

function Worker({ worker }: { worker: Schemas["Worker"] }) {
  const dead = largestFirst(worker.dead_letters);
  return (
    <>
      <h3>
        Worker {worker.worker}{" "}
        <span className={`badge ${worker.ready ? "status-resolved" : "status-open"}`}>
          {worker.ready ? "works" : "fails"}
        </span>
      </h3>
      {worker.wrong.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      <p>
        {plural(worker.lines, "line")}, {plural(worker.windows, "window")}, {plural(worker.alerts, "alert")} since it
        started.
        {worker.lag !== null && ` ${count(worker.lag)} messages or bytes are not yet read.`} Late:{" "}
        {plural(worker.late, "line")}. Without a time: {plural(worker.undated, "line")}.
      </p>
      {dead.length > 0 && (
        <>
          <h4>Dead letters</h4>
          <Bars items={dead} text={count} />
        </>
      )}
    </>
  );
}
