import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, body } from "../api/client";
import type { Answer, GroupAction } from "../api/types";

export const ACTIONS: Record<GroupAction, string> = {
  acknowledge: "Acknowledge",
  resolve: "Resolve",
  reopen: "Reopen",
};
export const ANSWERS: Record<Answer, string> = { right: "Right", wrong: "Wrong", normal: "Normal from now on" };
export const ANSWER_MEANS: Record<Answer, string> = {
  right: "A real anomaly. The window becomes an anomalous label in the training store.",
  wrong: "A false alarm. The window becomes a normal label in the training store.",
  normal: "A false alarm, and its template is silenced from now on.",
};

export type Decision = { what: "action"; action: GroupAction } | { what: "answer"; answer: Answer };

export function decisionTitle(decision: Decision): string {
  return decision.what === "action" ? ACTIONS[decision.action] : ANSWERS[decision.answer];
}

export interface BulkOutcome {
  changed: number;
  failed: Record<string, string>;
}

/** Lists and details of alerts and groups are read again after a decision. */
export function useRefreshAlerts(): () => void {
  const client = useQueryClient();
  return () => {
    for (const key of ["alerts", "groups", "alert", "silences"]) void client.invalidateQueries({ queryKey: [key] });
  };
}

/** Decide about several groups (actions) or alerts (answers). */
export function useBulk(onSuccess: (outcome: BulkOutcome) => void) {
  const refresh = useRefreshAlerts();
  return useMutation({
    mutationFn: ({ decision, ids, comment }: { decision: Decision; ids: string[]; comment: string }) =>
      decision.what === "action" ? actOn(ids, decision.action, comment) : answerAll(ids, decision.answer, comment),
    onSuccess: (outcome) => {
      refresh();
      onSuccess(outcome);
    },
  });
}

async function actOn(groups: string[], action: GroupAction, comment: string): Promise<BulkOutcome> {
  const outcome: BulkOutcome = { changed: 0, failed: {} };
  for (let start = 0; start < groups.length; start += MAX_GROUPS) {
    const result = await body(
      api.POST("/api/v1/groups/actions", {
        body: { groups: groups.slice(start, start + MAX_GROUPS), action, comment },
      }),
    );
    outcome.changed += result.changed.length;
    Object.assign(outcome.failed, result.failed);
  }
  return outcome;
}

/** Groups in one request of the API. */
const MAX_GROUPS = 200;

async function answerAll(alerts: string[], answer: Answer, comment: string): Promise<BulkOutcome> {
  const outcome: BulkOutcome = { changed: 0, failed: {} };
  for (const identity of alerts) {
    try {
      await body(
        api.POST("/api/v1/alerts/{identity}/feedback", { params: { path: { identity } }, body: { answer, comment } }),
      );
      outcome.changed += 1;
    } catch (error) {
      outcome.failed[identity] = error instanceof Error ? error.message : String(error);
    }
  }
  return outcome;
}
