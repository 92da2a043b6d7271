"""How a panel is made: the parts that every panel has, and the few forms that this dashboard uses.

- A panel has a title that is the question it answers, a description for the reader at night, a unit, thresholds.
- The data source is the variable's; a legend names what differs between the lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as ask
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.verdicts import COLOURS, Kind, severity_steps, value_mapping

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, WARNING, BAD = COLOURS[Kind.FINE], COLOURS[Kind.WARNING], COLOURS[Kind.WRONG_ADDRESS]
FINE, COARSE = 500, 250
"""Steps of a picture that reads many series; a step is looked at as a whole, so nothing hides in a wide one."""

PAGE = 30
"""Strips of a timeline before it is split into pages; Grafana older than 11 shows all of them."""

PLAIN = COLOURS[Kind.PROXY_HEADER]
"""For numbers that are neither good nor bad."""

STATUS_PAGE, RUNBOOKS = "${status_page:raw}", "${runbooks:raw}"
Looks = TypeVar("Looks", bargauge.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)
Fields = Mapping[str, Sequence[DynamicConfigValue]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a panel says of itself: the question it answers, how to read the answer, and in which unit it is."""

    title: str
    description: str
    unit: str = "short"
    steps: Sequence[tuple[float | None, str]] = ((None, PLAIN),)


def steps(*after: tuple[float, str], first: str = GOOD) -> Sequence[tuple[float | None, str]]:
    """Thresholds: the first colour, and from which value on another one."""
    return ((None, first), *after)


def thresholds(of: Sequence[tuple[float | None, str]]) -> build.ThresholdsConfig:
    """The same for Grafana."""
    made = [Threshold(value=value, color=colour) for value, colour in of]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def dressed(panel: Looks, said: Said) -> Looks:
    """The panel with what every panel has."""
    return (
        panel.title(said.title)
        .description(said.description)
        .datasource(PROMETHEUS)
        .unit(said.unit)
        .thresholds(thresholds(said.steps))
    )


def series(expr: str, legend: str = "", *, ref: str = "A") -> ask.Dataquery:
    """Answers over the time of the picture, a line each."""
    return ask.Dataquery().expr(expr).legend_format(legend).range().ref_id(ref).datasource(PROMETHEUS)


def at_end(expr: str, legend: str = "", *, ref: str = "A") -> ask.Dataquery:
    """Answers at the end of the picture."""
    return ask.Dataquery().expr(expr).legend_format(legend).instant().ref_id(ref).datasource(PROMETHEUS)


def rows(expr: str, *, ref: str = "A") -> ask.Dataquery:
    """Answers at the end of the picture, as rows of a table."""
    return at_end(expr, ref=ref).format(PromQueryFormat.TABLE)


def link(title: str, url: str) -> build.DashboardLink:
    """A link that leaves Grafana."""
    return build.DashboardLink(title).type(DashboardLinkType.LINK).url(url).icon("external link").target_blank(True)


def to_page() -> build.DashboardLink:
    """From a line or a cell to what the daemon tells people of all its paths: the last day, and sessions behind it."""
    return link("Status page of the daemon", f"{STATUS_PAGE}/#days")


