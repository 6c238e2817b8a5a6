// Before the first paint: the chosen colours, else the system's. Kept apart from the bundle so that nothing flashes.
(() => {
  var chosen = null;
  try {
    chosen = localStorage.getItem("stead.theme");
  } catch (_) {}
  var dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
})();
