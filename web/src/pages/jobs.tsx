import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Job } from "../api/types";
import { usePages } from "../ui/pages";
import { Heading, ModelLink, Tabs, Time } from "../ui/parts";
import { Empty, Failure, Loading } from "../ui/states";
import { ListTable } from "../ui/listTable";
import { MODEL_TABS, TrainButton } from "./train";

const PAGE = 50;
const REFRESH_MS = 5_000;

/** Trainings and recalibrations, newest first. */
export function JobsPage() {
  const pages = usePages(
    ["jobs"],
    (cursor) => body(api.GET("/api/v1/jobs", { params: { query: { ...cursor, limit: PAGE } } })),
    REFRESH_MS,
  );
  const jobs = pages.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      <Heading title="Jobs">
        <TrainButton />
      </Heading>
      <Tabs label="Models" items={MODEL_TABS} />
      {pages.error && <Failure error={pages.error} retry={() => void pages.refetch()} />}
      {pages.isPending ? (
        <Loading />
      ) : jobs.length === 0 ? (
        <Empty>No model was trained here yet.</Empty>
      ) : (
        <ListTable label="Jobs" columns={["Started", "State", "Job", "Data", "By", "Version"]}>
          {jobs.map((job) => (
            <Row key={job.id} job={job} />
          ))}
        </ListTable>
      )}
      {pages.hasNextPage && (
        <button type="button" onClick={() => void pages.fetchNextPage()}>
          More
        </button>
      )}
    </>
  );
}

function Row({ job }: { job: Job }) {
  return (
    <tr>
      <td>
        <Time at={job.created} />
      </td>
      <td>
        <JobState job={job} />
      </td>
      <th scope="row">
        <Link to={`/jobs/${job.id}`}>{jobTitle(job)}</Link>
      </th>
      <td>{job.source}</td>
      <td>{job.actor}</td>
      <td>{job.version === null ? "–" : <ModelLink name={job.model} version={job.version} />}</td>
    </tr>
  );
}

export function jobTitle(job: Job): string {
  return job.kind === "train" ? `${job.detector} as ${job.model}` : `threshold of ${job.model}`;
}

/** The colours of a group's state that fits best. */
const COLOURS: Partial<Record<Job["state"], string>> = {
  running: "status-acknowledged",
  done: "status-resolved",
  failed: "status-open",
};

export function JobState({ job }: { job: Job }) {
  return <span className={`badge ${COLOURS[job.state] ?? ""}`}>{job.state}</span>;
}
