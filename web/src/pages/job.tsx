import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { Link, useParams } from "react-router";
import { api, body } from "../api/client";
import { useJobStream } from "../api/stream";
import type { Job, Schemas } from "../api/types";
import { useMay } from "../session";
import { useChange } from "../ui/change";
import { Confirm } from "../ui/dialog";
import { figure, percent, words } from "../ui/format";
import { Heading, ModelLink, Pairs, Time } from "../ui/parts";
import { Loaded } from "../ui/states";
import { JobState, jobTitle } from "./jobs";
import { Value } from "./modelCard";

const LOG_MS = 2_000;

/** One training: its progress as it comes, its log, and its report. */
export function JobPage() {
  const { id = "" } = useParams();
  const client = useQueryClient();
  const query = useQuery({
    queryKey: ["jobs", id],
    queryFn: () => body(api.GET("/api/v1/jobs/{identity}", { params: { path: { identity: id } } })),
  });
  const live = query.data !== undefined && isLive(query.data.job);
  const onChange = useCallback(
    (job: Job) => {
      client.setQueryData<Schemas["JobDetail"]>(["jobs", id], (before) => ({ report: before?.report ?? null, job }));
      if (isLive(job)) return;
      for (const name of ["jobs", "models", "job-log"]) void client.invalidateQueries({ queryKey: [name] });
    },
    [client, id],
  );
  useJobStream(id, live, onChange);
  return (
    <>
      <p>
        <Link to="/jobs">← Jobs</Link>
      </p>
      <Loaded query={query}>
        {({ job, report }) => (
          <>
            <Heading title={jobTitle(job)}>{live && <CancelButton job={job} />}</Heading>
            <Progress job={job} />
            {report && <Report report={report} />}
            <Log id={id} live={live} />
          </>
        )}
      </Loaded>
    </>
  );
}

function isLive(job: Job): boolean {
  return job.state === "waiting" || job.state === "running";
}

function CancelButton({ job }: { job: Job }) {
  const [open, setOpen] = useState(false);
  const cancel = useChange(
    ["jobs"],
    () => body(api.POST("/api/v1/jobs/{identity}/cancel", { params: { path: { identity: job.id } } })),
    () => setOpen(false),
  );
  if (!useMay("admin")) return null;
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        Cancel…
      </button>
      {open && (
        <Confirm
          title="Cancel the job"
          text="What it has learnt so far is lost."
          action="Cancel the job"
          error={cancel.error}
          busy={cancel.isPending}
          onConfirm={() => cancel.mutate(undefined)}
          onClose={() => setOpen(false)}
          withComment={false}
        />
      )}
    </>
  );
}

function Progress({ job }: { job: Job }) {
  const share = job.total > 0 ? job.done / job.total : 0;
  return (
    <section className="card" aria-label="Progress">
      <p role="status">
        <JobState job={job} /> {job.sentence}
        {job.version !== null && <ModelLink name={job.model} version={job.version} />}
      </p>
      {job.state === "running" && (
        <label className="field">
          {words(job.stage) || "starting"} {job.total > 0 && `${job.done} of ${job.total} (${percent(share)})`}
          <progress max={1} {...(job.total > 0 ? { value: share } : {})} />
        </label>
      )}
      <Pairs
        items={[
          ["Data", job.source],
          ["By", job.actor],
          ["Created", <Time key="created" at={job.created} />],
          ["Started", job.started && <Time key="started" at={job.started} />],
          ["Ended", job.ended && <Time key="ended" at={job.ended} />],
          ...Object.entries(job.figures).map(([name, value]) => [words(name), figure(value)] as const),
        ]}
      />
    </section>
  );
}

function Report({ report }: { report: Schemas["TrainingReport"] }) {
  const { metrics, before, data, history, remarks, threshold, train_s } = report;
  return (
    <section className="card">
      <h2>Report</h2>
      {remarks.map((remark) => (
        <p key={remark}>{remark}</p>
      ))}
      <Pairs
        items={[
          ["Threshold", threshold !== null && figure(threshold)],
          ["Training", train_s > 0 && `${figure(train_s)} s`],
        ]}
      />
      <Value
        value={{
          figures: metrics,
          ...(Object.keys(before).length > 0 ? { "the version before, held out in the store": before } : {}),
          data,
          ...(history.length > 0 ? { "last epoch": history.at(-1) } : {}),
        }}
      />
    </section>
  );
}

function Log({ id, live }: { id: string; live: boolean }) {
  const query = useQuery({
    queryKey: ["job-log", id],
    queryFn: () =>
      body(api.GET("/api/v1/jobs/{identity}/log", { params: { path: { identity: id } }, parseAs: "text" })),
    refetchInterval: live ? LOG_MS : false,
  });
  return (
    <section className="card">
      <h2>Log</h2>
      <Loaded query={query}>
        {(text) => (
          <pre className="code" tabIndex={0} aria-label="Log">
            {text || "Nothing yet."}
          </pre>
        )}
      </Loaded>
    </section>
  );
}