def number(said: Said, expr: str) -> stat.Panel:
    """One number whose ground says whether it is well."""
    return (
        dressed(stat.Panel(), said)
        .with_target(at_end(expr))
        .color_mode(words.BigValueColorMode.BACKGROUND)
        .graph_mode(words.BigValueGraphMode.NONE)
        .text_mode(words.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
    )


def bars(said: Said, expr: str, legend: str) -> bargauge.Panel:
    """A bar for each answer, in the colour of its threshold."""
    return (
        dressed(bargauge.Panel(), said)
        .with_target(at_end(expr, legend))
        .orientation(words.VizOrientation.HORIZONTAL)
        .display_mode(words.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("nothing known")
    )


def timeline(said: Said, expr: str, legend: str, shown: ValueMap | None = None) -> statetimeline.Panel:
    """A strip for each answer, in the colours of states; of verdicts, if nothing else is given."""
    states = build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(severity_steps())
    return (
        dressed(statetimeline.Panel(), said)
        .thresholds(states if shown is None else thresholds(said.steps))
        .with_target(series(expr, legend))
        .color_scheme(build.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .mappings([shown or value_mapping()])
        .merge_values(True)
        .show_value(words.VisibilityMode.AUTO)
        .align_value(words.TimelineValueAlignment.LEFT)
        .row_height(0.85)
        .per_page(PAGE)
        .line_width(1)
        .fill_opacity(100)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(words.LegendDisplayMode.HIDDEN))
        .tooltip(common.VizTooltipOptions().mode(words.TooltipDisplayMode.SINGLE))
    )


def lines(said: Said, *asked: ask.Dataquery, stacked: bool = False) -> timeseries.Panel:
    """A line for each answer, or areas on top of each other; the legend is a table with the latest and the greatest."""
    mode = words.StackingMode.NORMAL if stacked else words.StackingMode.NONE
    legend = common.VizLegendOptions().show_legend(True).display_mode(words.LegendDisplayMode.TABLE)
    panel = (
        dressed(timeseries.Panel(), said)
        .min(0)
        .line_width(2)
        .fill_opacity(60 if stacked else 0)
        .show_points(words.VisibilityMode.NEVER)
        .stacking(common.StackingConfig().mode(mode).group("A"))
        .legend(
            legend.placement(words.LegendPlacement.RIGHT).calcs(["lastNotNull", "max"]).sort_by("Max").sort_desc(True)
        )
        .tooltip(common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI).sort(words.SortOrder.DESCENDING))
    )
    for one in asked:
        panel = panel.with_target(one)
    return panel


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The columns of a table: in this order, how each looks, and which fields are none.

    Rows are sorted by the column that is shown under this name: Prometheus may give them in another order each time.
    """

    order: Sequence[str]
    sorted_by: str
    greatest_first: bool = False
    looks: Fields = field(default_factory=dict)
    left_out: Sequence[str] = ()


def grid(said: Said, *asked: ask.Dataquery, columns: Columns | None = None) -> table.Panel:
    """A table of all answers; with `columns`, answers that say something of the same thing share a row."""
    panel = dressed(table.Panel(), said).cell_height(words.TableCellHeight.SM).show_header(True).no_value("–")
    panel = panel.align(words.FieldTextAlignment.AUTO).inspect(False)
    for one in asked:
        panel = panel.with_target(one)
    return panel if columns is None else _arranged(panel, columns)


def _arranged(panel: table.Panel, columns: Columns) -> table.Panel:
    for name, properties in columns.looks.items():
        panel = panel.override_by_name(name, list(properties))
    order = {name: index for index, name in enumerate(columns.order)}
    out = dict.fromkeys(("Time", *columns.left_out), True)
    organize = transformation("organize", excludeByName=out, indexByName=order, renameByName={})
    by = common.TableSortByFieldState().display_name(columns.sorted_by).desc(columns.greatest_first)
    return panel.transformations([transformation("merge"), organize]).sort_by([by])


def transformation(name: str, **options: object) -> DataTransformerConfig:
    """What Grafana does with the answers before it shows them."""
    return DataTransformerConfig(id_val=name, options=options)


def named(name: str, unit: str = "", shown: Sequence[tuple[float | None, str]] = ()) -> list[DynamicConfigValue]:
    """A column under another name, in its own unit, and with its ground coloured by thresholds."""
    properties = [DynamicConfigValue(id_val="displayName", value=name)]
    if unit:
        properties.append(DynamicConfigValue(id_val="unit", value=unit))
    if shown:
        properties.append(DynamicConfigValue(id_val="thresholds", value=thresholds(shown).build()))
        properties.append(COLOURED)
    return properties


def width(pixels: int) -> DynamicConfigValue:
    """A column that wide."""
    return DynamicConfigValue(id_val="custom.width", value=pixels)


COLOURED = DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-background", "mode": "basic"})


def fixed(colour: str) -> list[DynamicConfigValue]:
    """One line in a colour of its own."""
    return [DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})]


AnyPanel = Builder[Panel]
