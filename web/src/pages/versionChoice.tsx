import { useParameters } from "../ui/range";

interface Props {
  versions: number[];
  before: number | null;
  after: number | null;
}

/** Choose two versions of a model; the choice becomes part of the address. */
export function VersionChoice({ versions, before, after }: Props) {
  const [, change] = useParameters();
  const choices = [
    ["before", "Earlier version", before],
    ["after", "Later version", after],
  ] as const;
  return (
    <form className="filters" onSubmit={(event) => event.preventDefault()}>
      {choices.map(([name, label, chosen]) => (
        <label className="field" key={name}>
          {label}
          <select value={chosen ?? ""} onChange={(event) => change({ [name]: event.target.value })}>
            {versions.map((version) => (
              <option key={version}>{version}</option>
            ))}
          </select>
        </label>
      ))}
    </form>
  );
}
