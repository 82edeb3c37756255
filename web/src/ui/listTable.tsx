import type { ReactNode } from "react";

interface Props {
  /** What the table shows, for those who hear it. */
  label: string;
  columns: readonly string[];
  /** Column names that are heard and not seen, before and behind the others. */
  first?: string;
  last?: string;
  caption?: string;
  /** The rows. */
  children: ReactNode;
}

/** A short table that scrolls sideways on narrow screens; see `table.tsx` for long ones. */
export function ListTable({ label, columns, first, last, caption, children }: Props) {
  return (
    <div className="scroll" role="region" aria-label={label} tabIndex={0}>
      <table className="plain-table">
        {caption && <caption>{caption}</caption>}
        <thead>
          <tr>
            {first && <Unseen name={first} />}
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
            {last && <Unseen name={last} />}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

function Unseen({ name }: { name: string }) {
  return (
    <th scope="col">
      <span className="hidden">{name}</span>
    </th>
  );
}
