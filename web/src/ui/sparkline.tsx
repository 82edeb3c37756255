const WIDTH = 120;
const HEIGHT = 24;

/** Small bars of equal parts of a range; the numbers are in the table's other columns. */
export function Sparkline({ values }: { values: readonly number[] }) {
  const highest = Math.max(...values, 1);
  const step = WIDTH / Math.max(values.length, 1);
  const bars = values.map((value, index) => {
    const height = value > 0 ? Math.max(1, (HEIGHT * value) / highest) : 0;
    return `M${(index * step).toFixed(1)} ${HEIGHT}v-${height.toFixed(1)}h${(step * 0.8).toFixed(1)}v${height.toFixed(1)}z`;
  });
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      role="img"
      aria-label={`Highest part: ${highest} lines`}
    >
      <path d={bars.join("")} />
    </svg>
  );
}
