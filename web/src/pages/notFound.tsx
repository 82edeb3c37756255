import { isRouteErrorResponse, Link, useRouteError } from "react-router";
import { Heading } from "../ui/parts";

export function NotFound() {
  const error = useRouteError();
  const failed = error !== undefined && error !== null && !isRouteErrorResponse(error);
  return (
    <main className="alone">
      <Heading title={failed ? "The page failed" : "There is no such page"} />
      {failed && (
        <p className="failure" role="alert">
          {error instanceof Error ? error.message : String(error)}
        </p>
      )}
      <p>
        <Link to="/alerts" reloadDocument={failed}>
          Go to the alerts
        </Link>
      </p>
    </main>
  );
}
