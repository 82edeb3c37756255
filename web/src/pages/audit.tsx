import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { plural } from "../ui/format";
import { Time } from "../ui/parts";
import { Failure, Loading } from "../ui/states";
import { type Column, Table } from "../ui/table";
import { given, RangePicker, rangeOf, useParameters } from "../ui/range";
import { SettingsFrame } from "./settingsFrame";

const PAGE = 200;

/** Changes through the API and logins, newest first. */
export function AuditPage() {
  const [parameters] = useParameters();
  const range = given({ ...rangeOf(parameters) });
  const pages = useInfiniteQuery({
    queryKey: ["audit", range],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      body(
        api.GET("/api/v1/audit", {
          params: { query: { ...range, limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) } },
        }),
      ),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const rows = useMemo(() => pages.data?.pages.flatMap((page) => page.items) ?? [], [pages.data]);
  const more = () => {
    if (pages.hasNextPage && !pages.isFetchingNextPage) void pages.fetchNextPage();
  };
  return (
    <SettingsFrame title="Audit log">
      <form className="filters" onSubmit={(event) => event.preventDefault()}>
        <RangePicker />
      </form>
      {pages.error && <Failure error={pages.error} retry={() => void pages.refetch()} />}
      {pages.isPending ? (
        <Loading />
      ) : (
        <Table label="Audit log" rows={rows} columns={COLUMNS} rowKey={(row) => String(row.id)} onEnd={more} />
      )}
      <p className="foot">
        {plural(rows.length, "event")}
        {pages.hasNextPage && " so far; scroll for more"}
      </p>
    </SettingsFrame>
  );
}

const COLUMNS: Column<Schemas["AuditEntry"]>[] = [
  { id: "time", header: "Time", width: 205, cell: (row) => <Time at={row.time} /> },
  { id: "actor", header: "User", width: 120, from: "medium", cell: (row) => row.actor },
  { id: "action", header: "Action", width: 160, cell: (row) => row.action },
  { id: "subject", header: "Subject", width: 260, from: "medium", cell: (row) => <code>{row.subject}</code> },
  { id: "detail", header: "Detail", from: "medium", cell: (row) => detail(row.detail) },
];

function detail(values: Record<string, unknown>): string {
  return Object.entries(values)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
}
