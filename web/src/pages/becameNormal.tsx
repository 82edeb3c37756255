import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { useMay } from "../session";
import { useChange } from "../ui/change";
import { count, figure, plural } from "../ui/format";
import { ListTable } from "../ui/listTable";
import { CopyButton, Heading, Time } from "../ui/parts";
import { useParameters } from "../ui/range";
import { Empty, Failure, Loaded } from "../ui/states";
import { useWithdraw } from "./askAnswers";
import { KindTemplates } from "./kindTemplates";
import { Silenced } from "./silenced";
import { VersionChoice } from "./versionChoice";

type Found = Schemas["BecameNormal"];

/** What a version of the model no longer flags, and the templates that operators silenced. */
export function BecameNormalPage() {
  const [parameters] = useParameters();
  const [before, after] = ["before", "after"].map((name) => Number(parameters.get(name)) || undefined);
  const query = useQuery({
    queryKey: ["became-normal", before, after],
    queryFn: () =>
      body(
        api.GET("/api/v1/became-normal", {
          params: { query: { ...(before ? { before } : {}), ...(after ? { after } : {}) } },
        }),
      ),
  });
  return (
    <>
      <Heading title="What became normal">
        <CopyButton text={() => window.location.href}>Copy link</CopyButton>
      </Heading>
      <Loaded query={query}>
        {(found) => (
          <>
            {found.before === null || found.after === null ? (
              <Empty>There are no two versions of {found.model} to compare.</Empty>
            ) : (
              <>
                <VersionChoice versions={found.versions} before={found.before} after={found.after} />
                <Versions found={found} />
              </>
            )}
            <Silenced items={found.silenced} />
          </>
        )}
      </Loaded>
    </>
  );
}

function Versions({ found }: { found: Found }) {
  return (
    <>
      <p>
        Both versions scored the {plural(found.windows, "complete window")} of the training store. Version{" "}
        {found.before} calls {plural(found.anomalous_before, "window")} anomalous (threshold{" "}
        {figure(found.threshold_before)}), and version {found.after} calls {plural(found.anomalous_after, "window")}{" "}
        anomalous (threshold {figure(found.threshold_after)}).{" "}
        <strong>
          {plural(found.lost, "window")} became normal, {plural(found.gained, "window")} became anomalous.
        </strong>
      </p>
      {found.kinds.length === 0 && (
        <Empty>
          Version {found.after} flags all that version {found.before} flags.
        </Empty>
      )}
      {found.kinds.map((kind) => (
        <Kind key={kind.id} kind={kind} />
      ))}
      {found.templates.length > 0 && (
        <section className="card">
          <h2>Templates that only windows which became normal have</h2>
          <ListTable label="Templates" columns={["Template", "Windows"]}>
            {found.templates.map((template) => (
              <tr key={template.id}>
                <th scope="row">
                  <Link to={`/templates/${template.id}`}>
                    <code>{template.text}</code>
                  </Link>
                </th>
                <td>{count(template.windows)}</td>
              </tr>
            ))}
          </ListTable>
        </section>
      )}
    </>
  );
}

/** One kind of windows; undoing is the answer "anomalous", from which the next round learns. */
function Kind({ kind }: { kind: Schemas["NormalKind"] }) {
  const may = useMay("operator");
  const { undone } = kind;
  const undo = useChange(["questions", "became-normal"], (identity: string) =>
    body(
      api.POST("/api/v1/questions/{identity}/answer", {
        params: { path: { identity } },
        body: { anomalous: true, comment: "must not become normal" },
      }),
    ),
  );
  const withdraw = useWithdraw();
  const busy = undo.isPending || withdraw.isPending;
  return (
    <section className="card">
      <h2>
        {plural(kind.windows, "window")}, the latest <Time at={kind.time} />
      </h2>
      <p>
        Score {figure(kind.score_before)} before, {figure(kind.score_after)} now.{" "}
        {kind.alert && <Link to={`/alerts/${kind.id}`}>Alert</Link>}
      </p>
      <KindTemplates templates={kind.templates} />
      {(undo.error ?? withdraw.error) && <Failure error={(undo.error ?? withdraw.error) as Error} />}
      <div className="actions">
        {undone ? (
          <>
            <span role="status">
              {undone.actor} called it anomalous: {plural(undone.sessions, "label")} for the next round.
            </span>
            {may && (
              <button type="button" disabled={busy} onClick={() => withdraw.mutate(undone.window_id)}>
                Withdraw
              </button>
            )}
          </>
        ) : (
          <>
            {kind.answered && <span>It has a label.</span>}
            {may && (
              <button type="button" disabled={busy} onClick={() => undo.mutate(kind.id)}>
                Undo: call it anomalous
              </button>
            )}
          </>
        )}
      </div>
    </section>
  );
}
