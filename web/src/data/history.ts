/** The newest of a list of events. The API answers events oldest first, so the list is read to its end. */

import type { Event, EventPage } from "@/api/types";

const PAGES_MOST = 40;
const SHOWN = 400;

/** Goes on after `before`; keeps the newest. */
export async function newest(load: (after: string) => Promise<EventPage>, before: Event[]): Promise<Event[]> {
  let events = before;
  let after = before.at(-1)?.cursor ?? "";
  for (let page = 0; page < PAGES_MOST; page += 1) {
    const answer = await load(after);
    events = [...events, ...answer.items].slice(-SHOWN);
    if (answer.items.length === 0 || answer.next === "" || answer.next === after) break;
    after = answer.next;
  }
  return events;
}
