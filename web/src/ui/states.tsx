import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ProblemError } from "../api/client";

export function Loading() {
  return (
    <p className="loading" role="status">
      Loading…
    </p>
  );
}

/** What went wrong, in the service's own sentence. 409 is a part that is not set up, which is not a fault. */
export function Failure({ error, retry }: { error: Error; retry?: (() => void) | undefined }) {
  if (error instanceof ProblemError && error.status === 409)
    return (
      <p className="notice" role="status">
        {error.message}
      </p>
    );
  return (
    <div className="failure" role="alert">
      <p>{error.message}</p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

/** A query's content, or that it loads, or why it failed. Old content stays visible while a refresh fails. */
export function Loaded<T>({ query, children }: { query: UseQueryResult<T>; children: (data: T) => ReactNode }) {
  if (query.data === undefined) {
    return query.isError ? <Failure error={query.error} retry={() => void query.refetch()} /> : <Loading />;
  }
  return (
    <>
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {children(query.data)}
    </>
  );
}
