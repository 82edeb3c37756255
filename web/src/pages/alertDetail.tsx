import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation, useParams } from "react-router";
import { api, body, ProblemError } from "../api/client";
import type { AlertDocument, AlertItem, Answer, GroupAction, Schemas } from "../api/types";
import { useMay } from "../session";
import { Confirm, Dialog } from "../ui/dialog";
import { figure, plural, time, words } from "../ui/format";
import { CopyButton, Heading, ModelLink, Pairs, SeverityBadge, StatusBadge, Time } from "../ui/parts";
import { Loaded } from "../ui/states";
import { ACTIONS, ANSWER_MEANS, ANSWERS, type Decision, decisionTitle, useRefreshAlerts } from "./alertActions";
import { Classification, Contributions, Lines, Reasons, ScoreBar, Templates } from "./alertParts";
import { exactly, SilenceForm } from "./silenceForm";

/** One alert: what it is, why it was raised, and what was decided about its group. */
export function AlertPage() {
  const { id = "" } = useParams();
  const back = useLocation().state as string | null;
  const query = useQuery({
    queryKey: ["alert", id],
    queryFn: () => body(api.GET("/api/v1/alerts/{identity}", { params: { path: { identity: id } } })),
  });
  return (
    <>
      <p>
        <Link to={`/alerts${back ? `?${back}` : ""}`}>← Alerts</Link>
      </p>
      <Loaded query={query}>{(detail) => <Detail detail={detail} />}</Loaded>
    </>
  );
}

function Detail({ detail }: { detail: Schemas["AlertDetail"] }) {
  const { alert } = detail;
  const document = detail.document as AlertDocument;
  return (
    <>
      <Heading title={alert.title || alert.cause || alert.id}>
        <CopyButton text={() => window.location.href}>Copy link</CopyButton>
      </Heading>
      <p className="badges">
        <SeverityBadge severity={alert.severity} /> <StatusBadge status={alert.status} />
        {alert.answer && <span className="badge">answered: {alert.answer}</span>}
      </p>
      {useMay("operator") && <Decisions alert={alert} document={document} />}
      <div className="columns">
        <section className="card">
          <h2>Score</h2>
          <ScoreBar score={document.score} threshold={document.threshold} />
          <Pairs
            items={[
              ["Model", <ModelLink key="model" name={document.model} version={document.version} />],
              ["Region", document.region],
              ["Source", document.source],
              ["Session", document.session],
              ["From", <Time key="from" at={document.first_time} />],
              ["To", <Time key="to" at={document.last_time} />],
              ["Lines", `${figure(document.line_count)}, from ${document.first_place} to ${document.last_place}`],
              ["Raised", <Time key="made" at={document.created} />],
              ["Repeats without an alert", document.repeats || null],
              ["Session still open when scored", document.closed ? null : "yes"],
              ["Sent for", document.digest && plural(document.digest.alerts, "alert")],
            ]}
          />
        </section>
        <Reasons reasons={document.reasons ?? []} />
        <Classification found={document.classification} />
        <Contributions explanation={document.explanation} />
        <Lines document={document} />
        <Templates templates={document.templates} />
        <Life events={detail.events} />
        <Similar alerts={detail.similar} />
      </div>
    </>
  );
}

