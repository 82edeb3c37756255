import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { count, plural, time } from "../ui/format";
import { TimeField } from "../ui/range";
import { Failure } from "../ui/states";

type Conditions = Schemas["SilenceConditions"];

/** A regular expression that fits this text only; "" of no text. */
export function exactly(text: string): string {
  return text && `^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
}

/** Make a silence; the preview shows what it would have hidden. */
export function SilenceForm({ initial = {}, onCreated }: { initial?: Conditions; onCreated: (name: string) => void }) {
  const [given, setGiven] = useState<Conditions>(initial);
  const [comment, setComment] = useState("");
  const preview = useMutation({ mutationFn: () => body(api.POST("/api/v1/silences/preview", { body: given })) });
  const create = useMutation({
    mutationFn: () => body(api.POST("/api/v1/silences", { body: { ...given, comment } })),
    onSuccess: (silence) => onCreated(silence.name),
  });
  const set = (name: keyof Conditions, value: string | number | undefined) => {
    preview.reset();
    setGiven(({ [name]: _, ...others }) =>
      value === undefined || value === "" ? others : { ...others, [name]: value },
    );
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate();
      }}
    >
      <p>All conditions that are given must hold.</p>
      <label className="field">
        Template (regular expression)
        <input
          value={given.template ?? ""}
          maxLength={2000}
          onChange={(event) => set("template", event.target.value)}
        />
      </label>
      <label className="field">
        Session (regular expression)
        <input value={given.session ?? ""} maxLength={2000} onChange={(event) => set("session", event.target.value)} />
      </label>
      <div className="filters">
        <label className="field">
          Kind of reason
          <input value={given.reason ?? ""} maxLength={64} onChange={(event) => set("reason", event.target.value)} />
        </label>
        <label className="field">
          Only scores up to
          <input
            type="number"
            step="any"
            value={given.max_score ?? ""}
            onChange={(event) => set("max_score", event.target.value === "" ? undefined : Number(event.target.value))}
          />
        </label>
        <TimeField label="Starts (UTC)" value={given.starts} onChange={(value) => set("starts", value)} />
        <TimeField label="Ends (UTC)" value={given.ends} onChange={(value) => set("ends", value)} />
      </div>
      <label className="field">
        Reason
        <textarea rows={2} maxLength={1000} value={comment} onChange={(event) => setComment(event.target.value)} />
      </label>
      {preview.data && <Preview found={preview.data} />}
      {(preview.error ?? create.error) && <Failure error={(preview.error ?? create.error) as Error} />}
      <div className="actions">
        <button type="button" disabled={preview.isPending} onClick={() => preview.mutate()}>
          Preview
        </button>
        <button type="submit" className="primary" disabled={create.isPending}>
          Add silence
        </button>
      </div>
    </form>
  );
}

function Preview({ found }: { found: Schemas["SilencePreview"] }) {
  return (
    <div className="notice" role="status">
      <p>
        It would have hidden {count(found.hidden)} of {plural(found.read, "alert")} of the last {found.days} days.
      </p>
      <ul>
        {found.examples.slice(0, 5).map((alert) => (
          <li key={alert.id}>
            {time(alert.last_time)} {alert.title}
          </li>
        ))}
      </ul>
    </div>
  );
}
