import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { useMay } from "../session";
import { useChange } from "../ui/change";
import { ListTable } from "../ui/listTable";
import { Time } from "../ui/parts";
import { Failure } from "../ui/states";

/** Templates that operators called normal from now on; undoing removes the silence. */
export function Silenced({ items }: { items: Schemas["SilencedTemplate"][] }) {
  const may = useMay("operator");
  const remove = useChange(["silences", "became-normal"], (name: string) =>
    body(api.DELETE("/api/v1/silences/{name}", { params: { path: { name } } })),
  );
  if (items.length === 0) return null;
  return (
    <section className="card">
      <h2>Called normal by operators</h2>
      {remove.error && <Failure error={remove.error} />}
      <ListTable label="Called normal by operators" columns={["Template", "By", "Time", "Reason"]} last="Actions">
        {items.map((found) => (
          <tr key={found.alert}>
            <th scope="row">
              <Link to={`/alerts/${found.alert}`}>
                <code>{found.template}</code>
              </Link>
            </th>
            <td>{found.actor}</td>
            <td>
              <Time at={found.time} />
            </td>
            <td>{found.comment}</td>
            <td>
              {found.silence === null
                ? "no longer silenced"
                : may && (
                    <button
                      type="button"
                      disabled={remove.isPending}
                      aria-label={`Undo ${found.silence}`}
                      onClick={() => found.silence && remove.mutate(found.silence)}
                    >
                      Undo: remove {found.silence}
                    </button>
                  )}
            </td>
          </tr>
        ))}
      </ListTable>
    </section>
  );
}
