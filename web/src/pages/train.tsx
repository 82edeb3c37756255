import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { api, body } from "../api/client";
import type { Job, Schemas } from "../api/types";
import { upload } from "../api/upload";
import { useMay } from "../session";
import { Dialog, FormEnd } from "../ui/dialog";
import { percent } from "../ui/format";
import { Loaded } from "../ui/states";

export const MODEL_TABS = [
  ["/models", "Versions"],
  ["/jobs", "Jobs"],
] as const;

/** Opens the form of a training, for those who may start one. */
export function TrainButton() {
  return <JobButton label="Train…" title="Train a model" kind="train" model="" />;
}

/** Opens the form of a recalibration of a model. */
export function RecalibrateButton({ model }: { model: string }) {
  return <JobButton label="Recalibrate…" title={`Recalibrate ${model}`} kind="recalibrate" model={model} />;
}

interface JobProps {
  title: string;
  kind: Job["kind"];
  /** Name of the model; "" to choose one. */
  model: string;
}

function JobButton({ label, ...form }: JobProps & { label: string }) {
  const [open, setOpen] = useState(false);
  if (!useMay("admin")) return null;
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        {label}
      </button>
      {open && <JobDialog {...form} onClose={() => setOpen(false)} />}
    </>
  );
}

function JobDialog({ title, kind, model, onClose }: JobProps & { onClose: () => void }) {
  const choices = useQuery({ queryKey: ["choices"], queryFn: () => body(api.GET("/api/v1/jobs/choices")) });
  return (
    <Dialog title={title} onClose={onClose}>
      <Loaded query={choices}>
        {(found) => <JobForm kind={kind} model={model} choices={found} onClose={onClose} />}
      </Loaded>
    </Dialog>
  );
}

interface FormProps {
  kind: Job["kind"];
  model: string;
  choices: Schemas["Choices"];
  onClose: () => void;
}

function JobForm({ kind, model, choices, onClose }: FormProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [sent, setSent] = useState(0);
  const [stored, setStored] = useState(choices.training_store);
  const start = useMutation({
    mutationFn: (form: FormData) => upload<Job>("/api/v1/jobs", form, setSent),
    onSuccess: (job) => {
      void client.invalidateQueries({ queryKey: ["jobs"] });
      void navigate(`/jobs/${job.id}`);
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    for (const name of ["data", "labels"]) {
      const file = form.get(name);
      if (file instanceof File && file.name === "") form.delete(name);
    }
    start.mutate(form);
  };
  return (
    <form onSubmit={submit}>
      <input type="hidden" name="kind" value={kind} />
      <label className="field">
        Data
        <select value={stored ? "stored" : "file"} onChange={(event) => setStored(event.target.value === "stored")}>
          {choices.training_store && <option value="stored">Windows of the region's training store</option>}
          <option value="file">A file</option>
        </select>
      </label>
      {!stored && <Files kind={kind} />}
      {kind === "train" ? <ModelFields choices={choices} /> : <input type="hidden" name="model" value={model} />}
      <label className="field">
        Threshold
        <select name="threshold" defaultValue="">
          <option value="">{kind === "train" ? "auto" : "the rule of the version in service"}</option>
          {choices.thresholds
            .filter((rule) => rule !== "auto")
            .map((rule) => (
              <option key={rule}>{rule}</option>
            ))}
        </select>
      </label>
      <p>The new version is current as soon as it is published; running engines adopt it within seconds.</p>
      {start.isPending && sent > 0 && sent < 1 && <p role="status">{percent(sent)} sent</p>}
      <FormEnd action="Start" error={start.error} busy={start.isPending} onCancel={onClose} />
    </form>
  );
}

function Files({ kind }: { kind: Job["kind"] }) {
  return (
    <>
      <label className="field">
        {kind === "train" ? "A log, or labelled lines as CSV or JSON lines" : "A log"}
        <input type="file" name="data" required />
      </label>
      <label className="field">
        Labels of the log (optional)
        <input type="file" name="labels" />
        <small>CSV or JSON lines with session,label or line,label or start,end,label</small>
      </label>
    </>
  );
}

function ModelFields({ choices }: { choices: Schemas["Choices"] }) {
  return (
    <>
      <label className="field">
        Kind of model
        <select name="detector" defaultValue={choices.detectors[0]}>
          <optgroup label="Window detectors">
            {choices.detectors.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </optgroup>
          <optgroup label="Line classifiers">
            {choices.classifiers.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </optgroup>
        </select>
      </label>
      <label className="field">
        Name in the model store (optional)
        <input name="model" maxLength={100} pattern="[A-Za-z0-9_\-][A-Za-z0-9_.\-]*" />
        <small>
          That of the kind of model if empty{choices.model && `; the region's engine uses ${choices.model}`}
        </small>
      </label>
      <label className="field">
        Settings of the model as JSON (optional)
        <textarea name="settings" rows={2} className="code" spellCheck={false} defaultValue="{}" />
      </label>
    </>
  );
}
