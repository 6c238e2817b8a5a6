/** Whether the control plane answers, learned from every request and told to whoever shows it. */

import { Value } from "@/lib/store";

/** Null before the first request has ended. */
class Reachability extends Value<boolean | null> {
  answered(): void {
    this.set(true);
  }

  failed(): void {
    this.set(false);
  }
}

export const reachability = new Reachability(null);
