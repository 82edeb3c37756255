import { Link } from "react-router";
import type { AlertItem, GroupItem } from "../api/types";
import { count, figure, words } from "../ui/format";
import { SeverityBadge, StatusBadge, Time } from "../ui/parts";
import type { Column } from "../ui/table";

interface Selection {
  selected: ReadonlySet<string>;
  toggle: (id: string) => void;
}

/** Columns of the list of groups; a group opens its latest alert. */
export function groupColumns(selection: Selection | undefined, search: string): Column<GroupItem>[] {
  return [
    ...selectColumn<GroupItem>(selection, (group) => group.latest.title),
    { id: "severity", header: "Severity", width: 96, cell: (group) => <SeverityBadge severity={group.severity} /> },
    { id: "title", header: "Group", cell: (group) => titleLink(group.latest, search) },
    { id: "alerts", header: "Alerts", width: 80, from: "medium", numeric: true, cell: (group) => count(group.alerts) },
    {
      id: "status",
      header: "Status",
      width: 125,
      from: "medium",
      cell: (group) => <StatusBadge status={group.status} />,
    },
    { id: "region", header: "Region", width: 110, from: "medium", cell: (group) => group.latest.region },
    { id: "first", header: "First", width: 205, from: "large", cell: (group) => <Time at={group.first_time} /> },
    { id: "last", header: "Last", width: 205, from: "medium", cell: (group) => <Time at={group.last_time} /> },
  ];
}

export function alertColumns(selection: Selection | undefined, search: string): Column<AlertItem>[] {
  return [
    ...selectColumn<AlertItem>(selection, (alert) => alert.title),
    { id: "severity", header: "Severity", width: 96, cell: (alert) => <SeverityBadge severity={alert.severity} /> },
    { id: "title", header: "Alert", cell: (alert) => titleLink(alert, search) },
    { id: "kind", header: "Kind", width: 100, from: "medium", cell: (alert) => words(alert.line_class || alert.kind) },
    { id: "score", header: "Score", width: 80, numeric: true, from: "medium", cell: (alert) => figure(alert.score) },
    {
      id: "status",
      header: "Status",
      width: 125,
      from: "medium",
      cell: (alert) => <StatusBadge status={alert.status} />,
    },
    { id: "answer", header: "Answer", width: 90, from: "large", cell: (alert) => alert.answer ?? "–" },
    { id: "region", header: "Region", width: 110, from: "large", cell: (alert) => alert.region },
    { id: "last", header: "Time", width: 205, from: "medium", cell: (alert) => <Time at={alert.last_time} /> },
  ];
}

function titleLink(alert: AlertItem, search: string) {
  return (
    <Link to={`/alerts/${alert.id}`} state={search} title={alert.cause}>
      {alert.title || alert.cause || alert.id}
    </Link>
  );
}

function selectColumn<T extends { id: string }>(
  selection: Selection | undefined,
  name: (row: T) => string,
): Column<T>[] {
  if (selection === undefined) return [];
  const { selected, toggle } = selection;
  return [
    {
      id: "select",
      header: <span className="hidden">Selected</span>,
      width: 36,
      cell: (row) => (
        <input
          type="checkbox"
          aria-label={`Select ${name(row)}`}
          checked={selected.has(row.id)}
          onChange={() => toggle(row.id)}
        />
      ),
    },
  ];
}
