"use strict";
/* Before anything is painted: the theme that was chosen here, or the system's. */
(() => {
  const held = localStorage.getItem("perdure-theme");
  if (held === "light" || held === "dark") document.documentElement.dataset.theme = held;
})();
