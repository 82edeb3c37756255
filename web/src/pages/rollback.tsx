import { useState } from "react";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { useChange } from "../ui/change";
import { Confirm, Dialog } from "../ui/dialog";

/** Go back to an earlier version of a model. */
export function Rollback({ model, onClose }: { model: Schemas["ModelItem"]; onClose: () => void }) {
  const earlier = model.versions.filter((found) => found.version !== model.current);
  const before = earlier.find((found) => model.current === null || found.version < model.current) ?? earlier[0];
  const [to, setTo] = useState(before?.version);
  const rollBack = useChange(["models"], (reason: string) =>
    body(
      api.POST("/api/v1/models/{name}/rollback", {
        params: { path: { name: model.name } },
        body: { ...(to === undefined ? {} : { to }), reason },
      }),
    ),
  );
  if (rollBack.data) {
    const { name, version, done } = rollBack.data;
    return (
      <Dialog title="Roll back" onClose={onClose}>
        <p role="status">
          {done
            ? `Version ${version} of ${name} is current.`
            : `The rollback to version ${version} is recorded; the running coordinator has not finished it yet.`}
        </p>
        <button type="button" className="primary" onClick={onClose}>
          Close
        </button>
      </Dialog>
    );
  }
  return (
    <Confirm
      title={`Roll back ${model.name}`}
      action="Roll back"
      error={rollBack.error}
      busy={rollBack.isPending}
      onConfirm={rollBack.mutate}
      onClose={onClose}
      text={
        <label className="field">
          Running engines adopt this version within seconds
          <select value={to} onChange={(event) => setTo(Number(event.target.value))}>
            {earlier.map((found) => (
              <option key={found.version} value={found.version}>
                {found.version}
              </option>
            ))}
          </select>
        </label>
      }
    />
  );
}
