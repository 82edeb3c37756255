import { useEffect, useState } from "react";
import type { AlertItem } from "./types";

export type StreamState = "connecting" | "live" | "interrupted" | "paused";

/** Receive new alerts while `active`; the browser reconnects by itself and resumes behind the last event. */
export function useAlertStream(active: boolean, onAlert: (alert: AlertItem) => void): StreamState {
  const [state, setState] = useState<StreamState>("connecting");
  useEffect(() => {
    if (!active) {
      setState("paused");
      return;
    }
    setState("connecting");
    const source = new EventSource("/api/v1/alerts/stream");
    source.onopen = () => setState("live");
    source.onerror = () => setState("interrupted");
    source.addEventListener("alert", (event) => onAlert(JSON.parse(event.data) as AlertItem));
    return () => source.close();
  }, [active, onAlert]);
  return state;
}
