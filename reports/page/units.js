// Numbers for people, with the exact ones beside them.

const isNumber = (value) =>
  typeof value === "number" || (typeof value === "string" && /^-?\d{16,400}$/.test(value));

function exact(value) {
  if (value === "") return "–";
  if (typeof value === "string") return isNumber(value) ? grouped(value) : value;
  if (typeof value !== "number") return value === null ? "none" : String(value);
  return Number.isSafeInteger(value) ? grouped(String(value)) : String(value);
}

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

function scaled(value, base, prefixes) {
  let left = value;
  let at = 0;
  while (Math.abs(left) >= base && at < prefixes.length - 1) {
    left /= base;
    at += 1;
  }
  return [Math.abs(left) < 1e5 ? Number(left.toPrecision(3)) : left.toExponential(2), prefixes[at]];
}

const joined = (unit) => ([number, prefix]) => `${number} ${prefix}${unit}`.trim();
const SI = ["", "k", "M", "G", "T", "P", "E", "Z"];
const counted = (value, unit) => joined(unit)(scaled(value, 1000, SI));
const bytes = (value) => joined("B")(scaled(value, 1024, ["", "Ki", "Mi", "Gi", "Ti"]));

function duration(seconds) {
  if (!(seconds >= 60) || seconds > 1e9) return `${Number(seconds.toPrecision(3))} s`;
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h.toLocaleString("en")} h ${m} min` : `${m} min ${s} s`;
}

const UNITS = [
  // by the end of a cost's name; the first that fits
  [/_flops_per_second$/, (value) => counted(value, "FLOP/s")],
  [/_(\w+)_per_second$/, (value, unit) => counted(value, ` ${unit}/s`)],
  [/_seconds$/, duration],
  [/_bytes$/, bytes],
  [/_flops$/, (value) => counted(value, "FLOP")],
  [/_joules$/, (value) => counted(value, "J")],
  [/_(params|tokens)$/, (value) => counted(value, "")],
];

function human(name, value) {
  if (!isNumber(value)) return exact(value);
  for (const [end, write] of UNITS) {
    const found = name.match(end);
    if (found) return write(Number(value), found[1]);
  }
  return exact(value);
}

const GROUPS = ["params", "seconds", "flops", "per_second", "tokens", "bytes", "memory_source"];

// Costs of one kind together, others behind.
function arranged(costs) {
  const group = ([name]) => {
    const at = GROUPS.findIndex((kind) => name.endsWith(kind));
    return at < 0 ? GROUPS.length : at;
  };
  return [...costs].sort((a, b) => group(a) - group(b));
}

function score(value) {
  if (typeof value !== "number") return String(value ?? "–");
  return Math.abs(value) < 1e6 ? value.toFixed(4) : value.toExponential(3);
}
