"""The Grafana dashboard, written in Python: `make dashboards` writes mailprobe.json, which is checked in.

    python -m dashboards            writes dashboards/mailprobe.json
    python -m dashboards.picture    draws what it shows, see there

- `verdicts` says how a verdict looks, `questions` what Prometheus is asked, `panels` how a panel is made; `now`,
  `addresses`, `sessions` and `around` are the sections, `board` puts them on the grid with variables, links and alerts.
- The models are those of the pinned grafana-foundation-sdk. Tests hold the JSON against Grafana's own schemas.
- A question names a metric of docs/metrics.md directly and relies on no recording rule; only alerts come from rules.
- It must stay readable with 20 paths, 4 services and 10 vantages: what has a row per endpoint is a table, or the worst
  thirty; what has a line each is summed up by path, phase, network or verdict.
"""
