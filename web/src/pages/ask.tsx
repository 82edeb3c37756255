import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { useMay } from "../session";
import { useKeys } from "../shortcuts";
import { count, figure, percent, plural } from "../ui/format";
import { Heading, Pairs, Time } from "../ui/parts";
import { Empty, Failure, Loaded } from "../ui/states";
import { AnswersGiven } from "./askAnswers";
import { LabelUse } from "./askUse";
import { KindTemplates } from "./kindTemplates";

const BUDGET = 20;
const QUESTIONS = ["questions"];

/** The windows whose label teaches the model most, one key for each answer. */
export function AskPage() {
  const client = useQueryClient();
  const queue = useQuery({
    queryKey: [...QUESTIONS, "queue"],
    // A queue is worked through as it was asked for; answers are stored at once.
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => body(api.GET("/api/v1/questions", { params: { query: { limit: BUDGET } } })),
  });
  return (
    <>
      <Heading title="Ask me" />
      <LabelUse />
      <Loaded query={queue}>
        {(found) => (
          <Questions
            key={queue.dataUpdatedAt}
            queue={found}
            onMore={() => void client.invalidateQueries({ queryKey: QUESTIONS })}
          />
        )}
      </Loaded>
      <AnswersGiven />
    </>
  );
}

/** Answers by place in the queue; a place without one was skipped. */
type Answers = ReadonlyMap<number, boolean>;

function Questions({ queue, onMore }: { queue: Schemas["QuestionQueue"]; onMore: () => void }) {
  const may = useMay("operator");
  const [at, setAt] = useState(0);
  const [answers, setAnswers] = useState<Answers>(new Map());
  const question = queue.items[at];
  const change = useAnswer((place, anomalous) => {
    setAnswers((before) => {
      const after = new Map(before);
      if (anomalous === undefined) after.delete(place);
      else after.set(place, anomalous);
      return after;
    });
    setAt(anomalous === undefined ? place : place + 1);
  });
  const answer = (anomalous: boolean) => {
    if (question && !change.isPending) change.mutate({ id: question.id, place: at, anomalous });
  };
  const undo = () => {
    const before = queue.items[at - 1];
    if (!before || change.isPending) return;
    if (answers.has(at - 1)) change.mutate({ id: before.id, place: at - 1, anomalous: undefined });
    else setAt(at - 1);
  };
  const skip = () => {
    if (question) setAt(at + 1);
  };
  useKeys(may ? { a: () => answer(true), n: () => answer(false), s: skip, u: undo } : {});
  if (queue.items.length === 0)
    return (
      <Empty>
        Nothing to ask: every one of the {plural(queue.windows, "window")} in the training store is answered, or it
        holds none.
      </Empty>
    );
  const labels = [...answers].reduce((sum, [place]) => sum + (queue.items[place]?.labels ?? 0), 0);
  return (
    <section className="card" aria-live="polite">
      <h2>
        {question ? `Question ${at + 1} of ${queue.items.length}` : "The questions are answered"}{" "}
        <small>
          {count(queue.answered)} of {plural(queue.windows, "window")} had an answer
        </small>
      </h2>
      {question ? <Question question={question} threshold={queue.threshold} /> : null}
      <p>
        {plural(answers.size, "answer")}, {plural(labels, "session")} labelled.
      </p>
      {change.error && <Failure error={change.error} />}
      {may ? (
        <div className="actions">
          {question && (
            <>
              <Key name="a" text="Anomalous" busy={change.isPending} onPress={() => answer(true)} />
              <Key name="n" text="Normal" busy={change.isPending} onPress={() => answer(false)} />
              <Key name="s" text="Skip" busy={change.isPending} onPress={skip} />
            </>
          )}
          <Key name="u" text="Undo" busy={change.isPending || at === 0} onPress={undo} />
          {!question && (
            <button type="button" className="primary" onClick={onMore}>
              More questions
            </button>
          )}
        </div>
      ) : (
        <p className="notice">Answers need the role operator.</p>
      )}
    </section>
  );
}

/** Stores or withdraws the answer about a place of the queue. */
function useAnswer(onDone: (place: number, anomalous: boolean | undefined) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, anomalous }: { id: string; place: number; anomalous: boolean | undefined }) => {
      const params = { path: { identity: id } };
      return anomalous === undefined
        ? body(api.DELETE("/api/v1/questions/{identity}/answer", { params }))
        : body(api.POST("/api/v1/questions/{identity}/answer", { params, body: { anomalous } }));
    },
    onSuccess: (_, { place, anomalous }) => {
      for (const part of ["answers", "use"]) void client.invalidateQueries({ queryKey: [...QUESTIONS, part] });
      onDone(place, anomalous);
    },
  });
}

function Key({ name, text, busy, onPress }: { name: string; text: string; busy: boolean; onPress: () => void }) {
  return (
    <button type="button" disabled={busy} aria-keyshortcuts={name} onClick={onPress}>
      {text} <kbd>{name}</kbd>
    </button>
  );
}

function Question({ question, threshold }: { question: Schemas["QuestionItem"]; threshold: number | null }) {
  return (
    <>
      <Pairs
        items={[
          ["Last line", <Time key="time" at={question.time} />],
          ["Session", question.session],
          ["Alert", question.alert && <Link to={`/alerts/${question.id}`}>open it</Link>],
          ["Score", `${figure(question.score)}${threshold === null ? "" : `, threshold ${figure(threshold)}`}`],
          ["Uncertainty", percent(question.uncertainty)],
          ["Windows like it", `${count(question.alike)}; an answer labels ${plural(question.labels, "session")}`],
        ]}
      />
      <KindTemplates templates={question.templates} />
    </>
  );
}
