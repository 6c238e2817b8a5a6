/** Opens the live link of the wire; null where this build has none, and the page then polls. */

import type { Link } from "@/data/link";

export const openLink: (() => Promise<Link>) | null = null;
