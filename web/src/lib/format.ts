/** How figures, times and states are put into words. Pure. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 -> "1.5 KiB". */
export function bytes(count: number): string {
  let value = Math.max(0, count);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const shown = unit === 0 || value >= 100 ? Math.round(value).toString() : trimZero(value.toFixed(1));
  return `${shown} ${UNITS[unit]}`;
}

function trimZero(text: string): string {
  return text.endsWith(".0") ? text.slice(0, -2) : text;
}

/** A length of time to the precision a person needs: "84 ms", "3.2 s", "4 min 5 s", "2 h 3 min", "5 d 2 h". */
export function duration(seconds: number): string {
  const value = Math.max(0, seconds);
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${trimZero(value.toFixed(1))} s`;
  const whole = Math.floor(value);
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86_400) return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return pair(Math.floor(whole / 86_400), "d", Math.floor((whole % 86_400) / 3600), "h");
}

function pair(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
}

/** How long ago, in one unit: "just now", "12 s", "3 min", "5 h", "2 d". Times are seconds since 1970. */
export function age(then: number, now: number): string {
  const seconds = Math.floor(now - then);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** `age` as part of a sentence. */
export function ago(then: number, now: number): string {
  const text = age(then, now);
  return text === "just now" ? text : `${text} ago`;
}

/** The same for a time to come: "in 5 min", or "expired". */
export function until(then: number, now: number): string {
  const seconds = Math.floor(then - now);
  if (seconds <= 0) return "expired";
  return `in ${age(0, Math.max(5, seconds))}`;
}

/** Date and time in the reader's own form. */
export function moment(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** Unix mode bits as `ls` writes them: 0o755 -> "rwxr-xr-x". */
export function mode(bits: number): string {
  return [6, 3, 0]
    .map((shift) => {
      const three = (bits >> shift) & 7;
      return `${three & 4 ? "r" : "-"}${three & 2 ? "w" : "-"}${three & 1 ? "x" : "-"}`;
    })
    .join("");
}

/** "node_unreachable" -> "node unreachable"; "createWorkspace" -> "create workspace". */
export function words(code: string): string {
  return code
    .replace(/[_.]/g, " ")
    .replace(/([a-z])([A-Z])/g, (_, one: string, two: string) => `${one} ${two.toLowerCase()}`);
}

/** "container" -> "Container". */
export function title(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const SIGNALS: Record<number, string> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
};

/** 9 -> "SIGKILL". */
export function signalName(number: number): string {
  return SIGNALS[number] ?? `signal ${number}`;
}

/** The end of an id that tells two apart: "ws_01hq...k3f9" -> "k3f9xq". */
export function shortId(id: string): string {
  return id.slice(-6);
}

/** An argument vector as a line one could type. */
export function commandLine(argv: string[], shell: boolean): string {
  return shell ? argv.join(" ") : argv.map(quote).join(" ");
}

function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
