import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router";
import { ProblemError } from "./api/client";
import { router } from "./routes";
import { SESSION_KEY } from "./session";
import { applyTheme, storedTheme } from "./theme";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/frame.css";
import "./styles/layout.css";
import "./styles/forms.css";
import "./styles/tables.css";
import "./styles/parts.css";
import "./styles/narrow.css";

const REPEATED = 2;

/** A session that ended shows the login; the address stays, so the user returns to the same place. */
function onError(error: Error): void {
  if (error instanceof ProblemError && error.status === 401) queryClient.setQueryData(SESSION_KEY, null);
}

/** Only a service that is away or busy may answer otherwise the next time. */
function isTemporary(error: Error): boolean {
  return error instanceof ProblemError && (error.status === 0 || error.status >= 500);
}

const queryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: { queries: { staleTime: 5_000, retry: (count, error) => count < REPEATED && isTemporary(error) } },
});

applyTheme(storedTheme());
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no element with the id root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
