import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** `npm run dev` serves the app from source and hands everything of the API to a control plane on this machine. */
const controlPlane = "http://127.0.0.1:7300";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  server: {
    host: "127.0.0.1",
    port: 7301,
    proxy: { "/api": { target: controlPlane, ws: true, changeOrigin: true } },
  },
  build: { outDir: "dist", target: "es2023", chunkSizeWarningLimit: 800 },
  test: { include: ["src/**/*.test.ts"], environment: "node", testTimeout: 30_000 },
});
