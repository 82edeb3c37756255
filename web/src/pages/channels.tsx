import { useMutation, useQuery } from "@tanstack/react-query";
import { api, body } from "../api/client";
import { useMay } from "../session";
import { duration } from "../ui/format";
import { ListTable } from "../ui/listTable";
import { SeverityBadge } from "../ui/parts";
import { Empty, Loaded } from "../ui/states";
import { SettingsFrame } from "./settingsFrame";

/** The notification channels of the region's settings, each with a test. */
export function ChannelsPage() {
  const query = useQuery({ queryKey: ["channels"], queryFn: () => body(api.GET("/api/v1/channels")) });
  return (
    <SettingsFrame title="Channels">
      <Loaded query={query}>
        {(channels) =>
          channels.length === 0 ? (
            <Empty>The settings of the region name no channel, such as Slack, PagerDuty or a webhook.</Empty>
          ) : (
            <ListTable
              label="Channels"
              columns={["Name", "Service", "Severity from", "Updates every", "Over after", "Test"]}
            >
              {channels.map((channel) => (
                <tr key={channel.name}>
                  <th scope="row">{channel.name}</th>
                  <td>
                    <code>{channel.target}</code>
                  </td>
                  <td>
                    <SeverityBadge severity={channel.min_severity} />
                  </td>
                  <td>{duration(channel.update_s)}</td>
                  <td>{duration(channel.resolve_after_s)}</td>
                  <td>
                    <TestButton name={channel.name} />
                  </td>
                </tr>
              ))}
            </ListTable>
          )
        }
      </Loaded>
    </SettingsFrame>
  );
}

/** Sends a test through a channel, and shows what the service answered. */
function TestButton({ name }: { name: string }) {
  const may = useMay("operator");
  const test = useMutation({
    mutationFn: () => body(api.POST("/api/v1/channels/{name}/test", { params: { path: { name } } })),
  });
  const outcome = test.data?.delivered ? "Delivered." : (test.data?.detail ?? test.error?.message);
  return (
    <>
      {may && (
        <button type="button" disabled={test.isPending} aria-label={`Test ${name}`} onClick={() => test.mutate()}>
          Test
        </button>
      )}{" "}
      <span role="status">{test.isPending ? "Sending…" : outcome}</span>
    </>
  );
}