function Decisions({ alert, document }: { alert: AlertItem; document: AlertDocument }) {
  const [decision, setDecision] = useState<Decision | undefined>(undefined);
  const [silencing, setSilencing] = useState(false);
  const [outcome, setOutcome] = useState("");
  const [alike, setAlike] = useState(true);
  const refresh = useRefreshAlerts();
  const decide = useMutation({
    mutationFn: ({ given, comment }: { given: Decision; comment: string }) => carryOut(alert, given, comment, alike),
    onSuccess: (text) => {
      setOutcome(text);
      setDecision(undefined);
      refresh();
    },
  });
  const actions: GroupAction[] =
    alert.status === "open"
      ? ["acknowledge", "resolve"]
      : alert.status === "acknowledged"
        ? ["resolve", "reopen"]
        : ["reopen"];
  const open = (given: Decision) => {
    decide.reset();
    setDecision(given);
  };
  return (
    <>
      <div className="bulk" role="toolbar" aria-label="Decisions">
        {actions.map((action) => (
          <button key={action} type="button" onClick={() => open({ what: "action", action })}>
            {ACTIONS[action]}
          </button>
        ))}
        <button type="button" onClick={() => setSilencing(true)}>
          Silence…
        </button>
        <span className="gap" />
        {(Object.keys(ANSWERS) as Answer[]).map((answer) => (
          <button
            key={answer}
            type="button"
            aria-pressed={alert.answer === answer}
            title={ANSWER_MEANS[answer]}
            onClick={() => open({ what: "answer", answer })}
          >
            {ANSWERS[answer]}
          </button>
        ))}
      </div>
      {outcome && (
        <p className="notice" role="status">
          {outcome}
        </p>
      )}
      {decision && (
        <Confirm
          title={decisionTitle(decision)}
          action={decisionTitle(decision)}
          error={decide.error}
          busy={decide.isPending}
          text={
            decision.what === "answer" ? (
              <>
                {ANSWER_MEANS[decision.answer]}
                <br />
                <label>
                  <input type="checkbox" checked={alike} onChange={(event) => setAlike(event.target.checked)} /> Label
                  all stored windows with the same templates
                </label>
              </>
            ) : (
              "This applies to the whole group."
            )
          }
          onConfirm={(comment) => decide.mutate({ given: decision, comment })}
          onClose={() => setDecision(undefined)}
        />
      )}
      {silencing && (
        <Dialog title="Silence" onClose={() => setSilencing(false)}>
          <SilenceForm
            initial={{ template: exactly(alert.cause || document.templates[0]?.text || "") }}
            onCreated={(name) => {
              setSilencing(false);
              setOutcome(`The silence ${name} was added.`);
              refresh();
            }}
          />
        </Dialog>
      )}
    </>
  );
}

/** Send a decision; the answer is a sentence about what it led to. */
async function carryOut(alert: AlertItem, given: Decision, comment: string, alike: boolean): Promise<string> {
  if (given.what === "action") {
    // Another user's change since is refused by the service, so nobody overwrites it unseen.
    const seen = await body(api.GET("/api/v1/groups/{group}", { params: { path: { group: alert.group } } }));
    if (seen.group.status !== alert.status)
      throw new Error(
        `The group is ${seen.group.status} by now (${seen.group.changed_by ?? "a new alert"}). Close this and look again.`,
      );
    const headers = { "if-match": `"${seen.group.revision}"` };
    const after = await body(
      api.POST("/api/v1/groups/{group}/actions", {
        params: { path: { group: alert.group }, header: headers },
        body: { action: given.action, comment },
      }),
    );
    return `The group is ${words(after.group.status)}.`;
  }
  const result = await body(
    api.POST("/api/v1/alerts/{identity}/feedback", {
      params: { path: { identity: alert.id } },
      body: { answer: given.answer, comment },
    }),
  );
  const learnt =
    result.in_training_store === null
      ? "There is no training store."
      : result.in_training_store
        ? "The window is in the training store."
        : "The window is not in the training store.";
  const labelled = alike && result.in_training_store ? await labelAlike(alert, given.answer === "right", comment) : "";
  const silenced = result.silence ? ` The silence ${result.silence} was added.` : "";
  return `Answered: ${ANSWERS[given.answer].toLowerCase()}. ${learnt}${labelled}${silenced}`;
}

/** Label the stored windows like that of an alert; what was done, "" if its own window is no longer stored. */
async function labelAlike(alert: AlertItem, anomalous: boolean, comment: string): Promise<string> {
  try {
    const label = await body(
      api.POST("/api/v1/questions/{identity}/answer", {
        params: { path: { identity: alert.id } },
        body: { anomalous, comment },
      }),
    );
    return ` ${plural(label.sessions, "session")} labelled.`;
  } catch (error) {
    if (error instanceof ProblemError && error.status === 404) return "";
    throw error;
  }
}

function Life({ events }: { events: Schemas["LifeEvent"][] }) {
  return (
    <section className="card">
      <h2>Life of the group</h2>
      {events.length === 0 && <p>Nothing was decided yet.</p>}
      <ol className="events">
        {events.map((event, index) => (
          <li key={`${event.time}-${index}`}>
            <Time at={event.time} /> <strong>{event.actor}</strong>: {words(event.event)}
            {event.comment && <q>{event.comment}</q>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Similar({ alerts }: { alerts: AlertItem[] }) {
  return (
    <section className="card">
      <h2>Earlier alerts of the group</h2>
      {alerts.length === 0 && <p>This is the first one.</p>}
      <ul className="events">
        {alerts.map((alert) => (
          <li key={alert.id}>
            <Link to={`/alerts/${alert.id}`}>{time(alert.last_time)}</Link> {alert.title}
            {alert.answer && <span className="badge">{alert.answer}</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}
