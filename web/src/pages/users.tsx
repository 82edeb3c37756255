import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, body } from "../api/client";
import { ROLES, type Role, type Schemas } from "../api/types";
import { Confirm, Dialog, FormEnd } from "../ui/dialog";
import { Time } from "../ui/parts";
import { Loaded } from "../ui/states";
import { useChange } from "../ui/change";
import { ListTable } from "../ui/listTable";
import { SettingsFrame } from "./settingsFrame";

type User = Schemas["User"];

const KEY = ["users"];
const MIN_PASSWORD = 12;

/** Users and their roles. */
export function UsersPage() {
  const [adding, setAdding] = useState(false);
  const [changing, setChanging] = useState<User | undefined>(undefined);
  const [deleting, setDeleting] = useState<User | undefined>(undefined);
  const query = useQuery({ queryKey: KEY, queryFn: () => body(api.GET("/api/v1/users")) });
  return (
    <SettingsFrame
      title="Users"
      actions={
        <button type="button" onClick={() => setAdding(true)}>
          Add a user…
        </button>
      }
    >
      <p>A viewer reads, an operator also answers and silences, an administrator also manages users.</p>
      <Loaded query={query}>
        {(users) => (
          <ListTable label="Users" columns={["Name", "Role", "Added", "State"]} last="Actions">
            {users.map((user) => (
              <tr key={user.name}>
                <th scope="row">{user.name}</th>
                <td>
                  {user.role}
                  {user.external && " (by the OpenID provider)"}
                </td>
                <td>
                  <Time at={user.created} />
                </td>
                <td>{stateOf(user)}</td>
                <td>
                  <button type="button" aria-label={`Change ${user.name}`} onClick={() => setChanging(user)}>
                    Change
                  </button>{" "}
                  <button type="button" aria-label={`Delete ${user.name}`} onClick={() => setDeleting(user)}>
                    Delete
                  </button>
                </td>
              </tr>
            ))}
          </ListTable>
        )}
      </Loaded>
      {adding && <Add onClose={() => setAdding(false)} />}
      {changing && <Change user={changing} onClose={() => setChanging(undefined)} />}
      {deleting && <Delete user={deleting} onClose={() => setDeleting(undefined)} />}
    </SettingsFrame>
  );
}

function stateOf(user: User) {
  if (user.disabled) return "disabled";
  const locked = user.locked_until && Date.parse(user.locked_until) > Date.now();
  return locked ? (
    <>
      locked until <Time at={user.locked_until} />
    </>
  ) : (
    "enabled"
  );
}

function Add({ onClose }: { onClose: () => void }) {
  const add = useChange(
    KEY,
    (given: Schemas["UserRequest"]) => body(api.POST("/api/v1/users", { body: given })),
    onClose,
  );
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    add.mutate({
      name: String(form.get("name")),
      role: form.get("role") as Role,
      password: String(form.get("password")),
    });
  };
  return (
    <Dialog title="Add a user" onClose={onClose}>
      <form onSubmit={submit}>
        <label className="field">
          Name
          <input
            name="name"
            required
            maxLength={64}
            pattern="[A-Za-z0-9][A-Za-z0-9._@\-]*"
            autoComplete="off"
            autoFocus
          />
        </label>
        <RoleField role="viewer" />
        <PasswordField label="Password" required />
        <FormEnd action="Add" error={add.error} busy={add.isPending} onCancel={onClose} />
      </form>
    </Dialog>
  );
}

function Change({ user, onClose }: { user: User; onClose: () => void }) {
  const change = useChange(
    KEY,
    (given: Schemas["UserChange"]) =>
      body(api.PATCH("/api/v1/users/{name}", { params: { path: { name: user.name } }, body: given })),
    onClose,
  );
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const password = String(form.get("password") ?? "");
    change.mutate({
      ...(user.external ? {} : { role: form.get("role") as Role }),
      disabled: form.get("disabled") === "on",
      ...(password ? { password } : {}),
    });
  };
  return (
    <Dialog title={`Change ${user.name}`} onClose={onClose}>
      <form onSubmit={submit}>
        <p>Every change ends the user's sessions.</p>
        {user.external ? (
          <p>The OpenID provider decides about password and role.</p>
        ) : (
          <>
            <RoleField role={user.role} />
            <PasswordField label="New password; the old one stays if this is empty" />
          </>
        )}
        <label>
          <input type="checkbox" name="disabled" defaultChecked={user.disabled} /> Disabled
        </label>
        <FormEnd action="Change" error={change.error} busy={change.isPending} onCancel={onClose} />
      </form>
    </Dialog>
  );
}

function Delete({ user, onClose }: { user: User; onClose: () => void }) {
  const remove = useChange(
    KEY,
    () => body(api.DELETE("/api/v1/users/{name}", { params: { path: { name: user.name } } })),
    onClose,
  );
  return (
    <Confirm
      title={`Delete ${user.name}`}
      text="All sessions and tokens of the user end."
      action="Delete"
      withComment={false}
      error={remove.error}
      busy={remove.isPending}
      onConfirm={() => remove.mutate(undefined)}
      onClose={onClose}
    />
  );
}

function RoleField({ role }: { role: Role }) {
  return (
    <label className="field">
      Role
      <select name="role" defaultValue={role}>
        {ROLES.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}

function PasswordField({ label, required = false }: { label: string; required?: boolean }) {
  return (
    <label className="field">
      {label}
      <input
        name="password"
        type="password"
        autoComplete="new-password"
        minLength={MIN_PASSWORD}
        maxLength={256}
        required={required}
      />
      <small>At least {MIN_PASSWORD} characters.</small>
    </label>
  );
}
