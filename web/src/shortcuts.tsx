import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { PAGES } from "./layout";
import { Dialog } from "./ui/dialog";

const CHORD_MS = 1_500;

const OTHERS = [
  ["/", "Go to the search field"],
  ["j, k", "Next or previous row of a table"],
  ["Enter", "Open the row"],
  ["x", "Select the row"],
  ["a, n, s, u", "Ask me: anomalous, normal, skip, undo"],
  ["?", "Show this list"],
] as const;

/** `g` and a letter go to a page; `/` goes to the search field; `?` lists all keys. */
export function Shortcuts() {
  const navigate = useNavigate();
  const [shown, setShown] = useState(false);
  useKeyDown((event, afterG) => {
    const page = afterG ? PAGES.find((found) => found.key === event.key) : undefined;
    if (page) void navigate(page.to);
    else if (event.key === "?") setShown(true);
    else if (event.key === "/") focusSearch(event);
    else if (!afterG && (event.key === "j" || event.key === "k")) enterTable();
  });
  if (!shown) return null;
  return (
    <Dialog title="Keys" onClose={() => setShown(false)}>
      <dl className="pairs">
        {PAGES.map((page) => (
          <div key={page.key}>
            <dt>
              <kbd>g</kbd> <kbd>{page.key}</kbd>
            </dt>
            <dd>{page.label}</dd>
          </div>
        ))}
        {OTHERS.map(([key, text]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

/** Call a function when its key is pressed on the page, outside of fields and dialogs and not after `g`. */
export function useKeys(keys: Readonly<Record<string, () => void>>): void {
  useKeyDown((event, afterG) => {
    if (!afterG && !event.repeat) keys[event.key]?.();
  });
}

/** Call a function when a key is pressed on the page, outside of fields and dialogs. */
function useKeyDown(act: (event: KeyboardEvent, afterG: boolean) => void): void {
  const latest = useRef(act);
  latest.current = act;
  const chordUntil = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const afterG = event.timeStamp < chordUntil.current;
      chordUntil.current = event.key === "g" ? event.timeStamp + CHORD_MS : 0;
      latest.current(event, afterG);
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}

export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("textarea, select, input:not([type=checkbox])") || target.closest("dialog") !== null;
}

/** Go to the first row of the page's table; within a table, the table itself moves between rows. */
function enterTable(): void {
  const table = document.querySelector(".table");
  if (table === null || table.contains(document.activeElement)) return;
  table.querySelector<HTMLElement>("tr[data-row] a, tr[data-row] button")?.focus();
}

function focusSearch(event: KeyboardEvent): void {
  const field = document.querySelector<HTMLInputElement>("input[type=search]");
  if (field === null) return;
  event.preventDefault();
  field.focus();
}
