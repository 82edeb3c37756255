import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where `npm run dev` finds a running `driftline serve`. */
const SERVICE = "http://127.0.0.1:8600";

export default defineConfig({
  base: "./",
  plugins: [react()],
  build: {
    outDir: "../engine/console",
    emptyOutDir: true,
    target: "es2022",
    // An inlined module polyfill or asset would need a wider CSP.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: {
    proxy: Object.fromEntries(["/api", "/health", "/model-info", "/available-models"].map((p) => [p, SERVICE])),
  },
});
