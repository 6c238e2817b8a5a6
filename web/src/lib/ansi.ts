/** Takes the escape sequences of terminals out of plain output, also when one is split between two pieces. Pure. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with a control character
const SEQUENCE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what is left of control characters is not shown
const CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g;
/** An escape sequence longer than this is no escape sequence. */
const LONGEST = 256;

export class AnsiStripper {
  private rest = "";

  push(text: string): string {
    let whole = this.rest + text;
    this.rest = "";
    const found = UNFINISHED.exec(whole);
    if (found && found[0].length <= LONGEST) {
      this.rest = found[0];
      whole = whole.slice(0, found.index);
    }
    // A carriage return that is the last character may be the first half of a line end.
    if (whole.endsWith("\r")) {
      this.rest = `\r${this.rest}`;
      whole = whole.slice(0, -1);
    }
    return clean(whole);
  }

  end(): string {
    const rest = this.rest;
    this.rest = "";
    return clean(rest);
  }
}

function clean(text: string): string {
  return text.replace(SEQUENCE, "").replaceAll("\r\n", "\n").replaceAll("\r", "\n").replace(CONTROL, "");
}
