import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { FormEvent, ReactNode } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";
import { api, body, setCsrfToken } from "../api/client";
import { SESSION_KEY, type Session } from "../session";
import { Failure } from "../ui/states";

const MIN_PASSWORD = 12;

interface Given {
  name: string;
  password: string;
}

/** The page of the one-time link that `driftline serve` prints at its first start. */
export function SetupPage() {
  const { token = "" } = useParams();
  const navigate = useNavigate();
  const keep = useKeepSession();
  const setUp = useMutation({
    mutationFn: (given: Given) => body(api.POST("/api/v1/setup", { body: { token, ...given } })),
    onSuccess: (session) => {
      keep(session);
      void navigate("/alerts", { replace: true });
    },
  });
  return (
    <Credentials
      title="Create the first administrator"
      action="Create"
      isNew
      busy={setUp.isPending}
      error={setUp.error}
      onSubmit={setUp.mutate}
    >
      <p>This link works once. Further users are added in the settings.</p>
    </Credentials>
  );
}

export function LoginPage() {
  const keep = useKeepSession();
  const logIn = useMutation({
    mutationFn: (given: Given) => body(api.POST("/api/v1/session", { body: given })),
    onSuccess: keep,
  });
  return (
    <Credentials title="Log in" action="Log in" busy={logIn.isPending} error={logIn.error} onSubmit={logIn.mutate}>
      <OpenIdLogin />
    </Credentials>
  );
}

/** The way to the OpenID provider, if there is one, and why the last login there failed. */
function OpenIdLogin() {
  const [parameters] = useSearchParams();
  const query = useQuery({ queryKey: ["oidc"], queryFn: () => body(api.GET("/api/v1/oidc")) });
  const problem = parameters.get("problem");
  return (
    <>
      {problem && <Failure error={new Error(problem)} />}
      {query.data?.enabled && (
        <p>
          <a className="button" href="/api/v1/oidc/login">
            {query.data.label}
          </a>
        </p>
      )}
    </>
  );
}

function useKeepSession(): (session: Session) => void {
  const client = useQueryClient();
  return (session) => {
    setCsrfToken(session.csrf_token);
    client.setQueryData(SESSION_KEY, session);
  };
}

interface CredentialsProps {
  title: string;
  action: string;
  isNew?: boolean;
  busy: boolean;
  error: Error | null;
  onSubmit: (given: Given) => void;
  children?: ReactNode;
}

function Credentials({ title, action, isNew = false, busy, error, onSubmit, children }: CredentialsProps) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    onSubmit({ name: String(form.get("name")), password: String(form.get("password")) });
  };
  return (
    <main className="alone">
      <form className="card login" onSubmit={submit}>
        <p className="brand">Driftline</p>
        <title>{`${title} · Driftline`}</title>
        <h1>{title}</h1>
        {children}
        <label className="field">
          Name
          <input name="name" autoComplete="username" required maxLength={64} autoFocus />
        </label>
        <label className="field">
          Password
          <input
            name="password"
            type="password"
            autoComplete={isNew ? "new-password" : "current-password"}
            required
            minLength={isNew ? MIN_PASSWORD : undefined}
            maxLength={256}
          />
          {isNew && <small>At least {MIN_PASSWORD} characters.</small>}
        </label>
        {error && <Failure error={error} />}
        <button type="submit" className="primary" disabled={busy}>
          {action}
        </button>
      </form>
    </main>
  );
}
