import { useQuery } from "@tanstack/react-query";
import { api } from "../api/client";

const SENTENCES = {
  "not readable":
    "The database cannot be read, so pages show what was loaded before. Engines keep their alerts and counts until it is back.",
  "not writable":
    "The database could not be written: what you decide may not be saved, and is then reported. Engines keep their alerts and counts until it is back.",
} as const;

/** A banner on every page while the service cannot use its database. */
export function DatabaseBanner() {
  const health = useQuery({
    queryKey: ["health"],
    // An unreadable database is an answer with status 503 that has the same fields.
    queryFn: async () => {
      const { data, error } = await api.GET("/health");
      const found = data ?? error;
      return "database" in found ? found.database : "ok";
    },
    refetchInterval: 10_000,
    retry: false,
  });
  if (health.data === undefined || health.data === "ok") return null;
  return (
    <div className="failure" role="alert">
      <p>{SENTENCES[health.data]}</p>
    </div>
  );
}
