import { type FormEvent, type ReactNode, useEffect, useId, useRef } from "react";
import { Failure } from "./states";

/** A modal dialog; the browser keeps the focus inside and closes it with Escape. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const shown = element.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog ref={element} aria-labelledby={id} onCancel={onClose}>
      <div className="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" className="plain" aria-label="Close" onClick={onClose}>
          ✕
        </button>
      </div>
      {children}
    </dialog>
  );
}

interface FormEndProps {
  action: string;
  error: Error | null;
  busy: boolean;
  onCancel: () => void;
}

/** The end of a dialog's form: why the last try failed, and the buttons. */
export function FormEnd({ action, error, busy, onCancel }: FormEndProps) {
  return (
    <>
      {error && <Failure error={error} />}
      <div className="actions">
        <button type="submit" className="primary" disabled={busy}>
          {action}
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </>
  );
}

interface ConfirmProps {
  title: string;
  text?: ReactNode;
  action: string;
  error: Error | null;
  busy: boolean;
  onConfirm: (comment: string) => void;
  onClose: () => void;
  withComment?: boolean;
}

/** Asks before something is done, with room for a reason. */
export function Confirm({ title, text, action, error, busy, onConfirm, onClose, withComment = true }: ConfirmProps) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    onConfirm(String(new FormData(event.currentTarget).get("comment") ?? ""));
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        {text && <p>{text}</p>}
        {withComment && (
          <label className="field">
            Reason (optional)
            <textarea name="comment" rows={3} maxLength={1000} autoFocus />
          </label>
        )}
        <FormEnd action={action} error={error} busy={busy} onCancel={onClose} />
      </form>
    </Dialog>
  );
}
