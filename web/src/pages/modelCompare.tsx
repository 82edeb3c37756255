import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { api, body } from "../api/client";
import { signed } from "../ui/format";
import { CopyButton, Heading } from "../ui/parts";
import { useParameters } from "../ui/range";
import { Empty, Loaded } from "../ui/states";
import { ListTable } from "../ui/listTable";
import { Value } from "./modelCard";
import { Replay } from "./modelReplay";

/** What the cards of two versions state differently. */
export function ComparePage() {
  const { name = "" } = useParams();
  const [parameters] = useParameters();
  const [a, b] = [Number(parameters.get("a")), Number(parameters.get("b"))];
  const query = useQuery({
    queryKey: ["models", name, "compare", a, b],
    queryFn: () => body(api.GET("/api/v1/models/{name}/compare", { params: { path: { name }, query: { a, b } } })),
  });
  return (
    <>
      <p>
        <Link to="/models">← Models</Link>
      </p>
      <Heading title={`${name}: versions ${a} and ${b}`}>
        <CopyButton text={() => window.location.href}>Copy link</CopyButton>
      </Heading>
      <Replay name={name} a={a} b={b} />
      <h2>Cards</h2>
      <Loaded query={query}>
        {({ differences }) =>
          differences.length === 0 ? (
            <Empty>The cards state the same.</Empty>
          ) : (
            <ListTable label="Differences" columns={["Field", `Version ${a}`, `Version ${b}`, "Change"]}>
              {differences.map((found) => (
                <tr key={found.field}>
                  <th scope="row">
                    <code>{found.field}</code>
                  </th>
                  <td>
                    <Value value={found.a} />
                  </td>
                  <td>
                    <Value value={found.b} />
                  </td>
                  <td>{found.change === null ? "" : signed(found.change)}</td>
                </tr>
              ))}
            </ListTable>
          )
        }
      </Loaded>
    </>
  );
}
