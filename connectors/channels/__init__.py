"""Where people look: alerts as notices to Alertmanager, PagerDuty, Slack, a webhook or e-mail."""
