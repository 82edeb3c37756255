import { type ReactNode, useState } from "react";
import { Link, NavLink } from "react-router";
import type { Severity } from "../api/types";
import { time, words } from "./format";

export function Heading({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="heading">
      <title>{`${title} · Driftline`}</title>
      <h1>{title}</h1>
      <div className="actions">{children}</div>
    </div>
  );
}

export function SeverityBadge({ severity }: { severity: Severity }) {
  return <span className={`badge severity-${severity}`}>{severity}</span>;
}

export function StatusBadge({ status }: { status: string }) {
  return <span className={`badge status-${status}`}>{words(status)}</span>;
}

export function Time({ at }: { at: string | null | undefined }) {
  return at ? (
    <time dateTime={at} title={at}>
      {time(at)}
    </time>
  ) : (
    <>–</>
  );
}

export function ModelLink({ name, version }: { name: string; version: number }) {
  return (
    <Link to={`/models/${encodeURIComponent(name)}/${version}`}>
      {name} version {version}
    </Link>
  );
}

export function Tabs({ label, items }: { label: string; items: readonly (readonly [to: string, label: string])[] }) {
  return (
    <nav className="tabs" aria-label={label}>
      {items.map(([to, text]) => (
        <NavLink key={to} to={to} end>
          {text}
        </NavLink>
      ))}
    </nav>
  );
}

/** Names and values; values that are missing are left out. */
export function Pairs({ items }: { items: readonly (readonly [name: string, value: ReactNode])[] }) {
  const shown = items.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return (
    <dl className="pairs">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Horizontal bars with their numbers; a bar can be a button that filters. */
export function Bars({
  items,
  text,
  onChoose,
  chosen,
}: {
  items: readonly (readonly [name: string, value: number])[];
  text: (value: number) => string;
  onChoose?: (name: string) => void;
  chosen?: string;
}) {
  const longest = Math.max(...items.map(([, value]) => value), 0) || 1;
  return (
    <ul className="bars">
      {items.map(([name, value]) => {
        const label = (
          <>
            <span>{words(name) || "none"}</span>
            <span className="bar" aria-hidden="true">
              <i style={{ width: `${(100 * value) / longest}%` }} />
            </span>
            <span className="number">{text(value)}</span>
          </>
        );
        return (
          <li key={name}>
            {onChoose ? (
              <button type="button" className="row" aria-pressed={chosen === name} onClick={() => onChoose(name)}>
                {label}
              </button>
            ) : (
              <div className="row">{label}</div>
            )}
          </li>
        );
      })}
    </ul>
  );
}

export function CopyButton({ text, children }: { text: () => string; children: ReactNode }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text());
    setDone(true);
  };
  return (
    <button type="button" onClick={() => void copy()} onBlur={() => setDone(false)}>
      {done ? "Copied" : children}
    </button>
  );
}
