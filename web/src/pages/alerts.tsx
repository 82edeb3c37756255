import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, body } from "../api/client";
import { type StreamState, useAlertStream } from "../api/stream";
import type { AlertItem } from "../api/types";
import { useMay } from "../session";
import { plural } from "../ui/format";
import { CopyButton, Heading } from "../ui/parts";
import { usePages } from "../ui/pages";
import { useParameters } from "../ui/range";
import { Empty, Failure, Loading } from "../ui/states";
import { Table } from "../ui/table";
import { AlertFilters, alertQuery, alertSearch } from "./alertFilters";
import { BulkBar } from "./alertBulk";
import { alertColumns, groupColumns } from "./alertColumns";

const PAGE = 100;
const REFRESH_MS = 1_000;
const STREAM: Record<StreamState, string> = {
  connecting: "Connecting…",
  live: "Live",
  interrupted: "Interrupted, trying again",
  paused: "Live updates are off",
};

/** Alerts or their groups, live. Every state is in the address. */
export function AlertsPage() {
  const [parameters, change] = useParameters();
  const grouped = parameters.get("view") !== "alerts";
  const live = parameters.get("live") !== "off";
  const stream = useLiveLists(live);
  return (
    <>
      <Heading title="Alerts">
        <button
          type="button"
          className={`stream ${stream.state}`}
          aria-pressed={live}
          onClick={() => change({ live: live ? "off" : undefined })}
        >
          {STREAM[stream.state]}
        </button>
        <div className="switch" role="group" aria-label="View">
          <button type="button" aria-pressed={grouped} onClick={() => change({ view: undefined })}>
            Groups
          </button>
          <button type="button" aria-pressed={!grouped} onClick={() => change({ view: "alerts" })}>
            Alerts
          </button>
        </div>
        <CopyButton text={() => window.location.href}>Copy link</CopyButton>
        <Export parameters={parameters} />
      </Heading>
      <AlertFilters />
      <p className="arrivals" role="status" aria-live="polite">
        {stream.latest
          ? `${plural(stream.arrived, "new alert")} since the page was opened, the latest: ${stream.latest.title}`
          : ""}
      </p>
      <Selectable key={grouped ? "groups" : "alerts"} grouped={grouped} parameters={parameters} />
    </>
  );
}

/** A list with what can be done to its selected rows. Its key is the view: ids of groups are not ids of alerts. */
function Selectable({ grouped, parameters }: { grouped: boolean; parameters: URLSearchParams }) {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback(
    (id: string) =>
      setSelected((before) => {
        const after = new Set(before);
        if (!after.delete(id)) after.add(id);
        return after;
      }),
    [],
  );
  // Nothing is decided about rows that the filters no longer show.
  useEffect(() => setSelected(new Set()), [parameters]);
  const list = { selected, toggle, parameters };
  return (
    <>
      <BulkBar grouped={grouped} selected={selected} clear={() => setSelected(new Set())} />
      {grouped ? <GroupList {...list} /> : <AlertList {...list} />}
    </>
  );
}

interface ListProps {
  selected: ReadonlySet<string>;
  toggle: (id: string) => void;
  parameters: URLSearchParams;
}

function GroupList({ selected, toggle, parameters }: ListProps) {
  const query = alertQuery(parameters);
  const may = useMay("operator");
  const pages = usePages(["groups", query], (cursor) =>
    body(api.GET("/api/v1/groups", { params: { query: { ...query, ...cursor, limit: PAGE } } })),
  );
  const columns = useMemo(
    () => groupColumns(may ? { selected, toggle } : undefined, parameters.toString()),
    [may, selected, toggle, parameters],
  );
  return <Rows label="Groups of alerts" noun="group" pages={pages} columns={columns} />;
}

function AlertList({ selected, toggle, parameters }: ListProps) {
  const query = alertQuery(parameters);
  const may = useMay("operator");
  const pages = usePages(["alerts", query], (cursor) =>
    body(api.GET("/api/v1/alerts", { params: { query: { ...query, ...cursor, limit: PAGE } } })),
  );
  const columns = useMemo(
    () => alertColumns(may ? { selected, toggle } : undefined, parameters.toString()),
    [may, selected, toggle, parameters],
  );
  return <Rows label="Alerts" noun="alert" pages={pages} columns={columns} />;
}

interface RowsProps<T> {
  label: string;
  noun: string;
  columns: Parameters<typeof Table<T>>[0]["columns"];
  pages: {
    data: { pages: { items: T[] }[] } | undefined;
    error: Error | null;
    hasNextPage: boolean;
    isFetchingNextPage: boolean;
    fetchNextPage: () => unknown;
    refetch: () => unknown;
  };
}

function Rows<T extends { id: string }>({ label, noun, columns, pages }: RowsProps<T>) {
  const rows = useMemo(() => pages.data?.pages.flatMap((page) => page.items) ?? [], [pages.data]);
  const more = () => {
    if (pages.hasNextPage && !pages.isFetchingNextPage) pages.fetchNextPage();
  };
  if (pages.data === undefined)
    return pages.error ? <Failure error={pages.error} retry={() => pages.refetch()} /> : <Loading />;
  return (
    <>
      {pages.error && <Failure error={pages.error} retry={() => pages.refetch()} />}
      {rows.length === 0 ? (
        <Empty>No alerts match these filters.</Empty>
      ) : (
        <Table label={label} rows={rows} columns={columns} rowKey={(row) => row.id} onEnd={more} />
      )}
      <p className="foot">
        {plural(rows.length, noun)}
        {pages.hasNextPage ? " so far; scroll for more" : ""}
      </p>
    </>
  );
}

/** Read the lists again when alerts arrive, at most once a second. */
function useLiveLists(active: boolean) {
  const client = useQueryClient();
  const seen = useRef(new Set<string>());
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const [latest, setLatest] = useState<AlertItem | undefined>(undefined);
  const refresh = useCallback(() => {
    for (const key of ["alerts", "groups"]) void client.invalidateQueries({ queryKey: [key] });
  }, [client]);
  const onAlert = useCallback(
    (alert: AlertItem) => {
      // After a reconnection the last alerts are sent again with the same id.
      if (seen.current.has(alert.id)) return;
      seen.current.add(alert.id);
      setLatest(alert);
      timer.current ??= setTimeout(() => {
        timer.current = undefined;
        refresh();
      }, REFRESH_MS);
    },
    [refresh],
  );
  return { state: useAlertStream(active, onAlert, refresh), latest, arrived: seen.current.size };
}

function Export({ parameters }: { parameters: URLSearchParams }) {
  const href = (format: string) =>
    `/api/v1/alerts/export?${new URLSearchParams({ ...alertSearch(parameters), format })}`;
  return (
    <>
      <a className="button" href={href("csv")} download>
        Export CSV
      </a>
      <a className="button" href={href("json")} download>
        JSON lines
      </a>
    </>
  );
}
