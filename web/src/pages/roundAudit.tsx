import { useQuery } from "@tanstack/react-query";
import { api, body } from "../api/client";
import { plural, time, words } from "../ui/format";
import { Heading, Tabs, Time } from "../ui/parts";
import { Loaded } from "../ui/states";
import { Value } from "./modelCard";
import { ROUND_TABS } from "./rounds";

/** The audit log of rounds; the service verifies it on every reading. */
export function RoundAuditPage() {
  const query = useQuery({ queryKey: ["rounds", "audit"], queryFn: () => body(api.GET("/api/v1/rounds/audit")) });
  return (
    <>
      <Heading title="Audit log of rounds">
        <button type="button" disabled={query.isFetching} onClick={() => void query.refetch()}>
          Verify
        </button>
      </Heading>
      <Tabs label="Rounds" items={ROUND_TABS} />
      <Loaded query={query}>
        {(audit) => (
          <>
            {audit.intact ? (
              <p className="notice good" role="status">
                All {plural(audit.entries.length, "entry").replace("entrys", "entries")} are as they were written.
                Verified {time(new Date(query.dataUpdatedAt).toISOString())} UTC.
              </p>
            ) : (
              <p className="failure" role="alert">
                The log was changed: {audit.fault}
              </p>
            )}
            {[...audit.entries].reverse().map((entry) => (
              <details className="card" key={entry.seq}>
                <summary>
                  {entry.seq}. <strong>{words(entry.event)}</strong> <Time at={entry.time} />
                </summary>
                <Value value={entry.body} />
                <p>
                  <small>
                    SHA-256 <code>{entry.sha256}</code>
                  </small>
                </p>
              </details>
            ))}
          </>
        )}
      </Loaded>
    </>
  );
}
