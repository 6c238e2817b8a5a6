import type { NodeHealth } from "@/api/types";
import { Meter } from "@/components/ui/meter";
import { bytes } from "@/lib/format";

/** How much of a node's processors and memory is in use. */
export function Load({ health }: { health: NodeHealth }) {
  return (
    <>
      <Meter label="CPU" used={health.cpu_percent} total={100} text={`${Math.round(health.cpu_percent)} %`} />
      <Used label="Memory" used={health.memory_used_bytes} total={health.memory_total_bytes} />
    </>
  );
}

/** So many bytes of so many. */
export function Used({ label, used, total }: { label: string; used: number; total: number }) {
  return <Meter label={label} used={used} total={total} text={`${bytes(used)} of ${bytes(total)}`} />;
}
