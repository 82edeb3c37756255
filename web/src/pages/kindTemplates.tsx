import type { Schemas } from "../api/types";
import { count } from "../ui/format";

const SHOWN = 12;

/** The templates of a kind of windows, with their lines in one of them. */
export function KindTemplates({ templates }: { templates: Schemas["QuestionTemplate"][] }) {
  return (
    <>
      <ul className="events">
        {templates.slice(0, SHOWN).map((found) => (
          <li key={found.text}>
            {count(found.count)} × <code>{found.text}</code>
          </li>
        ))}
      </ul>
      {templates.length > SHOWN && <p>and {count(templates.length - SHOWN)} more templates</p>}
    </>
  );
}
