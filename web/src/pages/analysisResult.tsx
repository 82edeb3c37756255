import { useMemo, useState } from "react";
import type { Schemas } from "../api/types";
import { count, figure, largestFirst, percent, plural, words } from "../ui/format";
import { ListTable } from "../ui/listTable";
import { Bars, Time } from "../ui/parts";
import { Empty } from "../ui/states";
import { type Column, Table } from "../ui/table";
import { type Analysis, type AnalysedLine, asCsv, save } from "./classify";

/** Windows that are listed, those with the highest scores. */
const MAX_WINDOWS = 200;

type Numbered = AnalysedLine & { number: number };

/** Distributions and results of each line. */
export function AnalysisResult({ result }: { result: Analysis }) {
  const [chosen, setChosen] = useState<string | undefined>(undefined);
  const lines = useMemo(() => result.logs.map((line, index): Numbered => ({ ...line, number: index + 1 })), [result]);
  const shown = useMemo(
    () => (chosen ? lines.filter((line) => line.prediction.class_name === chosen) : lines),
    [lines, chosen],
  );
  const columns = useMemo(lineColumns, []);
  const { summary } = result;
  return (
    <>
      <div className="heading">
        <h2>
          {plural(result.total_logs, "line")}, {percent(summary.anomaly_rate)} not normal
        </h2>
        <div className="actions">
          <button type="button" onClick={() => save("analysis.csv", "text/csv", asCsv(shown))}>
            Export CSV
          </button>
          <button
            type="button"
            onClick={() => save("analysis.json", "application/json", JSON.stringify({ ...result, logs: shown }))}
          >
            Export JSON
          </button>
        </div>
      </div>
      <p>Classified by {result.model_used}.</p>
      <div className="columns">
        <section className="card">
          <h3>Classes</h3>
          <Bars
            items={ordered(summary.class_distribution)}
            text={count}
            {...(chosen ? { chosen } : {})}
            onChoose={(name) => setChosen(name === chosen ? undefined : name)}
          />
        </section>
        <section className="card">
          <h3>Formats</h3>
          <Bars items={ordered(summary.log_type_distribution)} text={count} />
        </section>
      </div>
      {chosen && (
        <p>
          Only lines of the class {words(chosen)}{" "}
          <button type="button" onClick={() => setChosen(undefined)}>
            Show all
          </button>
        </p>
      )}
      {"windows" in result && <Windows result={result} />}
      {shown.length > 0 ? (
        <Table label="Lines" rows={shown} columns={columns} rowKey={(line) => String(line.number)} />
      ) : (
        <Empty>No lines.</Empty>
      )}
    </>
  );
}

/** Scores of the windows that the lines form, those that are anomalous first. */
function Windows({ result }: { result: Schemas["AnalyzeResult"] }) {
  const rows = [...result.windows].sort((a, b) => b.score - a.score).slice(0, MAX_WINDOWS);
  const anomalous = result.windows.filter((found) => found.anomalous).length;
  return (
    <section className="card">
      <h3>Windows</h3>
      <p>
        Scored by {result.window_model}: {plural(result.windows.length, "window")}, {anomalous} anomalous.
      </p>
      {rows.length > 0 && (
        <ListTable label="Windows" columns={["Session", "Lines", "First line", "Score", "Threshold", "Anomalous"]}>
          {rows.map((found, index) => (
            <tr key={index}>
              <th scope="row">{found.session || "–"}</th>
              <td className="number">{found.lines}</td>
              <td>
                <Time at={found.first_time} />
              </td>
              <td className="number">{figure(found.score)}</td>
              <td className="number">{figure(found.threshold)}</td>
              <td>{found.anomalous ? "yes" : "no"}</td>
            </tr>
          ))}
        </ListTable>
      )}
    </section>
  );
}

function ordered(counts: Record<string, number>): [string, number][] {
  return largestFirst(counts).filter(([, value]) => value > 0);
}

function lineColumns(): Column<Numbered>[] {
  return [
    {
      id: "number",
      header: "Line",
      width: 70,
      numeric: true,
      cell: (line) => count(line.number),
      sort: (line) => line.number,
    },
    {
      id: "class",
      header: "Class",
      width: 150,
      cell: (line) => (
        <span className={`badge class-${line.prediction.class_name}`}>{words(line.prediction.class_name)}</span>
      ),
      sort: (line) => line.prediction.class_name,
    },
    {
      id: "confidence",
      header: "Confidence",
      width: 110,
      numeric: true,
      from: "medium",
      cell: (line) => percent(line.prediction.confidence),
      sort: (line) => line.prediction.confidence,
    },
    {
      id: "format",
      header: "Format",
      width: 130,
      from: "medium",
      cell: (line) => words(line.log_type),
      sort: (line) => line.log_type,
    },
    { id: "raw", header: "Line", cell: (line) => <code title={line.template ?? line.raw}>{line.raw}</code> },
    {
      id: "reasons",
      header: "Reasons",
      width: 280,
      from: "large",
      cell: (line) => <span title={line.reasons}>{line.reasons ?? ""}</span>,
    },
  ];
}
