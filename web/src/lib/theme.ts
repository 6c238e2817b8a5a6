/** Light, dark, or as the system says; kept in this browser. `public/theme.js` applies it before the first paint. */

import { Value } from "@/lib/store";

export type Theme = "light" | "dark" | "system";

const KEY = "stead.theme";
const systemDark = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;

function kept(): Theme {
  try {
    const text = localStorage.getItem(KEY);
    return text === "light" || text === "dark" ? text : "system";
  } catch {
    return "system";
  }
}

export const theme = new Value<Theme>("system");

function apply(): void {
  const dark = theme.get() === "dark" || (theme.get() === "system" && (systemDark?.matches ?? false));
  document.documentElement.classList.toggle("dark", dark);
}

export function setTheme(next: Theme): void {
  theme.set(next);
  try {
    if (next === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing still shows it until the page is left.
  }
  apply();
}

/** Once, as the app starts. */
export function followTheme(): void {
  theme.set(kept());
  systemDark?.addEventListener("change", apply);
  apply();
}
