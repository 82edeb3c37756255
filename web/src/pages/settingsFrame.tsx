import type { ReactNode } from "react";
import { useMay } from "../session";
import { Heading, Tabs } from "../ui/parts";

const TABS = [
  ["/settings/tokens", "Tokens"],
  ["/settings/silences", "Silences"],
  ["/settings/channels", "Channels"],
] as const;
const ADMIN_TABS = [
  ["/settings/users", "Users"],
  ["/settings/audit", "Audit log"],
] as const;

export function SettingsFrame({
  title,
  actions,
  children,
}: {
  title: string;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const tabs = useMay("admin") ? [...TABS, ...ADMIN_TABS] : TABS;
  return (
    <>
      <Heading title={title}>{actions}</Heading>
      <Tabs label="Settings" items={tabs} />
      {children}
    </>
  );
}
