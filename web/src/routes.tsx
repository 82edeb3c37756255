import { createHashRouter, Navigate } from "react-router";
import { Layout } from "./layout";
import { NotFound } from "./pages/notFound";
import { SetupPage } from "./pages/login";
import { Loading } from "./ui/states";

/** A hash in the address reaches any page without a rule on the server. */
export const router = createHashRouter([
  { path: "/setup/:token", element: <SetupPage /> },
  {
    path: "/",
    element: <Layout />,
    errorElement: <NotFound />,
    hydrateFallbackElement: <Loading />,
    children: [
      { index: true, element: <Navigate to="/alerts" replace /> },
      { path: "overview", lazy: async () => ({ Component: (await import("./pages/overview")).OverviewPage }) },
      { path: "alerts", lazy: async () => ({ Component: (await import("./pages/alerts")).AlertsPage }) },
      { path: "alerts/:id", lazy: async () => ({ Component: (await import("./pages/alertDetail")).AlertPage }) },
      { path: "templates", lazy: async () => ({ Component: (await import("./pages/templates")).TemplatesPage }) },
      { path: "templates/diff", lazy: async () => ({ Component: (await import("./pages/templateDiff")).DiffPage }) },
      { path: "templates/:id", lazy: async () => ({ Component: (await import("./pages/templateLife")).LifePage }) },
      { path: "models", lazy: async () => ({ Component: (await import("./pages/models")).ModelsPage }) },
      {
        path: "models/:name/compare",
        lazy: async () => ({ Component: (await import("./pages/modelCompare")).ComparePage }),
      },
      {
        path: "models/:name/:version",
        lazy: async () => ({ Component: (await import("./pages/modelCard")).CardPage }),
      },
      { path: "jobs", lazy: async () => ({ Component: (await import("./pages/jobs")).JobsPage }) },
      { path: "jobs/:id", lazy: async () => ({ Component: (await import("./pages/job")).JobPage }) },
      { path: "drift", lazy: async () => ({ Component: (await import("./pages/drift")).DriftPage }) },
      { path: "rounds", lazy: async () => ({ Component: (await import("./pages/rounds")).RoundsPage }) },
      { path: "rounds/audit", lazy: async () => ({ Component: (await import("./pages/roundAudit")).RoundAuditPage }) },
      { path: "ask", lazy: async () => ({ Component: (await import("./pages/ask")).AskPage }) },
      {
        path: "became-normal",
        lazy: async () => ({ Component: (await import("./pages/becameNormal")).BecameNormalPage }),
      },
      { path: "analyse", lazy: async () => ({ Component: (await import("./pages/analyse")).AnalysePage }) },
      { path: "settings", element: <Navigate to="/settings/tokens" replace /> },
      { path: "settings/tokens", lazy: async () => ({ Component: (await import("./pages/tokens")).TokensPage }) },
      { path: "settings/silences", lazy: async () => ({ Component: (await import("./pages/silences")).SilencesPage }) },
      { path: "settings/channels", lazy: async () => ({ Component: (await import("./pages/channels")).ChannelsPage }) },
      { path: "settings/users", lazy: async () => ({ Component: (await import("./pages/users")).UsersPage }) },
      { path: "settings/audit", lazy: async () => ({ Component: (await import("./pages/audit")).AuditPage }) },
      { path: "*", element: <NotFound /> },
    ],
  },
]);
