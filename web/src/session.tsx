import { useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { api, body, ProblemError, setCsrfToken } from "./api/client";
import { ROLES, type Role, type Schemas } from "./api/types";

export type Session = Schemas["SessionInfo"];

export const SESSION_KEY = ["session"];

/** The session of the cookie; null without one. */
export function useSessionQuery() {
  return useQuery({
    queryKey: SESSION_KEY,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async (): Promise<Session | null> => {
      try {
        const session = await body(api.GET("/api/v1/session"));
        setCsrfToken(session.csrf_token);
        return session;
      } catch (error) {
        if (error instanceof ProblemError && error.status === 401) return null;
        throw error;
      }
    },
  });
}

export const SessionContext = createContext<Session | null>(null);

/** Who is logged in; only within the pages behind the login. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("no session");
  return session;
}

/** Whether the user has a role or a higher one. */
export function useMay(role: Role): boolean {
  return ROLES.indexOf(useSession().role) >= ROLES.indexOf(role);
}
