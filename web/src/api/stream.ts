import { useEffect, useState } from "react";
import type { AlertItem, Job } from "./types";

export type StreamState = "connecting" | "live" | "interrupted" | "paused";

/** Time until a refused connection is tried again, in milliseconds. */
const RETRY_MS = 5_000;

/**
 * Receive new alerts while `active`.
 *
 * The browser reconnects by itself and resumes behind the last event, unless the service refuses the connection. Then a
 * new stream is opened, which begins with the present; `onGap` is called when that succeeds.
 */
export function useAlertStream(active: boolean, onAlert: (alert: AlertItem) => void, onGap: () => void): StreamState {
  const [state, setState] = useState<StreamState>("connecting");
  useEffect(() => {
    if (!active) {
      setState("paused");
      return;
    }
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const connect = (again: boolean) => {
      source = new EventSource("/api/v1/alerts/stream");
      source.onopen = () => {
        setState("live");
        if (again) onGap();
      };
      source.onerror = () => {
        setState("interrupted");
        if (source?.readyState === EventSource.CLOSED) timer = setTimeout(connect, RETRY_MS, true);
      };
      source.addEventListener("alert", (event) => onAlert(JSON.parse(event.data) as AlertItem));
    };
    setState("connecting");
    connect(false);
    return () => {
      clearTimeout(timer);
      source?.close();
    };
  }, [active, onAlert, onGap]);
  return state;
}

/** Receive a job whenever it changes, while `active`; the browser reconnects by itself. */
export function useJobStream(id: string, active: boolean, onChange: (job: Job) => void): void {
  useEffect(() => {
    if (!active) return;
    const source = new EventSource(`/api/v1/jobs/${id}/stream`);
    source.addEventListener("job", (event) => onChange(JSON.parse(event.data) as Job));
    return () => source.close();
  }, [id, active, onChange]);
}
