/** Lines of `key=value` as people type them, into a record and back. Pure. */

export interface Pairs {
  values: Record<string, string>;
  /** The first line that is not `key=value`, as a sentence; empty when all are. */
  problem: string;
}

/** One pair a line (or separated by commas when `commas`); empty lines do not count. */
export function parsePairs(text: string, commas = false): Pairs {
  const values: Record<string, string> = {};
  for (const raw of text.split(commas ? /[\n,]/ : /\n/)) {
    const line = raw.trim();
    if (line === "") continue;
    const at = line.indexOf("=");
    if (at < 1) return { values, problem: `“${line}” is not of the form key=value.` };
    values[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return { values, problem: "" };
}

export function formatPairs(values: Record<string, string>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${value}`)
    .join("\n");
}

/** Lines that say something. */
export function parseLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
