/** The login code out of what a person pastes: the code itself, `#code`, or the whole link. Pure. */
export function codeOf(text: string): string {
  const trimmed = text.trim();
  const mark = trimmed.lastIndexOf("#");
  return (mark < 0 ? trimmed : trimmed.slice(mark + 1)).trim();
}
