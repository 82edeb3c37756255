import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, body } from "../api/client";
import type { Schemas } from "../api/types";
import { useMay } from "../session";
import { Confirm, Dialog } from "../ui/dialog";
import { figure, words } from "../ui/format";
import { Time } from "../ui/parts";
import { Empty, Loaded } from "../ui/states";
import { useChange } from "../ui/change";
import { ListTable } from "../ui/listTable";
import { SettingsFrame } from "./settingsFrame";
import { SilenceForm } from "./silenceForm";

const KEY = ["silences"];

/** The silences in force: those of the region's settings and those of its file. */
export function SilencesPage() {
  const client = useQueryClient();
  const may = useMay("operator");
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<string | undefined>(undefined);
  const query = useQuery({ queryKey: KEY, queryFn: () => body(api.GET("/api/v1/silences")) });
  return (
    <SettingsFrame
      title="Silences"
      actions={
        may && (
          <button type="button" onClick={() => setAdding(true)}>
            Add a silence…
          </button>
        )
      }
    >
      <Loaded query={query}>
        {(silences) =>
          silences.length === 0 ? (
            <Empty>No silence is in force.</Empty>
          ) : (
            <ListTable label="Silences" columns={["Name", "Hides", "Starts", "Ends", "Reason"]} last="Actions">
              {silences.map((silence) => (
                <tr key={`${silence.fixed} ${silence.name}`}>
                  <th scope="row">{silence.name}</th>
                  <td>{conditions(silence)}</td>
                  <td>
                    <Time at={silence.starts} />
                  </td>
                  <td>
                    <Time at={silence.ends} />
                  </td>
                  <td>{silence.comment}</td>
                  <td>
                    {silence.fixed
                      ? "in the settings"
                      : may && (
                          <button
                            type="button"
                            aria-label={`Remove ${silence.name}`}
                            onClick={() => setRemoving(silence.name)}
                          >
                            Remove
                          </button>
                        )}
                  </td>
                </tr>
              ))}
            </ListTable>
          )
        }
      </Loaded>
      {adding && (
        <Dialog title="Add a silence" onClose={() => setAdding(false)}>
          <SilenceForm
            onCreated={() => {
              setAdding(false);
              void client.invalidateQueries({ queryKey: KEY });
            }}
          />
        </Dialog>
      )}
      {removing !== undefined && <Remove name={removing} onClose={() => setRemoving(undefined)} />}
    </SettingsFrame>
  );
}

function conditions(silence: Schemas["SilenceItem"]) {
  return (
    <ul className="conditions">
      {silence.template && (
        <li>
          template <code>{silence.template}</code>
        </li>
      )}
      {silence.session && (
        <li>
          session <code>{silence.session}</code>
        </li>
      )}
      {silence.reason && <li>reason {words(silence.reason)}</li>}
      {silence.max_score !== null && <li>score up to {figure(silence.max_score)}</li>}
    </ul>
  );
}

function Remove({ name, onClose }: { name: string; onClose: () => void }) {
  const remove = useChange(
    KEY,
    () => body(api.DELETE("/api/v1/silences/{name}", { params: { path: { name } } })),
    onClose,
  );
  return (
    <Confirm
      title={`Remove ${name}`}
      text="A running engine raises these alerts again within seconds."
      action="Remove"
      withComment={false}
      error={remove.error}
      busy={remove.isPending}
      onConfirm={() => remove.mutate(undefined)}
      onClose={onClose}
    />
  );
}
