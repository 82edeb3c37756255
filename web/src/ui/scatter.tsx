import { figure } from "./format";

const SIZE = 320;
const MARGIN = 34;

export interface Dot {
  x: number;
  y: number;
  marked: boolean;
}

interface Axis {
  label: string;
  threshold: number;
}

/** Two scores of each window against each other, with the threshold of each axis. */
export function Scatter({ dots, x, y, label }: { dots: readonly Dot[]; x: Axis; y: Axis; label: string }) {
  const left = scale([x.threshold, ...dots.map((dot) => dot.x)], MARGIN, SIZE - 8);
  const top = scale([y.threshold, ...dots.map((dot) => dot.y)], SIZE - MARGIN, 8);
  return (
    <svg className="scatter" viewBox={`0 0 ${SIZE} ${SIZE}`} role="img" aria-label={label}>
      <path className="axes" d={`M${MARGIN} 8V${SIZE - MARGIN}H${SIZE - 8}`} />
      <path className="limit" d={`M${left.at(x.threshold)} 8V${SIZE - MARGIN}`} />
      <path className="limit" d={`M${MARGIN} ${top.at(y.threshold)}H${SIZE - 8}`} />
      {dots.map((dot, index) => (
        <circle key={index} className={dot.marked ? "marked" : ""} cx={left.at(dot.x)} cy={top.at(dot.y)} r={3.5} />
      ))}
      <text x={MARGIN} y={SIZE - 18}>
        {figure(left.from)}
      </text>
      <text x={SIZE - 8} y={SIZE - 18} textAnchor="end">
        {figure(left.to)}
      </text>
      <text x={(SIZE + MARGIN) / 2} y={SIZE - 4} textAnchor="middle">
        {x.label}
      </text>
      <text x={MARGIN - 4} y={SIZE - MARGIN} textAnchor="end">
        {figure(top.from)}
      </text>
      <text x={MARGIN - 4} y={18} textAnchor="end">
        {figure(top.to)}
      </text>
      <text transform={`translate(12 ${(SIZE - MARGIN) / 2}) rotate(-90)`} textAnchor="middle">
        {y.label}
      </text>
    </svg>
  );
}

/** A linear scale over all values; a single value is in its middle. */
function scale(values: readonly number[], start: number, end: number) {
  const [from, to] = [Math.min(...values), Math.max(...values)];
  const at = (value: number) =>
    to > from ? start + ((value - from) / (to - from)) * (end - start) : (start + end) / 2;
  return { from, to, at };
}
