import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { useMay } from "../session";
import { Confirm } from "../ui/dialog";
import { count, figure, plural, words } from "../ui/format";
import { Heading, Pairs, Tabs, Time } from "../ui/parts";
import { Empty, Loaded } from "../ui/states";
import { useChange } from "../ui/change";
import { ListTable } from "../ui/listTable";

type Round = Schemas["RoundItem"];

const STEPS = ["planned", "started", "judged", "published", "audited", "done"];
const REFRESH_MS = 3_000;
export const ROUND_TABS = [
  ["/rounds", "Rounds"],
  ["/rounds/audit", "Audit log"],
] as const;

/** Federated rounds, the newest first. */
export function RoundsPage() {
  const query = useQuery({
    queryKey: ["rounds"],
    refetchInterval: REFRESH_MS,
    queryFn: () => body(api.GET("/api/v1/rounds", { params: { query: { limit: 50 } } })),
  });
  return (
    <>
      <Heading title="Rounds">{useMay("operator") && <Start />}</Heading>
      <Tabs label="Rounds" items={ROUND_TABS} />
      <Loaded query={query}>
        {(report) => (
          <>
            <State report={report} />
            {report.rounds.length === 0 && <Empty>No round was planned yet.</Empty>}
            {report.rounds.map((round, index) => (
              <OneRound key={round.round_id} round={round} open={index === 0} />
            ))}
          </>
        )}
      </Loaded>
    </>
  );
}

function State({ report }: { report: Schemas["RoundsReport"] }) {
  return (
    <section className="card">
      <Pairs
        items={[
          ["Coordinator", report.running ? "running" : "not running"],
          ["Waits for", report.waiting],
          [
            "Reasons for a round",
            report.triggers.length > 0 && (
              <ul key="triggers">
                {report.triggers.map((text, index) => (
                  <li key={index}>{text}</li>
                ))}
              </ul>
            ),
          ],
          [
            "Regions",
            report.regions.length > 0 && (
              <ul key="regions">
                {report.regions.map((region) => (
                  <li key={region.name}>
                    <strong>{region.name}</strong>: attended {plural(region.attended, "round")}
                    {region.missed > 0 && `, missed the last ${region.missed}`}
                    {region.last_round && `, last ${region.last_round}`}
                  </li>
                ))}
              </ul>
            ),
          ],
        ]}
      />
    </section>
  );
}

function OneRound({ round, open }: { round: Round; open: boolean }) {
  const at = STEPS.indexOf(round.step);
  return (
    <details className="card" open={open || undefined}>
      <summary>
        <strong>Round {round.number}</strong> of {round.model}:{" "}
        {round.outcome ? words(round.outcome) : `in progress, ${round.step}`}{" "}
        <Time at={round.ended ?? round.started ?? round.planned} />
      </summary>
      <ol className="steps" aria-label="Steps">
        {STEPS.map((step, index) => (
          <li key={step} className={index <= at ? "done" : ""} aria-current={index === at ? "step" : undefined}>
            {step}
          </li>
        ))}
      </ol>
      <p>{round.sentence}</p>
      <Pairs
        items={[
          ["Reason", round.reason],
          [
            "Versions",
            <>
              {<Link to={`/models/${round.model}/${round.version}`}>{round.version}</Link>}
              {round.published !== null && (
                <>
                  {" "}
                  → <Link to={`/models/${round.model}/${round.published}`}>{round.published}</Link> (
                  <Link to={`/models/${round.model}/compare?a=${round.version}&b=${round.published}`}>compare</Link>)
                </>
              )}
            </>,
          ],
          ["Participants", round.participants.join(", ")],
          ["Missing", round.missing.join(", ")],
          [
            "Keep an earlier version",
            Object.entries(round.held)
              .map(([region, version]) => `${region}: ${version}`)
              .join(", "),
          ],
          ["Windows trained on", count(round.examples)],
          ["Epsilon", round.epsilon === null ? null : figure(round.epsilon)],
          ["Planned", <Time key="planned" at={round.planned} />],
          ["Ended", round.ended && <Time key="ended" at={round.ended} />],
          [
            "Refused replies",
            round.refusals.length > 0 && (
              <ul key="refusals">
                {round.refusals.map((text, index) => (
                  <li key={index}>{text}</li>
                ))}
              </ul>
            ),
          ],
        ]}
      />
      {round.verdicts.length > 0 && <Verdicts verdicts={round.verdicts} />}
      {round.traffic.length > 0 && <Traffic traffic={round.traffic} />}
      {round.steps.length > 0 && <ServerSteps steps={round.steps} />}
    </details>
  );
}

function Traffic({ traffic }: { traffic: Round["traffic"] }) {
  const sum = (name: "sent" | "received") => count(traffic.reduce((total, found) => total + found[name], 0));
  return (
    <ListTable
      label="Bytes that travelled"
      caption={`No logs left a region: ${sum("received")} bytes of weights and figures did, and ${sum("sent")} came back`}
      columns={["Region", "Bytes to it", "Bytes from it"]}
    >
      {traffic.map((found) => (
        <tr key={found.region}>
          <th scope="row">{found.region}</th>
          <td className="number">{count(found.sent)}</td>
          <td className="number">{count(found.received)}</td>
        </tr>
      ))}
    </ListTable>
  );
}

function ServerSteps({ steps }: { steps: Round["steps"] }) {
  return (
    <ListTable label="Steps with the regions" caption="Steps with the regions" columns={["Step", "Done", "Figures"]}>
      {steps.map((step, index) => (
        <tr key={index}>
          <th scope="row">{step.name}</th>
          <td>
            <Time at={step.time} />
          </td>
          <td className="prose">
            {Object.entries(step.figures)
              .map(([name, value]) => `${words(name)}: ${typeof value === "number" ? figure(value) : value}`)
              .join(", ")}
          </td>
        </tr>
      ))}
    </ListTable>
  );
}

function Verdicts({ verdicts }: { verdicts: Round["verdicts"] }) {
  return (
    <ListTable
      label="Verdicts of the gate"
      caption="Verdict of the gate in each region: the figure of the current model, and of the candidate"
      columns={["Region", "Before", "After", "Change", "Labelled", "Verdict", "Adopts"]}
    >
      {verdicts.map((verdict) => (
        <tr key={verdict.region}>
          <th scope="row">{verdict.region}</th>
          <td className="number">{figure(verdict.before)}</td>
          <td className="number">{figure(verdict.after)}</td>
          <td className="number">
            {verdict.after >= verdict.before ? "+" : ""}
            {figure(verdict.after - verdict.before)}
          </td>
          <td className="number">{count(verdict.labelled)}</td>
          <td>{words(verdict.standing)}</td>
          <td>{verdict.adopts ? "yes" : "no"}</td>
        </tr>
      ))}
    </ListTable>
  );
}

function Start() {
  const [asking, setAsking] = useState(false);
  const start = useChange(
    ["rounds"],
    (reason: string) => body(api.POST("/api/v1/rounds", { body: { reason } })),
    () => setAsking(false),
  );
  return (
    <>
      {start.data && (
        <span role="status">
          {start.data.running
            ? "The coordinator plans a round."
            : "Recorded; the next coordinator that runs plans a round."}
        </span>
      )}
      <button
        type="button"
        onClick={() => {
          start.reset();
          setAsking(true);
        }}
      >
        Start a round…
      </button>
      {asking && (
        <Confirm
          title="Start a round"
          text="A running coordinator plans it within seconds."
          action="Start"
          error={start.error}
          busy={start.isPending}
          onConfirm={start.mutate}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}
