import { Link } from "react-router";
import type { AlertDocument } from "../api/types";
import { count, figure, largestFirst, percent, plural, signed, words } from "../ui/format";
import { Bars } from "../ui/parts";

/** A threshold next to nothing is not compared with: any score is many times as high. */
const MAX_TIMES = 1_000;

/** The score next to the threshold, on one scale. */
export function ScoreBar({ score, threshold }: { score: number; threshold: number }) {
  const end = Math.max(score, threshold, 0) * 1.15 || 1;
  const at = (value: number) => `${Math.min(100, Math.max(0, (100 * value) / end))}%`;
  const label = `Score ${figure(score)}, threshold ${figure(threshold)}`;
  return (
    <div>
      <p>
        <strong>{figure(score)}</strong> against the threshold {figure(threshold)}
        {score < MAX_TIMES * threshold && <> ({figure(score / threshold)} times)</>}
      </p>
      <div className="score" role="img" aria-label={label}>
        <i className="value" style={{ width: at(score) }} />
        <i className="threshold" style={{ left: at(threshold) }} />
      </div>
    </div>
  );
}

export function Reasons({ reasons }: { reasons: NonNullable<AlertDocument["reasons"]> }) {
  return (
    <section className="card">
      <h2>Reasons</h2>
      {reasons.length === 0 && <p>The alert names no reasons but its score.</p>}
      <ol className="reasons">
        {reasons.map((reason, index) => (
          <li key={`${reason.kind}-${index}`}>
            <p>
              <span className="badge">{words(reason.kind)}</span> {reason.sentence ?? ""}
            </p>
            {reason.template && (
              <p>
                <TemplateText id={reason.template_id} text={reason.template} />
              </p>
            )}
            {reason.kind !== "score" && reason.observed !== undefined && reason.observed !== null && (
              <p>
                Now {figure(reason.observed)}
                {reason.usual !== undefined && reason.usual !== null && <>, usually {figure(reason.usual)}</>}{" "}
                {reason.unit}
              </p>
            )}
            {reason.examples?.map((example) => (
              <pre key={example.place} title={example.place}>
                {example.line}
              </pre>
            ))}
          </li>
        ))}
      </ol>
    </section>
  );
}

export function Classification({ found }: { found: AlertDocument["classification"] }) {
  if (!found) return null;
  const shares = largestFirst(found.probabilities);
  return (
    <section className="card">
      <h2>Class</h2>
      <p>
        <strong>{words(found.class)}</strong> with probability {percent(found.probability)}, by {found.model} version{" "}
        {found.version}
      </p>
      <Bars items={shares} text={percent} />
      {found.reasons && found.reasons.length > 0 && (
        <p>{found.reasons.map((reason) => `${reason.what} ${signed(reason.value)}`).join(", ")}</p>
      )}
      <pre>{found.text}</pre>
    </section>
  );
}

/** Lines with what they add to the score; the stronger the colour, the more. */
export function Contributions({ explanation }: { explanation: AlertDocument["explanation"] }) {
  if (!explanation) return null;
  const strongest = Math.max(...explanation.lines.map((line) => Math.abs(line.contribution)), Number.MIN_VALUE);
  return (
    <section className="card full">
      <h2>Contributions to the score</h2>
      <ul className="lines">
        {explanation.lines.map((line) => (
          <li
            key={line.line}
            style={{ "--share": `${(60 * Math.abs(line.contribution)) / strongest}%` } as React.CSSProperties}
            className={line.contribution < 0 ? "less" : "more"}
          >
            <span className="number">{signed(line.contribution)}</span>
            <code>{line.raw ?? line.text}</code>
          </li>
        ))}
      </ul>
      <p>
        Other lines {figure(explanation.rest)}, base {figure(explanation.base)}
      </p>
    </section>
  );
}

export function Lines({ document }: { document: AlertDocument }) {
  return (
    <section className="card full">
      <h2>Lines</h2>
      {document.lines_omitted > 0 && (
        <p>
          {plural(document.lines_omitted, "line")} of the window {document.lines_omitted === 1 ? "is" : "are"} not
          quoted.
        </p>
      )}
      <ol className="lines">
        {document.lines.map((line, index) => (
          <li key={index}>
            <code>{line}</code>
          </li>
        ))}
      </ol>
    </section>
  );
}

export function Templates({ templates }: { templates: AlertDocument["templates"] }) {
  return (
    <section className="card full">
      <h2>Templates</h2>
      <ul className="lines">
        {templates.map((template) => (
          <li key={template.id}>
            <span className="number">{count(template.count)}</span>{" "}
            <TemplateText id={template.id} text={template.text} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function TemplateText({ id, text }: { id: string | undefined; text: string }) {
  const code = <code>{text}</code>;
  return id ? <Link to={`/templates/${id}`}>{code}</Link> : code;
}
