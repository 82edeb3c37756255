import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, body } from "../api/client";
import { ROLES, type Role, type Schemas } from "../api/types";
import { useSession } from "../session";
import { Confirm, Dialog, FormEnd } from "../ui/dialog";
import { CopyButton, Time } from "../ui/parts";
import { Empty, Loaded } from "../ui/states";
import { useChange } from "../ui/change";
import { ListTable } from "../ui/listTable";
import { SettingsFrame } from "./settingsFrame";

const KEY = ["tokens"];

/** API tokens of the user; all tokens for an administrator. */
export function TokensPage() {
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Schemas["ApiToken"] | undefined>(undefined);
  const query = useQuery({ queryKey: KEY, queryFn: () => body(api.GET("/api/v1/tokens")) });
  return (
    <SettingsFrame
      title="Tokens"
      actions={
        <button type="button" onClick={() => setMaking(true)}>
          Make a token…
        </button>
      }
    >
      <p>
        A program sends a token in the header <code>Authorization: Bearer TOKEN</code>.
      </p>
      <Loaded query={query}>
        {(tokens) =>
          tokens.length === 0 ? (
            <Empty>There are no tokens.</Empty>
          ) : (
            <ListTable label="Tokens" columns={["Name", "User", "Role", "Made", "Expires"]} last="Actions">
              {tokens.map((token) => (
                <tr key={token.id}>
                  <th scope="row">{token.name}</th>
                  <td>{token.user_name}</td>
                  <td>{token.role}</td>
                  <td>
                    <Time at={token.created} />
                  </td>
                  <td>
                    <Time at={token.expires} />
                  </td>
                  <td>
                    <button type="button" aria-label={`Revoke ${token.name}`} onClick={() => setRevoking(token)}>
                      Revoke
                    </button>
                  </td>
                </tr>
              ))}
            </ListTable>
          )
        }
      </Loaded>
      {making && <NewToken onClose={() => setMaking(false)} />}
      {revoking && <Revoke token={revoking} onClose={() => setRevoking(undefined)} />}
    </SettingsFrame>
  );
}

function NewToken({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const { role } = useSession();
  const make = useMutation({
    mutationFn: (given: Schemas["TokenRequest"]) => body(api.POST("/api/v1/tokens", { body: given })),
    onSuccess: () => void client.invalidateQueries({ queryKey: KEY }),
    // The text of the token is not kept once the dialog is closed.
    gcTime: 0,
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    make.mutate({ name: String(form.get("name")), role: form.get("role") as Role, days: Number(form.get("days")) });
  };
  if (make.data) {
    const { token, expires } = make.data;
    return (
      <Dialog title="The new token" onClose={onClose}>
        <p>
          Copy it now: it is shown only once. It expires <Time at={expires} />.
        </p>
        <pre className="token">{token}</pre>
        <div className="actions">
          <CopyButton text={() => token}>Copy the token</CopyButton>
          <button type="button" onClick={onClose}>
            Close
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="Make a token" onClose={onClose}>
      <form onSubmit={submit}>
        <label className="field">
          What it is for
          <input name="name" required maxLength={64} autoFocus />
        </label>
        <label className="field">
          Role
          <select name="role" defaultValue="viewer">
            {ROLES.slice(0, ROLES.indexOf(role) + 1).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label className="field">
          Days until it expires
          <input name="days" type="number" min={1} max={366} defaultValue={90} required />
        </label>
        <FormEnd action="Make" error={make.error} busy={make.isPending} onCancel={onClose} />
      </form>
    </Dialog>
  );
}

function Revoke({ token, onClose }: { token: Schemas["ApiToken"]; onClose: () => void }) {
  const revoke = useChange(
    KEY,
    () => body(api.DELETE("/api/v1/tokens/{identity}", { params: { path: { identity: token.id } } })),
    onClose,
  );
  return (
    <Confirm
      title={`Revoke ${token.name}`}
      text="Programs with this token are refused from now on."
      action="Revoke"
      withComment={false}
      error={revoke.error}
      busy={revoke.isPending}
      onConfirm={() => revoke.mutate(undefined)}
      onClose={onClose}
    />
  );
}
