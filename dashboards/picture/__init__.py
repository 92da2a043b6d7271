"""What the dashboard shows, drawn without Grafana: the panels of mailprobe.json with answers of a real Prometheus.

    python -m dashboards.picture http://127.0.0.1:9090 picture.svg [--minutes 60]

- It reads the checked in JSON alone: queries, grid, titles, mappings, thresholds, colours. `expand` fills in variables
  as Grafana does, `ask` asks, `look` knows colours and units, `single`, `strips`, `cells`, `chart` and `heat` draw one
  kind of panel each, `page` puts them together.
- It is a drawing of the same answers, not Grafana: no legend tables to sort, no tooltips, fonts of its own.
"""
