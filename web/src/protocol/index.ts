/** The wire in the browser: `StreamClient` is what the app uses. */

export { type Fault, SteadError } from "./errors";
export type { EventNotice } from "./messages";
export { ClientStream, newStreamId, StreamClient, type StreamClientOptions, type UrlFactory } from "./streams";
