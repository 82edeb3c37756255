import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, body } from "../api/client";
import { count, plural } from "../ui/format";
import { ListTable } from "../ui/listTable";
import { Time } from "../ui/parts";
import { Empty, Loaded } from "../ui/states";
import type { Schemas } from "../api/types";

interface Wanted {
  since?: string;
  until?: string;
  region?: string;
}

/** The lines of a template that alerts of the range keep. */
export function TemplateLines({ id, wanted }: { id: string; wanted: Wanted }) {
  const query = useQuery({
    queryKey: ["template", id, "lines", wanted],
    queryFn: () =>
      body(api.GET("/api/v1/templates/{identity}/lines", { params: { path: { identity: id }, query: wanted } })),
  });
  return (
    <section className="card">
      <h2>Lines in alerts</h2>
      <Loaded query={query}>
        {(found) => (
          <>
            <p>
              Lines are kept with alerts only. {plural(found.alerts, "alert")} of the {count(found.searched)} newest in
              this range {found.alerts === 1 ? "has" : "have"} a line of this template in the window.
            </p>
            {found.items.length === 0 ? (
              <Empty>None of these alerts kept such a line.</Empty>
            ) : (
              <ListTable label="Lines" columns={["Line", "Alert", "Region", "Session"]}>
                {found.items.map((line, index) => (
                  <tr key={index}>
                    <th scope="row">
                      <code>{line.text}</code>
                    </th>
                    <td>
                      <Link to={`/alerts/${line.alert}`}>
                        <Time at={line.time} />
                      </Link>
                    </td>
                    <td>{line.region}</td>
                    <td>{line.session}</td>
                  </tr>
                ))}
              </ListTable>
            )}
          </>
        )}
      </Loaded>
    </section>
  );
}

/** Narrower and wider templates of the same event, each with its time of life. */
export function TemplateRelatives({ relatives }: { relatives: Schemas["Relatives"] }) {
  const kinds = [
    ["narrower", relatives.covers],
    ["wider", relatives.covered_by],
  ] as const;
  if (kinds.every(([, found]) => found.length === 0)) return null;
  return (
    <section className="card">
      <h2>Narrower and wider templates</h2>
      <p>When a word of a template turns out to vary, a wider template with an id of its own counts its lines.</p>
      <ListTable label="Narrower and wider templates" columns={["Template", "It is", "First seen", "Last seen"]}>
        {kinds.flatMap(([label, found]) =>
          found.map((relative) => (
            <tr key={relative.id}>
              <th scope="row">
                <Link to={`/templates/${relative.id}`}>
                  <code>{relative.text}</code>
                </Link>
              </th>
              <td>{label}</td>
              <td>
                <Time at={relative.first_seen} />
              </td>
              <td>
                <Time at={relative.last_seen} />
              </td>
            </tr>
          )),
        )}
      </ListTable>
    </section>
  );
}
