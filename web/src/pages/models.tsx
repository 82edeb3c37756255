import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { useMay } from "../session";
import { figure, words } from "../ui/format";
import { Heading, Tabs, Time } from "../ui/parts";
import { Empty, Loaded } from "../ui/states";
import { ListTable } from "../ui/listTable";
import { MODEL_TABS, RecalibrateButton, TrainButton } from "./train";
import { Rollback } from "./rollback";

type Model = Schemas["ModelItem"];
type Version = Schemas["VersionItem"];

/** Every model of the store with its versions. */
export function ModelsPage() {
  const query = useQuery({ queryKey: ["models"], queryFn: () => body(api.GET("/api/v1/models")) });
  return (
    <>
      <Heading title="Models">
        <TrainButton />
      </Heading>
      <Tabs label="Models" items={MODEL_TABS} />
      <Loaded query={query}>
        {(models) =>
          models.length > 0 ? (
            models.map((model) => <Versions key={model.name} model={model} />)
          ) : (
            <Empty>The model store is empty.</Empty>
          )
        }
      </Loaded>
    </>
  );
}

function Versions({ model }: { model: Model }) {
  const navigate = useNavigate();
  const mayRollBack = useMay("admin");
  const [chosen, setChosen] = useState<number[]>([]);
  const [rollingBack, setRollingBack] = useState(false);
  const toggle = (version: number) =>
    setChosen((before) =>
      before.includes(version) ? before.filter((other) => other !== version) : [...before.slice(-1), version],
    );
  const [a, b] = [...chosen].sort((left, right) => left - right);
  return (
    <section className="card">
      <div className="heading">
        <h2>{model.name}</h2>
        <div className="actions">
          <button
            type="button"
            disabled={a === undefined || b === undefined}
            onClick={() => void navigate(`/models/${model.name}/compare?a=${a}&b=${b}`)}
          >
            Compare two
          </button>
          {model.current !== null && model.versions.some((found) => found.threshold !== null) && (
            <RecalibrateButton model={model.name} />
          )}
          {mayRollBack && model.versions.length > 1 && (
            <button type="button" onClick={() => setRollingBack(true)}>
              Roll back…
            </button>
          )}
        </div>
      </div>
      <ListTable
        label={`Versions of ${model.name}`}
        columns={["Version", "Made", "Detector", "From", "Round", "Threshold", "Figures"]}
        first="Compare"
      >
        {model.versions.map((version) => (
          <Row
            key={version.version}
            name={model.name}
            version={version}
            checked={chosen.includes(version.version)}
            onToggle={() => toggle(version.version)}
          />
        ))}
      </ListTable>
      {rollingBack && <Rollback model={model} onClose={() => setRollingBack(false)} />}
    </section>
  );
}

function Row({
  name,
  version,
  checked,
  onToggle,
}: {
  name: string;
  version: Version;
  checked: boolean;
  onToggle: () => void;
}) {
  return (
    <tr>
      <td>
        <input
          type="checkbox"
          aria-label={`Compare version ${version.version}`}
          checked={checked}
          onChange={onToggle}
        />
      </td>
      <th scope="row">
        <Link to={`/models/${name}/${version.version}`}>{version.version}</Link>{" "}
        {version.current && <span className="badge status-resolved">current</span>}
        {version.regions.map((region) => (
          <span key={region} className="badge">
            kept by {region}
          </span>
        ))}
      </th>
      {version.fault ? (
        <td colSpan={6}>{version.fault}</td>
      ) : (
        <>
          <td>
            <Time at={version.created} />
          </td>
          <td>
            {version.detector}
            <br />
            <small>{words(version.kind ?? "")}</small>
          </td>
          <td>{version.parent ?? "–"}</td>
          <td>{version.round ?? "–"}</td>
          <td>{figure(version.threshold)}</td>
          <td className="prose">{figures(version.metrics)}</td>
        </>
      )}
    </tr>
  );
}

function figures(metrics: Version["metrics"]): string {
  return (
    Object.entries(metrics)
      .map(
        ([part, values]) =>
          `${words(part)}: ${Object.entries(values)
            .slice(0, 4)
            .map(([name, value]) => `${words(name)} ${figure(value)}`)
            .join(", ")}`,
      )
      .join("; ") || "–"
  );
}
