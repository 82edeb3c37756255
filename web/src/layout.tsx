import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { NavLink, Outlet, useLocation } from "react-router";
import { api, body } from "./api/client";
import { LoginPage } from "./pages/login";
import { SESSION_KEY, SessionContext, useSessionQuery } from "./session";
import { Shortcuts } from "./shortcuts";
import { applyTheme, storedTheme, THEMES, type Theme } from "./theme";
import { DatabaseBanner } from "./ui/databaseBanner";
import { Failure, Loading } from "./ui/states";

export const PAGES = [
  { to: "/overview", label: "Overview", key: "o" },
  { to: "/alerts", label: "Alerts", key: "a" },
  { to: "/templates", label: "Templates", key: "t" },
  { to: "/models", label: "Models", key: "m" },
  { to: "/drift", label: "Drift", key: "d" },
  { to: "/rounds", label: "Rounds", key: "r" },
  { to: "/ask", label: "Ask me", key: "q" },
  { to: "/became-normal", label: "Became normal", key: "b" },
  { to: "/analyse", label: "Analyse", key: "n" },
  { to: "/settings", label: "Settings", key: "s" },
] as const;

/** The frame of every page behind the login. */
export function Layout() {
  const session = useSessionQuery();
  useFocusOnNewPage();
  if (session.isPending) return <Loading />;
  if (session.isError)
    return (
      <main className="alone">
        <Failure error={session.error} retry={() => void session.refetch()} />
      </main>
    );
  if (session.data === null) return <LoginPage />;
  return (
    <SessionContext value={session.data}>
      <a className="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <div className="frame">
        <header className="side">
          <span className="brand">Driftline</span>
          <nav aria-label="Pages">
            {PAGES.map((page) => (
              <NavLink key={page.to} to={page.to}>
                {page.label}
              </NavLink>
            ))}
          </nav>
          <Account name={session.data.name} role={session.data.role} />
        </header>
        <main id="main" tabIndex={-1}>
          <DatabaseBanner />
          <Outlet />
        </main>
      </div>
      <Shortcuts />
    </SessionContext>
  );
}

/** Move the focus to a page that was opened, so that a screen reader reads it. */
function useFocusOnNewPage(): void {
  const { pathname } = useLocation();
  const shown = useRef(pathname);
  useEffect(() => {
    if (shown.current === pathname) return;
    shown.current = pathname;
    window.scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [pathname]);
}

/** The hash of the address belongs to the router, so the link moves the focus itself. */
function skipToMain(event: React.MouseEvent): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Account({ name, role }: { name: string; role: string }) {
  const client = useQueryClient();
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const logOut = useMutation({
    mutationFn: () => body(api.DELETE("/api/v1/session")),
    onSuccess: () => {
      client.setQueryData(SESSION_KEY, null);
      // The next user must not see what this one read.
      client.removeQueries({ predicate: (query) => query.queryKey[0] !== SESSION_KEY[0] });
    },
  });
  const choose = (chosen: Theme) => {
    setTheme(chosen);
    applyTheme(chosen);
  };
  return (
    <div className="account">
      <span>
        {name} <small>({role})</small>
      </span>
      <label>
        <span className="hidden">Theme</span>
        <select value={theme} onChange={(event) => choose(event.target.value as Theme)}>
          {THEMES.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <button type="button" onClick={() => logOut.mutate()}>
        Log out
      </button>
    </div>
  );
}
