import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { colour } from "../theme";

const HEIGHT_PX = 220;
const DAY_S = 86_400;
const HALF_HOUR_S = 1_800;
const CLOCK = formatted({ hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = formatted({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = formatted({ day: "numeric", month: "short" });

export interface ChartSeries {
  label: string;
  values: (number | null)[];
  kind: "line" | "bars" | "points";
  /** A colour variable of the style sheet. */
  colour: string;
  dashed?: boolean;
}

export interface ChartMarker {
  /** Seconds since 1970. */
  time: number;
  label: string;
}

interface ChartProps {
  /** What the chart shows, for those who do not see it. */
  label: string;
  /** Seconds since 1970, ascending. */
  times: number[];
  series: ChartSeries[];
  markers?: ChartMarker[];
  /** First and last time of the axis, in seconds; those of the values if it is not given. */
  range?: readonly [since: number, until: number] | undefined;
  /** Called with a range that was drawn with the mouse, in seconds. */
  onBrush?: (since: number, until: number) => void;
}

/** Values over time. */
export function TimeChart(props: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const brush = useRef(props.onBrush);
  brush.current = props.onBrush;
  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    let chart: uPlot | null = null;
    const draw = () => {
      chart?.destroy();
      chart = new uPlot(
        options(props, element.clientWidth, (since, until) => brush.current?.(since, until)),
        [props.times, ...props.series.map((found) => found.values)],
        element,
      );
    };
    draw();
    const resized = new ResizeObserver(() => chart?.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    resized.observe(element);
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    window.addEventListener("driftline:theme", draw);
    dark.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      window.removeEventListener("driftline:theme", draw);
      dark.removeEventListener("change", draw);
      chart?.destroy();
    };
  }, [props.times, props.series, props.markers, props.range]);
  return (
    <figure className="chart" role="img" aria-label={props.label}>
      <div ref={frame} />
    </figure>
  );
}

function options(props: ChartProps, width: number, onBrush: (since: number, until: number) => void): uPlot.Options {
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line") },
  };
  return {
    width,
    height: HEIGHT_PX,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), "UTC"),
    axes: [
      { ...axis, values: (_, splits, _axis, _space, step) => splits.map((seconds) => tick(seconds, step)) },
      { ...axis, size: 60 },
    ],
    scales: { x: { range: (_, low, high) => (props.range ? [...props.range] : rangeOf(low, high)) } },
    cursor: { drag: { x: props.onBrush !== undefined, y: false, setScale: false } },
    series: [
      {
        label: "Time (UTC)",
        value: (_, seconds) => (seconds === null ? "–" : `${DAY(seconds)}, ${CLOCK_SECONDS(seconds)}`),
      },
      ...props.series.map(drawn),
    ],
    hooks: {
      setSelect: [
        (chart) => {
          if (chart.select.width > 0)
            onBrush(
              chart.posToVal(chart.select.left, "x"),
              chart.posToVal(chart.select.left + chart.select.width, "x"),
            );
        },
      ],
      draw: [(chart) => drawMarkers(chart, props.markers ?? [])],
    },
  };
}

/** One point, or none, has no range of its own. */
function rangeOf(low: number | null, high: number | null): [number, number] {
  if (low !== null && high !== null && low < high) return [low, high];
  return [(low ?? 0) - HALF_HOUR_S, (low ?? 0) + HALF_HOUR_S];
}

function formatted(style: Intl.DateTimeFormatOptions): (seconds: number) => string {
  const format = new Intl.DateTimeFormat("en-GB", { ...style, timeZone: "UTC" });
  return (seconds) => format.format(seconds * 1_000);
}

/** A label of the axis of time: the day at midnight, otherwise the time of day. */
function tick(seconds: number, step: number): string {
  if (step >= DAY_S || seconds % DAY_S === 0) return DAY(seconds);
  return step < 60 ? CLOCK_SECONDS(seconds) : CLOCK(seconds);
}

function drawn(series: ChartSeries): uPlot.Series {
  const stroke = colour(series.colour);
  const shared: uPlot.Series = {
    label: series.label,
    stroke,
    value: (_, value) => (value === null ? "–" : String(Number(value.toPrecision(4)))),
  };
  if (series.kind === "bars")
    return {
      ...shared,
      fill: stroke,
      paths: (uPlot.paths.bars as NonNullable<typeof uPlot.paths.bars>)({ size: [0.8, 40] }),
      points: { show: false },
    };
  if (series.kind === "points") return { ...shared, paths: () => null, points: { show: true, size: 6, fill: stroke } };
  return { ...shared, width: 2, ...(series.dashed ? { dash: [6, 4] } : {}) };
}

function drawMarkers(chart: uPlot, markers: readonly ChartMarker[]): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--accent");
  ctx.font = `${11 * uPlot.pxRatio}px sans-serif`;
  ctx.setLineDash([4, 4]);
  const right = bbox.left + bbox.width;
  const rowEnds: number[] = [];
  for (const marker of [...markers].sort((a, b) => a.time - b.time)) {
    const x = chart.valToPos(marker.time, "x", true);
    if (x < bbox.left || x > right) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    // Labels stay inside the chart, and go to the first row in which they cover no other one.
    const width = ctx.measureText(marker.label).width;
    const start = Math.min(x + 4, right - width);
    const free = rowEnds.findIndex((end) => end < start);
    const row = free < 0 ? rowEnds.length : free;
    rowEnds[row] = start + width + 4;
    ctx.fillText(marker.label, start, bbox.top + 12 * (row + 1) * uPlot.pxRatio);
  }
  ctx.restore();
}
