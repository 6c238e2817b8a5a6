import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Toasts } from "@/components/ui/toast";
import { live } from "@/data/live";
import { client, signedOut, whoami } from "@/data/queries";
import { followTheme } from "@/lib/theme";
import { router } from "@/router";
import "./index.css";

/** A session that ended or was revoked leads back to the login, from wherever it is noticed. */
client.getQueryCache().subscribe((change) => {
  if (change.type !== "updated" || change.action.type !== "error" || !signedOut(change.action.error)) return;
  const wasIn = client.getQueryData(whoami().queryKey) !== undefined;
  if (!wasIn) return;
  live.stop();
  client.clear();
  const to = router.state.location.href;
  void router.navigate({ to: "/login", search: { to, ended: true }, replace: true });
});

followTheme();

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
        <Toasts />
      </QueryClientProvider>
    </StrictMode>,
  );
}
