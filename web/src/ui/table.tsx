import {
  flexRender,
  getCoreRowModel,
  getSortedRowModel,
  type ColumnDef,
  type SortingState,
  useReactTable,
} from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { isTyping } from "../shortcuts";

const ROW_PX = 40;
const NEAR_END_ROWS = 10;

export interface Column<T> {
  id: string;
  header: ReactNode;
  cell: (row: T) => ReactNode;
  /** What the column sorts by; without it, the column does not sort. */
  sort?: (row: T) => string | number;
  width?: number;
  numeric?: boolean;
  /** The smallest screen that shows the column; all do if it is not given. */
  from?: "medium" | "large";
}

interface TableProps<T> {
  label: string;
  rows: readonly T[];
  columns: readonly Column<T>[];
  rowKey: (row: T) => string;
  /** Called when the last rows become visible. */
  onEnd?: (() => void) | undefined;
}

/** A table of which only the visible rows exist, so that its length costs nothing. */
export function Table<T>({ label, rows, columns, rowKey, onEnd }: TableProps<T>) {
  const [sorting, setSorting] = useState<SortingState>([]);
  const frame = useRef<HTMLDivElement>(null);
  const data = useMemo(() => [...rows], [rows]);
  const definitions = useMemo(() => columns.map(definition), [columns]);
  const table = useReactTable({
    data,
    columns: definitions,
    state: { sorting },
    onSortingChange: setSorting,
    getRowId: rowKey,
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
  });
  const sorted = table.getRowModel().rows;
  const virtual = useVirtualizer({
    count: sorted.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW_PX,
    overscan: 8,
  });
  const visible = virtual.getVirtualItems();
  const first = visible[0];
  const last = visible[visible.length - 1];
  const nearEnd = last !== undefined && last.index >= sorted.length - NEAR_END_ROWS;
  useEffect(() => {
    if (nearEnd) onEnd?.();
  }, [nearEnd, onEnd]);
  return (
    <div className="table" ref={frame} role="region" aria-label={label} tabIndex={0} onKeyDown={moveBetweenRows}>
      <table aria-rowcount={sorted.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {table.getFlatHeaders().map((header, index) => {
              const column = columns[index] as Column<T>;
              const order = header.column.getIsSorted();
              return (
                <th
                  key={header.id}
                  scope="col"
                  className={classes(column)}
                  style={{ width: column.width }}
                  aria-sort={order === false ? undefined : order === "asc" ? "ascending" : "descending"}
                >
                  {column.sort ? (
                    <button type="button" className="plain" onClick={header.column.getToggleSortingHandler()}>
                      {column.header}
                      {order === "asc" ? " ▲" : order === "desc" ? " ▼" : ""}
                    </button>
                  ) : (
                    column.header
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {first && first.start > 0 && <tr aria-hidden="true" style={{ height: first.start }} />}
          {visible.map((item) => {
            const row = sorted[item.index];
            return (
              row && (
                <tr key={row.id} data-row aria-rowindex={item.index + 2} style={{ height: ROW_PX }}>
                  {row.getVisibleCells().map((cell, index) => (
                    <td key={cell.id} className={classes(columns[index] as Column<T>)}>
                      {flexRender(cell.column.columnDef.cell, cell.getContext())}
                    </td>
                  ))}
                </tr>
              )
            );
          })}
          {last && virtual.getTotalSize() > last.end && (
            <tr aria-hidden="true" style={{ height: virtual.getTotalSize() - last.end }} />
          )}
        </tbody>
      </table>
    </div>
  );
}

function definition<T>(column: Column<T>): ColumnDef<T> {
  const { id, cell, sort } = column;
  const shared = { id, header: id, cell: ({ row }: { row: { original: T } }) => cell(row.original) };
  return sort ? { ...shared, accessorFn: sort } : shared;
}

function classes<T>(column: Column<T>): string {
  return [column.numeric ? "number" : "", column.from ? `from-${column.from}` : ""].join(" ").trim();
}

/** `j` and `k` move between the links of rows, `x` toggles the checkbox of the row. */
function moveBetweenRows(event: KeyboardEvent<HTMLDivElement>): void {
  if (!["j", "k", "x"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
    return;
  const rows = [...event.currentTarget.querySelectorAll<HTMLTableRowElement>("tr[data-row]")];
  const at = rows.findIndex((row) => row.contains(event.target as Node));
  if (event.key === "x") {
    rows[at]?.querySelector<HTMLInputElement>("input[type=checkbox]")?.click();
    return;
  }
  const next = rows[at < 0 ? 0 : at + (event.key === "j" ? 1 : -1)];
  (next?.querySelector<HTMLElement>("a") ?? next?.querySelector<HTMLElement>("button, input"))?.focus();
}
