import { type FormEvent, useState } from "react";
import { api, body } from "../api/client";
import { useMay } from "../session";
import { useChange } from "../ui/change";
import { Dialog, FormEnd } from "../ui/dialog";

/** Marks a deploy on the charts, at the present. */
export function MarkDeploy() {
  const may = useMay("operator");
  const [open, setOpen] = useState(false);
  const close = () => setOpen(false);
  const mark = useChange(
    ["series"],
    (label: string) => body(api.POST("/api/v1/markers", { body: { label, time: null } })),
    close,
  );
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    mark.mutate(String(new FormData(event.currentTarget).get("label")));
  };
  if (!may) return null;
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        Mark a deploy…
      </button>
      {open && (
        <Dialog title="Mark a deploy" onClose={close}>
          <form onSubmit={submit}>
            <label className="field">
              What was deployed
              <input name="label" required maxLength={200} autoFocus />
            </label>
            <FormEnd action="Mark" error={mark.error} busy={mark.isPending} onCancel={close} />
          </form>
        </Dialog>
      )}
    </>
  );
}
