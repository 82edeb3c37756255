import { useState } from "react";
import type { Answer, GroupAction } from "../api/types";
import { Confirm } from "../ui/dialog";
import { plural } from "../ui/format";
import {
  ACTIONS,
  ANSWER_MEANS,
  ANSWERS,
  type BulkOutcome,
  type Decision,
  decisionTitle,
  useBulk,
} from "./alertActions";

/** What can be done with the selected groups or alerts. */
export function BulkBar({
  grouped,
  selected,
  clear,
}: {
  grouped: boolean;
  selected: ReadonlySet<string>;
  clear: () => void;
}) {
  const [decision, setDecision] = useState<Decision | undefined>(undefined);
  const [outcome, setOutcome] = useState<BulkOutcome | undefined>(undefined);
  const bulk = useBulk((result) => {
    setOutcome(result);
    setDecision(undefined);
    clear();
  });
  const noun = grouped ? "group" : "alert";
  const choices: Decision[] = grouped
    ? (Object.keys(ACTIONS) as GroupAction[]).map((action) => ({ what: "action", action }))
    : (Object.keys(ANSWERS) as Answer[]).map((answer) => ({ what: "answer", answer }));
  return (
    <>
      {selected.size > 0 && (
        <div className="bulk" role="toolbar" aria-label="Selected rows">
          <span>{plural(selected.size, noun)} selected</span>
          {choices.map((choice) => (
            <button key={decisionTitle(choice)} type="button" onClick={() => setDecision(choice)}>
              {decisionTitle(choice)}
            </button>
          ))}
          <button type="button" className="plain" onClick={clear}>
            Clear selection
          </button>
        </div>
      )}
      {outcome && (
        <div className="notice" role="status">
          {plural(outcome.changed, noun)} changed.
          {Object.entries(outcome.failed).map(([id, reason]) => (
            <p key={id}>
              {id}: {reason}
            </p>
          ))}
        </div>
      )}
      {decision && (
        <Confirm
          title={`${decisionTitle(decision)}: ${plural(selected.size, noun)}`}
          text={decision.what === "answer" ? ANSWER_MEANS[decision.answer] : undefined}
          action={decisionTitle(decision)}
          error={bulk.error}
          busy={bulk.isPending}
          onConfirm={(comment) => bulk.mutate({ decision, ids: [...selected], comment })}
          onClose={() => setDecision(undefined)}
        />
      )}
    </>
  );
}
