/** Paths in a workspace, relative to its root ("." is the root itself). Pure. */

export function joinPath(folder: string, name: string): string {
  return folder === "." ? name : `${folder}/${name}`;
}

export function parentPath(path: string): string {
  const at = path.lastIndexOf("/");
  return at <= 0 ? "." : path.slice(0, at);
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Every directory on the way, with its name. */
export function pathParts(path: string): { name: string; path: string }[] {
  if (path === ".") return [];
  const names = path.split("/").filter(Boolean);
  return names.map((name, index) => ({ name, path: names.slice(0, index + 1).join("/") }));
}

/** The text of a file, or null when it is no text. */
export function readable(content: ArrayBuffer): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(content);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}
