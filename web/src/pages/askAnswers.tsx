import { useQuery } from "@tanstack/react-query";
import { api, body } from "../api/client";
import { useMay } from "../session";
import { useChange } from "../ui/change";
import { ListTable } from "../ui/listTable";
import { Time } from "../ui/parts";
import { Empty, Failure, Loaded } from "../ui/states";

const LIMIT = 50;

/** The newest answers about windows; each can be withdrawn. */
export function AnswersGiven() {
  const may = useMay("operator");
  const query = useQuery({
    queryKey: ["questions", "answers"],
    queryFn: () => body(api.GET("/api/v1/questions/answers", { params: { query: { limit: LIMIT } } })),
  });
  const withdraw = useWithdraw();
  return (
    <section className="card">
      <h2>Answers</h2>
      {withdraw.error && <Failure error={withdraw.error} />}
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>No window was answered here. Answers about alerts are with the alerts.</Empty>
          ) : (
            <ListTable label="Answers" columns={["Window", "Answer", "Sessions", "By", "Time"]} last="Actions">
              {items.map((found) => (
                <tr key={found.window_id}>
                  <th scope="row">
                    <code>{found.title}</code>
                  </th>
                  <td>{found.anomalous ? "anomalous" : "normal"}</td>
                  <td>{found.sessions}</td>
                  <td>{found.actor}</td>
                  <td>
                    <Time at={found.time} />
                  </td>
                  <td>
                    {may && (
                      <button
                        type="button"
                        aria-label={`Withdraw the answer about ${found.title}`}
                        onClick={() => withdraw.mutate(found.window_id)}
                      >
                        Withdraw
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </ListTable>
          )
        }
      </Loaded>
    </section>
  );
}

/** Withdraws the answer about a window. */
export function useWithdraw() {
  return useChange(["questions", "became-normal"], (identity: string) =>
    body(api.DELETE("/api/v1/questions/{identity}/answer", { params: { path: { identity } } })),
  );
}
