import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { api, body } from "../api/client";
import { figure, words } from "../ui/format";
import { Heading } from "../ui/parts";
import { Loaded } from "../ui/states";

/** One version with its whole card. */
export function CardPage() {
  const { name = "", version = "" } = useParams();
  const query = useQuery({
    queryKey: ["models", name, version],
    queryFn: () =>
      body(
        api.GET("/api/v1/models/{name}/versions/{version}", { params: { path: { name, version: Number(version) } } }),
      ),
  });
  return (
    <>
      <p>
        <Link to="/models">← Models</Link>
      </p>
      <Heading title={`${name} version ${version}`} />
      <Loaded query={query}>
        {({ version: found, card }) => (
          <>
            <p className="badges">
              {found.current && <span className="badge status-resolved">current</span>}
              {found.regions.map((region) => (
                <span key={region} className="badge">
                  kept by {region}
                </span>
              ))}
              {found.parent !== null && (
                <Link to={`/models/${name}/compare?a=${found.parent}&b=${found.version}`}>
                  Compare with version {found.parent}, which it comes from
                </Link>
              )}
            </p>
            <section className="card">
              <Value value={card} />
            </section>
          </>
        )}
      </Loaded>
    </>
  );
}

/** A value of a card: names and values for an object, otherwise text. */
export function Value({ value }: { value: unknown }) {
  if (value === null || value === undefined || value === "") return <>–</>;
  if (typeof value === "number") return <>{figure(value)}</>;
  if (Array.isArray(value)) {
    if (value.length === 0) return <>–</>;
    if (value.every((item) => typeof item !== "object")) return <>{value.join(", ")}</>;
    return (
      <ol>
        {value.map((item, index) => (
          <li key={index}>
            <Value value={item} />
          </li>
        ))}
      </ol>
    );
  }
  if (typeof value === "object") {
    return (
      <dl className="pairs">
        {Object.entries(value).map(([name, part]) => (
          <div key={name}>
            <dt>{words(name)}</dt>
            <dd>
              <Value value={part} />
            </dd>
          </div>
        ))}
      </dl>
    );
  }
  return <>{String(value)}</>;
}
