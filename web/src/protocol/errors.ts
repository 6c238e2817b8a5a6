/** The error of the wire: a code of the one table, a message for people, details. */

export interface Fault {
  code: string;
  message: string;
  hint?: string;
  details?: Record<string, unknown>;
}

/** Codes after which trying again unchanged can help; written by the table of the protocol (see `messages.ts`). */
export class SteadError extends Error {
  readonly code: string;
  readonly hint: string;
  readonly details: Record<string, unknown>;

  constructor(code: string, message: string, details: Record<string, unknown> = {}, hint = "") {
    super(message);
    this.name = "SteadError";
    this.code = code;
    this.hint = hint;
    this.details = details;
  }

  static of(fault: Fault): SteadError {
    return new SteadError(fault.code, fault.message, fault.details ?? {}, fault.hint ?? "");
  }

  fault(): Fault {
    return { code: this.code, message: this.message, details: this.details };
  }
}
