import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, body } from "../api/client";
import { percent } from "../ui/format";
import { Heading } from "../ui/parts";
import { Failure, Loaded } from "../ui/states";
import { AnalysisResult } from "./analysisResult";
import { analyseFile, analyseText, type Choice } from "./classify";

const CHOICES: Record<string, { label: string; choice: Choice }> = {
  ml: { label: "Trees (XGBoost or random forest)", choice: { model_type: "ml", bert_variant: "dann" } },
  "bert/dann": { label: "DANN-BERT", choice: { model_type: "bert", bert_variant: "dann" } },
  "bert/lora": { label: "LoRA-BERT", choice: { model_type: "bert", bert_variant: "lora" } },
  "bert/hybrid": { label: "Hybrid-BERT", choice: { model_type: "bert", bert_variant: "hybrid" } },
};

/** Classify pasted lines or a file. */
export function AnalysePage() {
  const info = useQuery({ queryKey: ["model-info"], queryFn: () => body(api.GET("/model-info")) });
  const [chosen, setChosen] = useState("ml");
  const [text, setText] = useState("");
  const [file, setFile] = useState<File | undefined>(undefined);
  const [sent, setSent] = useState(0);
  const analyse = useMutation({
    mutationFn: () => {
      const choice = CHOICES[chosen]?.choice as Choice;
      setSent(0);
      return file ? analyseFile(file, choice, setSent) : analyseText(text, choice);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    analyse.mutate();
  };
  return (
    <>
      <Heading title="Analyse" />
      <form className="card" onSubmit={submit}>
        <Loaded query={info}>
          {({ models }) => (
            <label className="field">
              Classifier
              <select value={chosen} onChange={(event) => setChosen(event.target.value)}>
                {Object.entries(CHOICES).map(([key, { label }]) => (
                  <option key={key} value={key}>
                    {label}
                  </option>
                ))}
              </select>
              <small>Answers now: {models[chosen]}</small>
            </label>
          )}
        </Loaded>
        <label className="field">
          Lines
          <textarea
            rows={10}
            className="code"
            spellCheck={false}
            value={text}
            disabled={file !== undefined}
            onChange={(event) => setText(event.target.value)}
            placeholder="Paste log lines, one record a line"
          />
        </label>
        <label className="field">
          Or a file; it is classified without reasons
          <input type="file" onChange={(event) => setFile(event.target.files?.[0])} />
        </label>
        <div className="actions">
          <button
            type="submit"
            className="primary"
            disabled={analyse.isPending || (file === undefined && text.trim() === "")}
          >
            Analyse
          </button>
          {analyse.isPending && <Progress sent={file ? sent : undefined} />}
        </div>
        {analyse.error && <Failure error={analyse.error} />}
      </form>
      {analyse.data && <AnalysisResult result={analyse.data} />}
    </>
  );
}

function Progress({ sent }: { sent: number | undefined }) {
  if (sent === undefined || sent === 1) return <span role="status">Lines are classified…</span>;
  return (
    <label role="status">
      Sent {percent(sent)} <progress value={sent} />
    </label>
  );
}
