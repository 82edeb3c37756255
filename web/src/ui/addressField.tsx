import { type ComponentProps, useEffect, useRef, useState } from "react";

type Props = Omit<ComponentProps<"input">, "value" | "onChange"> & {
  value: string;
  onValue: (value: string) => void;
};

/** A field whose value is kept in the address. The address changes a moment later, so the field keeps what is typed. */
export function AddressField({ value, onValue, ...others }: Props) {
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(value);
  useEffect(() => {
    if (document.activeElement !== field.current) setText(value);
  }, [value]);
  return (
    <input
      {...others}
      ref={field}
      value={text}
      // The address may have changed without the field, by going back.
      onBlur={() => setText(value)}
      onChange={(event) => {
        setText(event.target.value);
        onValue(event.target.value);
      }}
    />
  );
}
