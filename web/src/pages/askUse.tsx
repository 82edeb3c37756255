import { useQuery } from "@tanstack/react-query";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { count, plural } from "../ui/format";
import { ModelLink, Time } from "../ui/parts";
import { Loaded } from "../ui/states";

/** What the last round made of the labels of this user, and of everyone. */
export function LabelUse() {
  const query = useQuery({
    queryKey: ["questions", "use"],
    queryFn: () => body(api.GET("/api/v1/questions/use")),
  });
  return (
    <section className="card">
      <h2>What became of the labels</h2>
      <Loaded query={query}>{(report) => <Report report={report} />}</Loaded>
    </section>
  );
}

function Report({ report }: { report: Schemas["LabelReport"] }) {
  const { version, round, everyone } = report;
  const waiting = report.waiting > 0 && ` ${plural(report.waiting, "label")} came later and will be in the next round.`;
  if (version === null)
    return (
      <p>
        No round has used labels of this region yet.
        {waiting}
      </p>
    );
  const link = <ModelLink name={report.model} version={version} />;
  return (
    <>
      <p>
        {report.caller.labels > 0 && (
          <strong>
            Your {plural(report.caller.labels, "label")} {report.caller.labels === 1 ? "was" : "were"} used in round{" "}
            {round}: {link} agrees with {count(report.caller.agrees)}.{" "}
          </strong>
        )}
        Round {round} (<Time at={report.started} />) used {plural(everyone.labels, "label")} of all operators
        {everyone.labels > 0 && (
          <>
            , and {link} agrees with {count(everyone.agrees)}: {count(everyone.train)} to train,{" "}
            {count(everyone.calibrate)} for the threshold, {count(everyone.holdout)} to compare the versions
          </>
        )}
        .{waiting}
      </p>
    </>
  );
}
