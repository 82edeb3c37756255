import type { components as Documents } from "./documents";
import type { components } from "./schema";

export type Schemas = components["schemas"];
export type AlertItem = Schemas["AlertItem"];
export type GroupItem = Schemas["GroupItem"];
export type GroupAction = Schemas["ActionRequest"]["action"];
export type Answer = Schemas["FeedbackRequest"]["answer"];
export type Severity = AlertItem["severity"];
export type Job = Schemas["JobItem"];
export type Role = Schemas["SessionInfo"]["role"];
export type AlertDocument = Documents["schemas"]["AlertDocument"];
export type DriftEvent = Documents["schemas"]["DriftEventDocument"];
export type LineClass = Schemas["Prediction"]["class_name"];

export const SEVERITIES: readonly Severity[] = ["info", "low", "medium", "high", "critical"];
export const ROLES: readonly Role[] = ["viewer", "operator", "admin"];
export const CLASSES: readonly LineClass[] = [
  "normal",
  "security_anomaly",
  "system_failure",
  "performance_issue",
  "network_anomaly",
  "config_error",
  "hardware_issue",
];
